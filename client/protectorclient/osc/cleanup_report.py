# SPDX-License-Identifier: Apache-2.0
"""What ``dr operation cleanup`` prints while the server cleans up, in the manual's words."""

from __future__ import annotations

from collections.abc import Collection
from typing import TextIO

from protectorclient.v1.records import CleanupPlan, Operation, Step, is_terminal

_ENDED = ("done", "failed", "skipped", "undone", "undo_failed")

# A volume in one of these still has to come off its server; the status that counts is the next one.
_COMING_OFF = ("in-use", "detaching", "reserved")


class CleanupReport:
    """The lines about the cleanup of one operation.

    The server works on several resources at once. The report tells of them in the runbook's order,
    one after the other, so that each resource's lines stay together: of the first that has not
    ended it prints each line as it happens, of the others nothing until their turn.
    """

    def __init__(
        self, stream: TextIO, operation: str, plan: CleanupPlan, failed_before: Collection[str]
    ) -> None:
        self._stream = stream
        self._failed_before = failed_before
        self._retained = plan["retained"]
        self._retained_said = False
        self._turn = 0
        self._said = 0
        self._order: list[str] = list(plan["steps"])
        self.deleted = 0
        self.left = 0
        self._line(f"Retrying cleanup for operation {operation}...")
        mixed = any(key in failed_before for key in self._order)
        if plan["skipped"] and (mixed or not self._retained):
            self._line(f"Skipping already-cleaned resources ({plan['skipped']} skipped)")

    def update(self, cleanup: Operation) -> None:
        """Print what has become known; ``cleanup`` is the cleanup operation with its steps."""
        steps = {step["key"]: step for step in cleanup.get("steps") or []}
        if steps:
            known = set(self._order)
            self._order += [key for key in steps if key not in known]
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
        resources = "resource" if self.deleted == 1 else "resources"
        failures = "failure" if self.left == 1 else "failures"
        mark = "✓ " if self.left == 0 and self._can_show("✓") else ""
        self._line(
            f"{mark}Cleanup completed. {self.deleted} {resources} deleted, {self.left} {failures}."
        )

    def break_off(self) -> None:
        """Leave a line that was begun."""
        if self._said in (1, 3):
            self._line("")

    def _tell(self, step: Step, over: bool, why: str | None) -> bool:
        """Print the lines of one resource as far as they are known; whether it has ended."""
        ended = over or step["state"] in _ENDED
        if step["state"] == "pending" and not ended:
            return False
        if self._is_retained(step):
            self._say_retained()
            self._said = max(self._said, 2)
        if self._said == 0:
            self._line(f"Retrying: {step['key']}")
            self._said = 2
            if _word(step):
                self._part(f"Checking {_word(step)} status on {step.get('site')}...")
                self._said = 1
        if self._said == 1:
            observed = _settled(step, ended)
            if observed is None:
                return False
            self._line(f" {observed}")
            self._said = 2
        if self._said == 2:
            name = step.get("resource_id") or step["key"].partition(":")[2] or step["key"]
            self._part(
                f"Deleting {_word(step)} {name}..." if _word(step) else f"Cleaning {name}..."
            )
            self._said = 3
        if not ended:
            return False
        self._end(step, why)
        return True

    def _end(self, step: Step, why: str | None) -> None:
        if step["state"] == "done":
            self.deleted += 1
            self._line(" done")
            return
        self.left += 1
        self._line(f" failed: {step.get('error') or why or 'it was not tried'}")

    def _is_retained(self, step: Step) -> bool:
        return (
            self._retained
            and step["key"] not in self._failed_before
            and step.get("resource_type", "volume") == "volume"
        )

    def _say_retained(self) -> None:
        if not self._retained_said:
            self._line("Volumes retained by configuration — processing now:")
            self._retained_said = True

    def _line(self, text: str) -> None:
        self._part(text + "\n")

    def _part(self, text: str) -> None:
        if not self._can_show(text):
            encoding = self._stream.encoding or "ascii"
            text = text.replace("—", "-").encode(encoding, "replace").decode(encoding)
        self._stream.write(text)
        self._stream.flush()

    def _can_show(self, text: str) -> bool:
        try:
            text.encode(self._stream.encoding or "ascii")
        except UnicodeEncodeError:
            return False
        return True


def _word(step: Step) -> str:
    return step.get("resource_type") or ""


def _settled(step: Step, ended: bool) -> str | None:
    """Return the status to print; None while a better one may come."""
    observed = step.get("observed")
    if ended:
        return observed or ("not found" if step["state"] == "done" else "unknown")
    return None if observed in _COMING_OFF else observed
