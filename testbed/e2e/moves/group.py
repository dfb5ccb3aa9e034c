"""The application's protection group: what is typed, and what its records must say."""

import json
import os
import time
from dataclasses import dataclass, field
from datetime import datetime

from terminal import NotSo, Terminal

from . import application
from .application import SOURCE, TARGET

NAME = "shop"
# The policy's words for the arrays of each back end that a testbed is made with.
ARRAYS = {
    "dir": ("--primary-fa-url", "mock://array-a", "--secondary-fa-url", "mock://array-b"),
    "rbd": ("--primary-array", "ceph-a", "--secondary-array", "ceph-b"),
}


@dataclass
class Move:
    """An ended operation: its record, and how long the command took that waited for it."""

    record: dict
    seconds: float
    said: str


@dataclass
class Findings:
    """What is not so. The same is told once, however often it is found."""

    told: set = field(default_factory=set)

    def of(self, place, problems):
        """Prints what has not been found before; whether there was nothing to find."""
        problems = list(problems)
        for problem in problems:
            if problem not in self.told:
                print(f"  not so: {place}: {problem}", flush=True)
        again = sum(problem in self.told for problem in problems)
        if again:
            print(f"  not so: {place}: {again} of the above again", flush=True)
        self.told.update(problems)
        return not problems


class Group(Terminal):
    """The group, worked with from a site where both are named, that one first."""

    def __init__(self, log, cloud=SOURCE):
        super().__init__(log, cloud, secondary=TARGET if cloud == SOURCE else SOURCE)

    def protect(self):
        """Makes the group, with all servers of the application."""
        mappings = [word for name in application.NETWORKS for word in ("--network-mapping", f"{name}={name}")]
        sites = ["--primary-site", SOURCE, "--secondary-site", TARGET]
        self.openstack("dr", "protection-group", "create", NAME, *sites, "--volume-type", "replicated", *mappings)
        self.openstack("dr", "policy", "create", NAME, *ARRAYS[os.environ["TESTBED_BACKEND"]], "--rpo-minutes", "15")
        self.openstack("dr", "member", "add", NAME, *(server.name for server in application.SERVERS))

    def move(self, *words, code=0):
        """Types `dr WORDS --wait` and reads the record of what that did."""
        begun = time.monotonic()
        done = self.run("dr", *words, "--wait", "-f", "json")
        seconds = time.monotonic() - begun
        if done.returncode != code:
            said = (done.stdout + done.stderr)[-1500:]
            raise NotSo(f"'openstack dr {' '.join(words)}' ended with {done.returncode}, not {code}: {said}")
        return Move(self.operation(json.loads(done.stdout)["operation_id"]), seconds, done.stderr)

    def operation(self, operation):
        return self.shown("dr", "operation", "show", operation, "--detail")

    def status(self):
        """The group's status, and the site where it runs."""
        shown = self.shown("dr", "protection-group", "show", NAME)
        return shown["status"], shown["current_primary_site"]

    def resting(self, status, site):
        """What is wrong with the group where it should be at rest on this site."""
        found = self.status()
        if found != (status, site):
            yield f"the group is {found[0]} on {found[1]}, not {status} on {site}"

    def in_sync(self):
        """What is wrong with the two sites' knowledge of the group."""
        said = self.openstack("dr", "protection-group", "sync-status", NAME)
        if "IN SYNC" not in said:
            yield f"the sites are not in sync: {said}"

    def orphans(self):
        """What protector itself believes to be left on any of its sites."""
        for orphan in json.loads(self.openstack("dr", "orphan", "list", "-f", "json")):
            yield f"protector lists an orphan: {orphan}"

    def shown(self, *words):
        return json.loads(self.openstack(*words, "-f", "json"))


def phases(record):
    """Each kind of line with the seconds from the first one's start to the last one's end, in the order in which they began."""
    begun, ended = {}, {}
    for step in record.get("steps") or ():
        if step.get("started_at") and step.get("finished_at"):
            kind = step["key"].partition(":")[0]
            start, end = (datetime.fromisoformat(step[key]) for key in ("started_at", "finished_at"))
            begun[kind] = min(start, begun.get(kind, start))
            ended[kind] = max(end, ended.get(kind, end))
    return ", ".join(f"{kind} {(ended[kind] - begun[kind]).total_seconds():.1f}" for kind in sorted(begun, key=begun.get))


def faults(record, status=("completed",), failed=()):
    """What is wrong with an operation's record."""
    if record["status"] not in status:
        yield f"the operation is {record['status']}: {record.get('error')}"
    for entry in record["steps_failed"]:
        if entry["step"] not in failed:
            yield f"step {entry['step']} failed: {entry['error']}"
    for step in set(failed) - {entry["step"] for entry in record["steps_failed"]}:
        yield f"step {step} is not among those that failed"


def notes(record):
    """What protector did otherwise than asked, and says so: a new address, a missing key pair."""
    for step in record.get("steps") or ():
        for fact in step.get("facts") or ():
            if "a new one is used" in fact or "built without" in fact or "Nova chooses" in fact:
                yield f"{step['key']}: {fact}"


def log_file(name):
    return os.path.join(os.environ["E2E_DIR"], "log", name + ".log")
