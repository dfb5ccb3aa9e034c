"""The primary site is lost in the middle of a planned failover: the other site goes on from what was made, and loses nothing."""

import json
import time
from dataclasses import dataclass

from cloud import Cloud
from terminal import NotSo

from . import application, disaster
from .application import SOURCE, TARGET
from .group import NAME
from .loss import Loss

# The interrupted failover's hold on the group ends a minute after it was last taken.
HELD_SECONDS = 90
# A planned failover reaches each of the moments within this.
MIDWAY_SECONDS = 120


@dataclass(frozen=True)
class Moment:
    """How far the failover is when the site is lost, and how it is lost."""

    service: str
    path: str
    kind: str


# A frozen engine comes back to life in the middle of what it did; one that was killed begins with its journal.
MOMENTS = {
    "importing": Moment("volumev3", "volumes", "hanging"),
    "building": Moment("compute", "servers", "refusing"),
}


class Interrupted(Loss):
    """A planned failover that the loss interrupts."""

    def begin(self, moment):
        """The failover, until the first copy of the moment's kind is on the other site."""
        application.write(SOURCE)
        self.bytes = application.digests(SOURCE)
        self.interrupted = json.loads(self.here.openstack("dr", "failover", NAME, "-f", "json"))["operation_id"]
        target = Cloud(TARGET)
        deadline = time.monotonic() + MIDWAY_SECONDS
        while not self.made(target, moment):
            if time.monotonic() > deadline:
                raise NotSo(f"after {MIDWAY_SECONDS} s there is no copy in {TARGET}'s {moment.path}")
            time.sleep(0.1)

    def made(self, target, moment):
        """How many of these things the failover has asked for."""
        listed = target.req(moment.service, "GET", f"/{moment.path}/detail")[moment.path]
        return sum(each["metadata"].get("protector:operation") == self.interrupted for each in listed)

    def survive(self):
        """The failover from the surviving site, as soon as the group is not held any more."""
        begun = time.monotonic()
        refused = False
        while (done := self.take_over()).returncode:
            refused = True
            said = done.stdout + done.stderr
            if f"is being moved from {SOURCE} at this moment" not in said or time.monotonic() - begun > HELD_SECONDS:
                raise NotSo(f"the unplanned failover ended with {done.returncode}: {said[-1500:]}")
            time.sleep(3)
        seconds = time.monotonic() - begun
        self.failover = self.there.operation(json.loads(done.stdout)["operation_id"])
        early = () if refused else [f"{TARGET} took over at once, for all it knew beside a failover that went on"]
        self.check("the start", early, f"refused while {SOURCE} may go on; over {seconds:.0f} s after the loss")
        self.recovered(self.failover, self.bytes)

    def take_over(self):
        return self.there.run("dr", "failover", NAME, "--type", "unplanned", "--yes", "--wait", "-f", "json")

    def come_back(self):
        """The interrupted failover learns that it was overtaken, and touches nothing."""
        ended = self.wait_for("the interrupted failover", self.fate, ("failed", "PRT-SUPERSEDED"))
        self.check("its return", ended, "the interrupted failover ends PRT-SUPERSEDED")
        known = self.wait_for("the group", self.here.status, ("failed_over", TARGET))
        self.check("its return", known, f"{SOURCE} knows that the group runs on {TARGET}")
        self.check(SOURCE, self.old_servers("SHUTOFF"), f"the old servers stay stopped on {SOURCE}")
        self.check("its volumes", application.different(self.bytes, application.digests(SOURCE)), "with their bytes")
        problems = self.stage.problems(TARGET, is_here=True)
        self.check(TARGET, problems, f"{TARGET} holds the application still, and no more than that")

    def fate(self):
        record = self.here.operation(self.interrupted)
        return record["status"], record.get("error_code")

    def play(self):
        moment = MOMENTS[self.kind]
        print(f"\nThe loss of {SOURCE} while it fails over, {self.kind}: everything there is {moment.kind}.", flush=True)
        self.begin(moment)
        with disaster.lost(self.here, SOURCE, moment.kind):
            self.survive()
        self.come_back()
        self.clean_up()
        self.go_back()
        return self.good
