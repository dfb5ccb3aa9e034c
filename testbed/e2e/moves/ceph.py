"""The application's volumes are RBD images of two real Ceph clusters: all ways to the other site and back, and nothing is left.

python -m moves.ceph [cycles|drill|stream|retained]...: default all, in this order. The boot volumes are clones of a Glance
image. One volume is filled, so that a move which sent all of it could be told from one that sends what was written.
"""

import os
import sys
import time

import disks
import seed
from cloud import Cloud
from terminal import NotSo

from . import application
from .application import BACKEND, BACKEND_CIDR, SERVERS, SITES, SOURCE, TARGET, VOLUMES
from .cycles import Cycles
from .group import NAME, Findings, Group, faults, log_file
from .guest import Guest, prefix
from .stage import build
from .stream import Stream

# Islands with the addresses of production.
TEST_NETWORKS = {seed.NETWORK: seed.CIDR, BACKEND: BACKEND_CIDR}
FILLED, FILLED_MIB = "shop-db-data", 256
BOOTS = tuple(server.volumes[0].name for server in SERVERS)
CYCLES = int(os.environ.get("CYCLES", "3"))


class Ceph:
    """The stories, of one protection group."""

    def __init__(self):
        self.findings = Findings()
        self.bad = []
        self.group = Group(log_file("ceph"))

    def check(self, story, problems, told=None):
        if not self.findings.of(story, problems):
            self.bad.append(story)
        elif told:
            print(f"  ok: {told}", flush=True)

    # --- before

    def prepare(self):
        """The application; its boot volumes are clones until they are protected, and have the same bytes after it."""
        self.stage = build(all_running=True)
        application.fill(SOURCE, FILLED, FILLED_MIB)
        parents = self.parents()
        self.check("boot", self.unlike(parents, True), f"{len(BOOTS)} boot volumes are clones of {set(parents.values())}")
        before = application.digests(SOURCE)
        begun = time.monotonic()
        self.group.protect()
        self.first_copy()
        held = application.held(SOURCE) >> 20
        print(f"  protected, and the first copy of {held} MiB made: {time.monotonic() - begun:.1f} s", flush=True)
        self.check("boot", self.unlike(self.parents(), False), "flattened by the protection")
        problems = application.different(before, application.digests(SOURCE))
        self.check("boot", problems, "and no byte is another one")
        replicas = disks.of(TARGET).replicas()[0]
        self.check("boot", [] if replicas == len(VOLUMES) else [f"{TARGET} has {replicas} replicas"])

    def first_copy(self):
        """A synchronisation ends when the other site has all that was there before it."""
        self.group.move("protection-group", "action", NAME, "--action", "sync")

    def parents(self):
        images = application.stored(SOURCE)
        return {name: disks.of(SOURCE).parent(images[name]) for name in BOOTS}

    @staticmethod
    def unlike(parents, clones):
        for name, parent in parents.items():
            if bool(parent and parent.startswith("images/")) != clones:
                yield f"{name} has the parent {parent}"

    # --- the stories

    def play(self, name):
        """A story that ended half way does not keep the next one from being played, if the group is where that begins."""
        started = time.monotonic()
        try:
            STORIES[name](self)
        except NotSo as problem:
            self.check(name, [str(problem)])
            if self.group.status() != ("active", SOURCE):
                raise
        print(f"  {name}: {time.monotonic() - started:.0f} s", flush=True)

    def cycles(self):
        print(f"\nTo {TARGET} and back, {CYCLES} times.", flush=True)
        cycles = Cycles(self.group, self.stage, self.findings)
        cycles.go(CYCLES)
        self.bad += cycles.failed

    def drill(self):
        """A test failover while a guest writes, and its cleanup."""
        print("\nA test failover while a guest writes.", flush=True)
        before = application.digests(SOURCE)
        image = application.stored(SOURCE)[FILLED]
        guest = Guest(SOURCE, image, self.group.log + ".guest")
        target, networks = Cloud(TARGET), {}
        try:
            guest.reaches(50)
            # The recovery point is of a moment after this one.
            least = guest.acknowledged()
            self.group.move("protection-group", "action", NAME, "--action", "sync")
            networks = {name: seed.make_network(target, "test-" + name, cidr) for name, cidr in TEST_NETWORKS.items()}
            mappings = [word for name in networks for word in ("--network-mapping", f"{name}=test-{name}")]
            test = self.group.move("protection-group", "action", NAME, "--action", "test-failover", *mappings)
            # It runs until its copies are taken away.
            self.check("drill", faults(test.record, ("running",)), f"the test failover: {test.seconds:.1f} s")
            found = application.digests(TARGET)
            same = {name: digest for name, digest in before.items() if name != FILLED}
            others = {name: digest for name, digest in found.items() if name != FILLED}
            self.check("drill", application.different(same, others), f"{len(same)} volumes of the test have their bytes")
            count, stray = prefix(TARGET, application.stored(TARGET)[FILLED], guest.seed)
            torn = [f"block {count} is missing, block {stray} is there"] if stray is not None else []
            if count < least:
                torn.append(f"{count} blocks, {least} were written before the recovery point")
            self.check("drill", torn, f"the stream's one has its first {count} blocks, without a gap")
            begun = guest.acknowledged()
            words = ("--action", "test-cleanup", "--test-operation-id", test.record["id"])
            cleanup = self.group.move("protection-group", "action", NAME, *words)
            self.check("drill", faults(cleanup.record), f"its cleanup: {cleanup.seconds:.1f} s")
            guest.reaches(begun + 20)
        finally:
            written = guest.stop()
            for network in networks.values():
                target.raw("network", "DELETE", "/networks/" + network)
        print(f"  ok: the guest wrote on all the time, {written} blocks", flush=True)
        self.at_rest("drill")

    def stream(self):
        if not Stream(FILLED, self.findings, self.stage).play():
            self.bad.append("stream")

    def retained(self):
        """The source's images become the replicas: that Cinder keeps them cannot be asked for."""
        print("\nA failover that is asked to retain the source's volumes.", flush=True)
        refused = self.group.run("dr", "failover", NAME, "--retain-source-volumes")
        problems = []
        if refused.returncode != 1 or "promote in place" not in refused.stderr:
            problems.append(f"it ended with {refused.returncode}: {refused.stderr[-300:]}")
        self.check("retained", problems, "it is refused, with the reason")
        self.at_rest("retained")

    # --- after

    def at_rest(self, story):
        """Both clouds hold what they held, by listing everything, and the group is on its first site."""
        self.check(story, self.group.resting("active", SOURCE))
        self.check(story, self.group.in_sync())
        for site in SITES:
            problems = self.stage.problems(site, is_here=site == SOURCE)
            self.check(f"{story}, {site}", problems, f"{site} holds what it held")

    def end(self):
        """Without the group: no mirror, no recovery point, no image that belongs to nobody, on either cluster."""
        print("\nThe group goes.", flush=True)
        cycles = Cycles(self.group, self.stage, self.findings)
        cycles.end()
        self.bad += cycles.failed
        if not cycles.failed:
            print("  ok: both clouds and both clusters are as they were at the start", flush=True)


STORIES = {"cycles": Ceph.cycles, "drill": Ceph.drill, "stream": Ceph.stream, "retained": Ceph.retained}


def main(*names):
    ceph = Ceph()
    begun = time.monotonic()
    try:
        ceph.prepare()
        for name in names or STORIES:
            ceph.play(name)
        ceph.end()
    except NotSo as problem:
        print(f"FAILED: {problem}\nLog: {ceph.group.log}", flush=True)
        return 1
    print(f"\n{time.monotonic() - begun:.0f} s in all.")
    if ceph.bad:
        print(f"Not as it should be: {'; '.join(dict.fromkeys(ceph.bad))}. Log: {ceph.group.log}")
    return 1 if ceph.bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
