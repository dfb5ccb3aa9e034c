"""One loss of the primary site and its return: what every round of it does and checks, however it was lost."""

import os
import time

from cloud import Cloud

from . import application
from .application import SERVERS, SITES, SOURCE, TARGET, VOLUMES
from .group import NAME, Group, faults, log_file

# The engine looks for returned servers every 30 s, and its services come up meanwhile.
NOTICED_SECONDS = 120
# Where the replica itself became the volume, what the lost site has of it is left as well, to be resynchronised.
OF_VOLUMES = ("delete_source_volume", "resync_volume") if os.environ["TESTBED_BACKEND"] == "rbd" else ("delete_source_volume",)
LEFT = {f"delete_source_vm:{server.name}" for server in SERVERS} | {
    f"{step}:{volume.name}" for step in OF_VOLUMES for volume in VOLUMES
}


def without_text(output, *texts):
    """Which of these texts an output lacks."""
    for text in texts:
        if text not in output:
            yield f"the output is without {text!r}: {output}"


class Loss:
    """A round that begins with the application on the primary site, and ends so."""

    def __init__(self, kind, findings, stage):
        self.kind = kind
        self.findings = findings
        self.stage = stage
        self.here = Group(log_file("unplanned-" + kind))
        # Whoever works at the surviving site has both in the configuration too, and does not take the lost one out first.
        self.there = Group(log_file("unplanned-" + kind), TARGET)
        self.good = True
        self.failover = None

    def check(self, place, problems, told=None):
        if self.findings.of(f"{self.kind}, {place}", problems):
            if told:
                print(f"  ok: {told}", flush=True)
        else:
            self.good = False

    def recovered(self, record, digests):
        """What every unplanned failover must have done: nothing asked of the lost site, everything else there."""
        self.check("the record", faults(record, failed=LEFT), f"{len(LEFT)} resources on {SOURCE} are in the record")
        self.check("the record", self.kept_words(record), "each with why it was left")
        self.check("the group", self.there.resting("failed_over", TARGET), f"the group runs on {TARGET}")
        problems = application.different(digests, application.digests(TARGET))
        size = sum(volume.size for volume in VOLUMES)
        self.check("the bytes", problems, f"{len(VOLUMES)} volumes, {size} GiB, have the recovery point's bytes")
        self.check(
            TARGET, self.stage.problems(TARGET, is_here=True), f"{TARGET} holds the application, and no more than that"
        )

    def kept_words(self, record):
        wanted = f"kept: an unplanned failover does not touch {SOURCE}"
        for entry in record["steps_failed"]:
            if not entry["error"].startswith(wanted):
                yield f"{entry['step']}: {entry['error']!r} does not begin with {wanted!r}"

    def wait_for(self, what, look, wanted):
        """What is wrong if a look does not tell the wanted in time."""
        begun = time.monotonic()
        while (found := look()) != wanted:
            if time.monotonic() - begun > NOTICED_SECONDS:
                yield f"{what} is {found}, not {wanted}, after {NOTICED_SECONDS} s"
                break
            time.sleep(2)
        self.seconds = round(time.monotonic() - begun)

    def old_servers(self, status):
        """What the lost site's Nova says of the application's servers."""
        found = {each["name"]: each["status"] for each in Cloud(SOURCE).nova("GET", "/servers/detail")["servers"]}
        for server in SERVERS:
            if found.get(server.name) != status:
                yield f"{server.name} on {SOURCE} is {found.get(server.name, 'gone')}, not {status}"

    def clean_up(self):
        """What the lost site still has goes, and not before that a failback."""
        refusal = self.there.openstack("dr", "failback", NAME, code=1)
        self.check("a failback before the cleanup", without_text(refusal, "cleanup"), "a failback names the cleanup first")
        self.there.openstack("dr", "operation", "cleanup", self.failover["id"])
        self.check("the cleanup", faults(self.there.operation(self.failover["id"])))
        problems = self.stage.problems(SOURCE, is_here=False)
        self.check(SOURCE, problems, f"dr operation cleanup deletes all of it; {SOURCE} holds what else it held")

    def go_back(self):
        application.write(TARGET)
        before = application.digests(TARGET)
        move = self.here.move("failback", NAME)
        self.check("the failback", faults(move.record))
        self.check("the bytes after it", application.different(before, application.digests(SOURCE)), "with its bytes")
        self.check("the group", self.here.resting("active", SOURCE), f"failback in {move.seconds:.1f} s")
        self.check("the group", self.here.in_sync(), "the sites are in sync")
        for site in SITES:
            problems = self.stage.problems(site, is_here=site == SOURCE)
            self.check(site, problems, f"{site} is as it was at the start")
        self.check("what protector lists", self.here.orphans())
