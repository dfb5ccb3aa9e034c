# SPDX-License-Identifier: Apache-2.0
"""What a cleanup prints while the server cleans up, in the manual's words."""

from __future__ import annotations

from typing import NamedTuple, TextIO

from protectorclient.osc import terminal
from protectorclient.osc.terminal import one_line
from protectorclient.v1 import faults
from protectorclient.v1.records import CleanupPlan, Leftover, Operation, Step, is_terminal

_ENDED = ("done", "failed", "skipped", "undone", "undo_failed")

# A volume in one of these still has to come off its server; the status that counts is the next one.
_COMING_OFF = ("in-use", "detaching", "reserved")

_UNDO = "undo:"

_RELEASE = "release_floating_ip:"
_RESYNC = "resync_volume:"

# What takes back a phase that cannot be taken back by a deletion.
_TAKING_BACK = {
    "stop_source_vms": "Starting",
    "manage_volumes": "Unmanaging",
    "promote_volumes": "Discarding the copy of",
    "fence_volumes": "Setting free",
}


class Outcome(NamedTuple):
    """What came of one step of a cleanup."""

    operation: str
    step: str
    resource_type: str
    resource_id: str
    site: str
    result: str
    error: str


class CleanupReport:
    """The lines about the cleanup of one operation.

    The server works on several resources at once. The report tells of them one after the other, so
    that each resource's lines stay together: of the first that has not ended it prints each line as
    it happens, of the others nothing until their turn. Resources that failed before come first,
    then those that were retained, under a heading of their own.
    """

    def __init__(self, stream: TextIO, operation: str, plan: CleanupPlan) -> None:
        self._stream = stream
        self._operation = operation
        self._retained = frozenset(plan["retained"])
        self._leftovers = {entry["step"]: entry for entry in plan.get("leftovers") or []}
        self._retained_said = False
        self._turn = 0
        self._said = 0
        self._order = sorted(plan["steps"], key=lambda step: step in self._retained)
        self.outcomes: list[Outcome] = []
        self._line(f"Retrying cleanup for operation {operation}...")
        if plan["skipped"] and not self._retained.issuperset(self._order):
            self._line(f"Skipping already-cleaned resources ({plan['skipped']} skipped)")

    @property
    def left(self) -> int:
        """How many resources are still there."""
        return sum(outcome.result != "done" for outcome in self.outcomes)

    def update(self, cleanup: Operation) -> None:
        """Print what has become known; ``cleanup`` is the cleanup operation with its steps."""
        steps = {step["key"]: step for step in cleanup.get("steps") or []}
        over = is_terminal(cleanup)
        while self._turn < len(self._order):
            key = self._order[self._turn]
            step = steps.get(key, Step(key=key, state="pending"))
            if not self._tell(step, over, cleanup.get("error")):
                return
            self._turn += 1
            self._said = 0

    def close(self) -> None:
        """Print the closing line."""
        done = [outcome.step for outcome in self.outcomes if outcome.result == "done"]
        released = sum(step.startswith(_RELEASE) for step in done)
        resynced = sum(step.startswith(_RESYNC) for step in done)
        back = sum(_verb(step) != "Deleting" for step in done) - released - resynced
        deleted = len(done) - back - released - resynced
        parts = [f"{deleted} {'resource' if deleted == 1 else 'resources'} deleted"]
        if released:
            parts.append(f"{released} floating {'IP' if released == 1 else 'IPs'} released")
        if resynced:
            parts.append(f"{resynced} {'volume' if resynced == 1 else 'volumes'} resynchronised")
        if back:
            parts.append(f"{back} taken back")
        parts.append(f"{self.left} {'failure' if self.left == 1 else 'failures'}")
        mark = "✓ " if self.left == 0 and self._can_show("✓") else ""
        self._line(f"{mark}Cleanup completed. {', '.join(parts)}.")

    def break_off(self) -> None:
        """Leave a line that was begun."""
        if self._said in (1, 3):
            self._line("")

    def _tell(self, step: Step, over: bool, why: str | None) -> bool:
        """Print the lines of one resource as far as they are known; whether it has ended."""
        ended = over or step["state"] in _ENDED
        if step["state"] == "pending" and not ended:
            return False
        key = step["key"]
        kind = self._kind(step)
        if key in self._retained:
            self._say_retained()
            self._said = max(self._said, 2)
        if self._said == 0:
            self._line(f"Retrying: {one_line(key)}")
            self._said = 2
            # What is made a replica is out of Cinder by then, and has no status.
            if kind and not key.startswith(_RESYNC):
                self._part(f"Checking {kind.replace('_ip', ' IP')} status on {self._site(step)}...")
                self._said = 1
        if self._said == 1:
            observed = _settled(step, ended)
            if observed is None:
                return False
            self._line(f" {one_line(observed)}")
            self._said = 2
        if self._said == 2:
            name = self._id(step) or one_line(key.rpartition(":")[2])
            if key.startswith(_RELEASE):
                kind, name = "floating IP", one_line(key.removeprefix(_RELEASE))
            self._part(f"{_verb(key)} {kind} {name}..." if kind else f"Cleaning {name}...")
            self._said = 3
        if not ended:
            return False
        self._end(step, why)
        return True

    def _end(self, step: Step, why: str | None) -> None:
        done = step["state"] == "done"
        error = "" if done else one_line(step.get("error") or why or "it was not tried")
        self.outcomes.append(
            Outcome(
                self._operation,
                step["key"],
                self._kind(step),
                self._id(step),
                self._site(step),
                "done" if done else "failed",
                error,
            )
        )
        if done:
            self._line(" done")
        else:
            kept = step.get("error_code") == faults.KEPT
            self._line(f" {error}" if kept else f" failed: {error}")

    def _leftover(self, step: Step) -> Leftover | None:
        return self._leftovers.get(step["key"])

    def _kind(self, step: Step) -> str:
        left = self._leftover(step)
        return (left["resource_type"] if left else step.get("resource_type")) or ""

    def _id(self, step: Step) -> str:
        left = self._leftover(step)
        return (left["resource_id"] if left else step.get("resource_id")) or ""

    def _site(self, step: Step) -> str:
        left = self._leftover(step)
        return (left["site"] if left else step.get("site")) or ""

    def _say_retained(self) -> None:
        if not self._retained_said:
            # Retaining source volumes is for volumes alone; a test's leftovers are servers too.
            volumes = all(step.partition(":")[0].endswith("_volume") for step in self._retained)
            what = "Volumes" if volumes else "Resources"
            self._line(f"{what} retained by configuration — processing now:")
            self._retained_said = True

    def _line(self, text: str) -> None:
        self._part(text + "\n")

    def _part(self, text: str) -> None:
        if not self._can_show("—"):
            text = text.replace("—", "-")
        terminal.write(self._stream, text)

    def _can_show(self, text: str) -> bool:
        return terminal.encodable(self._stream, text) == text


def _verb(key: str) -> str:
    """Say what is done: a deletion, but for what takes back something else than a creation."""
    if key.startswith(_RELEASE):
        return "Releasing"
    if key.startswith(_RESYNC):
        return "Resynchronising"
    if not key.startswith(_UNDO):
        return "Deleting"
    return _TAKING_BACK.get(key.split(":")[1], "Deleting")


def _settled(step: Step, ended: bool) -> str | None:
    """Return the status to print; None while a better one may come."""
    observed = step.get("observed")
    if ended:
        return observed or ("not found" if step["state"] == "done" else "unknown")
    return None if observed in _COMING_OFF else observed
