"""A group goes to the other site and back, again and again, and leaves nothing behind on either.

CYCLES, default 10: how often. Before each hop the guests write; after it the bytes are compared, and both clouds must hold
what they held before the first hop, by listing everything as administrator: on the site that was left all but the
application, on the other one that and the application.
"""

import os
import sys
import time

import disks
from terminal import NotSo

from . import application
from .application import SITES, SOURCE, TARGET
from .census import replicas
from .group import NAME, Findings, Group, faults, log_file, notes, phases
from .stage import set_up


# Arrays stop to replicate a group within this after its end.
UNPROTECTED_SECONDS = 30


class Cycles:
    def __init__(self, group, stage, findings=None):
        self.group = group
        self.stage = stage
        self.findings = findings or Findings()
        self.failed = []
        self.hops = []
        self.written = 0

    def go(self, count):
        for number in range(1, count + 1):
            self.hop(f"{number}, there", ("failover", NAME), SOURCE, TARGET, "failed_over")
            self.hop(f"{number}, back", ("failback", NAME), TARGET, SOURCE, "active")

    def hop(self, name, words, source, target, status):
        array = disks.of(target)
        # What is mirrored comes while it is written, most of it before the move begins.
        received = array.received()
        written = application.write(source)
        before, held = application.digests(source), application.held(source)
        move = self.group.move(*words)
        received = array.received() - received
        checks = (
            ("the record", faults(move.record)),
            ("the record", notes(move.record)),
            ("the group", self.group.resting(status, target)),
            ("the group", self.group.in_sync()),
            ("the bytes", application.different(before, application.digests(target))),
            ("the bytes sent", too_many(received, held)),
            (source, self.stage.problems(source, is_here=False)),
            (target, self.stage.problems(target, is_here=True)),
        )
        good = [self.findings.of(f"{name}, {place}", problems) for place, problems in checks]
        if not all(good):
            self.failed.append(name)
        kept = {site: replicas(site) for site in SITES}
        for site, (_, staged) in kept.items():
            if not self.findings.of(name, [f"{staged} half-made files on the array of {site}"] if staged else []):
                self.failed.append(name)
        self.hops.append(move.seconds)
        self.written += written
        points = ", ".join(f"{site} {files}" for site, (files, _) in kept.items())
        told = f"{move.seconds:5.1f} s, {written >> 20} MiB written before, replicas kept: {points}"
        if received:
            told += f"; {target}'s array received {received >> 20} MiB, the volumes hold {held >> 20} MiB"
        print(f"{'ok    ' if all(good) else 'NOT SO'}  {name:<12} {told}", flush=True)
        print(f"        seconds: {phases(move.record)}", flush=True)

    @staticmethod
    def replication(site):
        """What is left of the replication, once there was time to end it."""
        deadline = time.monotonic() + UNPROTECTED_SECONDS
        while (left := disks.of(site).replication()) and time.monotonic() < deadline:
            time.sleep(2)
        return left

    def end(self):
        """What protector itself believes to be left, and the same after the group is gone."""
        good = self.findings.of("the end", self.group.orphans())
        self.group.openstack("dr", "protection-group", "delete", NAME)
        for site in SITES:
            good &= self.findings.of(f"after the group, {site}", self.stage.problems(site, is_here=site == SOURCE))
            good &= self.findings.of(f"after the group, {site}", self.replication(site))
        if not good:
            self.failed.append("the end")


def too_many(received, held):
    """What is wrong with the bytes that an array received in a hop: only what was written since the last one may be sent."""
    if received * 4 > held:
        yield f"the array received {received} bytes, of volumes that hold {held}"


def main():
    count = int(os.environ.get("CYCLES", "10"))
    begun = time.monotonic()
    group = Group(log_file("cycles"))
    cycles = Cycles(group, set_up(group))
    try:
        cycles.go(count)
        cycles.end()
    except NotSo as problem:
        print(f"FAILED: {problem}\nLog: {cycles.group.log}", flush=True)
        return 1
    seconds = sorted(cycles.hops)
    spread = f"{seconds[0]:.1f} to {seconds[-1]:.1f} s, half of them below {seconds[len(seconds) // 2]:.1f} s"
    total = sum(volume.size for volume in application.VOLUMES)
    print(f"{count} cycles in {time.monotonic() - begun:.0f} s; a hop took {spread}.")
    print(f"{total} GiB compared after each hop, {cycles.written >> 20} MiB written in between.")
    if cycles.failed:
        print(f"Not as it should be: {'; '.join(dict.fromkeys(cycles.failed))}. Log: {cycles.group.log}")
    return 1 if cycles.failed else 0


if __name__ == "__main__":
    sys.exit(main())
