"""The primary site is lost in the middle of a guest's stream of writes: its control plane, its protector and its Ceph cluster.

The other site goes on with an exact beginning of the stream. The lost cluster comes back with images that call themselves
primary: fence, resynchronisation, failback.
"""

import time
from datetime import datetime

import disks

from . import application, disaster
from .application import SOURCE, TARGET
from .group import NAME, faults, phases
from .guest import Guest, prefix
from .loss import Loss, without_text

# Blocks on the disk when the recovery point is asked for, and after it when the cluster is killed.
BEFORE, AFTER = 100, 300


class Stream(Loss):
    """A round with a guest that writes until its host is lost."""

    def __init__(self, volume, findings, stage):
        super().__init__("stream", findings, stage)
        self.volume = volume

    def begin(self):
        """A recovery point while the guest writes. What the other volumes hold does not change from then on."""
        application.write(SOURCE)
        self.image = application.stored(SOURCE)[self.volume]
        self.guest = Guest(SOURCE, self.image, self.here.log + ".guest")
        self.guest.reaches(BEFORE)
        self.least = self.guest.acknowledged()
        sync = self.here.move("protection-group", "action", NAME, "--action", "sync")
        self.synchronised_at = time.time()
        print(f"  a recovery point while the guest writes: {sync.seconds:.1f} s", flush=True)
        self.guest.reaches(self.guest.acknowledged() + AFTER)

    def others(self, digests):
        """Without the volume that the guest writes to."""
        return {name: found for name, found in digests.items() if name != self.volume}

    def survive(self):
        self.written = self.guest.kill()
        move = self.there.move("failover", NAME, "--type", "unplanned", "--yes")
        self.failover = move.record
        print(f"  the unplanned failover: {move.seconds:.1f} s; {phases(move.record)}", flush=True)
        there = application.stored(TARGET).get(self.volume)
        self.kept, stray = prefix(TARGET, there, self.guest.seed) if there else (0, None)
        self.check("the stream", self.torn(stray), f"{self.kept} of {self.written} blocks came over, without a gap")
        self.check("the loss", self.loss(move.record), f"the record tells a loss of {move.record.get('data_loss_seconds')} s")
        # Of the stream's volume the blocks are what is known.
        found = application.digests(TARGET)
        self.bytes = self.others(self.bytes) | {self.volume: found.get(self.volume)}
        self.recovered(move.record, self.bytes)

    def torn(self, stray):
        if stray is not None:
            yield f"block {self.kept} is missing, and block {stray} after it is there"
        if self.kept < self.least:
            yield f"{self.kept} blocks came over, fewer than the {self.least} before the last recovery point"
        if self.kept > self.written + 1:
            yield f"{self.kept} blocks came over of {self.written}"

    def loss(self, record):
        """What was announced to be lost is at least what was."""
        if not record.get("recovery_point") or record.get("data_loss_seconds") is None:
            yield f"the record has no loss: {record.get('recovery_point')}, {record.get('data_loss_seconds')}"
            return
        taken = datetime.fromisoformat(record["recovery_point"]["taken_at"]).timestamp()
        if taken > self.synchronised_at + 1:
            yield f"the recovery point is of {taken}, later than the last synchronisation, {self.synchronised_at}"

    def come_back(self):
        noticed = list(self.wait_for("the group", lambda: self.there.status()[0], "split_brain"))
        self.check("its return", noticed, f"the group is split_brain within {self.seconds} s of the return")
        both = [site for site in (SOURCE, TARGET) if any(disks.of(site).mirroring().values())]
        self.check("its return", [] if both == [SOURCE, TARGET] else [f"primary: {both}"], "both clusters say primary")
        kept, _ = prefix(SOURCE, self.image, self.guest.seed)
        less = [f"{SOURCE} has {kept} blocks, the guest was told {self.written}"] if kept < self.written else []
        self.check("its volumes", less, f"{SOURCE} has all {kept} blocks that the guest wrote")
        refusal = self.there.openstack("dr", "operation", "cleanup", self.failover["id"], code=1)
        self.check("a cleanup before the fence", without_text(refusal, "fence"), "a cleanup is refused and names the fence")
        fence = self.there.move("fence", NAME)
        self.check("the fence", faults(fence.record))
        self.check(SOURCE, self.old_servers("SHUTOFF"), f"dr fence stops the old servers, {fence.seconds:.1f} s")
        self.check("after the fence", self.there.resting("failed_over", TARGET), "the group is at rest")

    def play(self):
        print(f"\nThe loss of {SOURCE} in the middle of a stream of writes.", flush=True)
        self.begin()
        self.bytes = application.digests(SOURCE)
        # The cluster goes first, while the guest writes.
        with disaster.lost(self.here, SOURCE, "refusing"):
            self.survive()
        self.come_back()
        begun = time.monotonic()
        self.clean_up()
        print(f"  the cleanup with its resynchronisation: {time.monotonic() - begun:.1f} s", flush=True)
        self.go_back()
        return self.good
