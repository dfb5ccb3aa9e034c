"""The primary site is lost, in one way and in another: the group goes on at the other site with its latest recovery point.

python -m moves.unplanned [refusing|hanging|importing|building]...: each a whole round, to the other site, and back when the
lost one returned. The first two are losses of a site at rest, the others come in the middle of a planned failover.
"""

import os
import sys
import time
from datetime import datetime

from terminal import NotSo

from . import application, disaster
from .application import SOURCE, TARGET
from .group import NAME, Findings, Group, faults, log_file
from .interrupted import MOMENTS, Interrupted
from .loss import Loss, without_text
from .stage import set_up

# An unplanned failover asks nobody on the lost site, so no line of it can take as long as a time-out would.
LINE_SECONDS = 30
MOVE_SECONDS = 90
# A guest's life between the recovery point and the disaster.
UNREPLICATED_SECONDS = 5


class Round(Loss):
    """The loss of the primary site while nothing is under way, and the way back."""

    # --- before

    def take_recovery_point(self):
        """A replication, and then what the guests write after it, which will be lost."""
        application.write(SOURCE)
        self.point = application.digests(SOURCE)
        self.here.move("protection-group", "action", NAME, "--action", "sync")
        # The recovery point is of some moment before this one.
        self.replicated_at = time.time()
        time.sleep(UNREPLICATED_SECONDS)
        self.written = application.write(SOURCE)
        self.lost = application.digests(SOURCE)

    # --- while the site is away

    def survive(self):
        """The failover, with the primary site away."""
        look = self.there.openstack("dr", "failover", NAME, "--type", "unplanned", "--dry-run")
        self.check("the preview", without_text(look, "Recovery point", "old", SOURCE), "the preview tells its age")
        refused = self.there.run("dr", "failover", NAME, "--type", "unplanned")
        self.check("without --yes", ["it was not refused"] if refused.returncode == 0 else (), "it asks before it starts")
        started = time.time()
        move = self.there.move("failover", NAME, "--type", "unplanned", "--yes")
        self.failover = move.record
        self.check("the loss", self.loss(move, started), self.loss_told(move.record))
        self.check("its duration", self.waits(move), f"the command took {move.seconds:.1f} s, {self.longest(move.record)}")
        self.recovered(move.record, self.point)

    def loss(self, move, started):
        """The time told is that of the replication, and the command says that what came later is lost."""
        record = move.record
        yield from without_text(move.said, "lost")
        if not record.get("recovery_point") or record.get("data_loss_seconds") is None:
            yield f"the record has no loss: {record.get('recovery_point')}, {record.get('data_loss_seconds')}"
            return
        taken = datetime.fromisoformat(record["recovery_point"]["taken_at"]).timestamp()
        if taken > self.replicated_at:
            yield f"the recovery point is of {taken}, later than the last replication, {self.replicated_at}"
        least = int(started - self.replicated_at)
        if not least <= record["data_loss_seconds"] <= started + move.seconds - taken + 1:
            yield f"data_loss_seconds are {record['data_loss_seconds']}: the last replication was {least} s before"

    def loss_told(self, record):
        return (
            f"the record tells a loss of {record.get('data_loss_seconds')} s; {self.written >> 20} MiB were written in them"
        )

    def waits(self, move):
        if move.seconds > MOVE_SECONDS:
            yield f"the command took {move.seconds:.0f} s"
        for step, seconds in self.lines(move.record):
            if seconds > LINE_SECONDS:
                yield f"line {step} took {seconds:.0f} s"

    @staticmethod
    def lines(record):
        """The operation's lines with how long each took."""
        for step in record["steps"]:
            if step.get("started_at") and step.get("finished_at"):
                begun, ended = (datetime.fromisoformat(step[key]) for key in ("started_at", "finished_at"))
                yield step["key"], (ended - begun).total_seconds()

    def longest(self, record):
        step, seconds = max(self.lines(record), key=lambda line: line[1], default=("none", 0))
        return f"its longest line, {step}, {seconds:.0f} s"

    # --- when the site is back

    def come_back(self):
        """The old servers run again: the group says so, and nothing but a fence is possible."""
        noticed = list(self.wait_for("the group", lambda: self.there.status()[0], "split_brain"))
        self.check("its return", noticed, f"the group is split_brain within {self.seconds} s of the return")
        cleanup = ("dr", "operation", "cleanup", self.failover["id"])
        refusal = self.there.openstack(*cleanup, code=1)
        self.check("a cleanup before the fence", without_text(refusal, "fence"), "a cleanup is refused and names the fence")
        self.check(SOURCE, self.old_servers("ACTIVE"), f"the old servers still run on {SOURCE}")
        self.check("its volumes", application.different(self.lost, application.digests(SOURCE)), "with all that they wrote")
        fence = self.there.move("fence", NAME)
        self.check("the fence", faults(fence.record))
        self.check(SOURCE, self.old_servers("SHUTOFF"), f"dr fence stops them, {fence.seconds:.1f} s")
        self.check("after the fence", self.there.resting("failed_over", TARGET), "the group is at rest")

    def play(self):
        print(f"\nThe loss of {SOURCE}: everything there is {self.kind}.", flush=True)
        self.take_recovery_point()
        with disaster.lost(self.here, SOURCE, self.kind):
            self.survive()
        self.come_back()
        self.clean_up()
        self.go_back()
        return self.good


def round_of(kind):
    """What plays this kind of loss."""
    return Interrupted if kind in MOMENTS else Round


def main(*kinds):
    findings, bad = Findings(), []
    # Which of them ran when their site was lost is not known: the other site starts them all.
    stage = set_up(Group(log_file("unplanned")), all_running=True)
    for kind in kinds or [*disaster.KINDS, *MOMENTS]:
        try:
            if not round_of(kind)(kind, findings, stage).play():
                bad.append(kind)
        except NotSo as problem:
            print(f"FAILED: {kind}: {problem}", flush=True)
            bad.append(kind)
            break
    if bad:
        print(f"Not as it should be: {', '.join(bad)}. Logs: {os.path.join(os.environ['E2E_DIR'], 'log')}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
