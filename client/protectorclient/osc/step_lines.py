# SPDX-License-Identifier: Apache-2.0
"""The steps of an operation as lines for people."""

from __future__ import annotations

from datetime import datetime

from protectorclient.osc.columns import ListColumn
from protectorclient.osc.terminal import one_line
from protectorclient.v1.records import Step

_STATE_WIDTH = len("undo_failed")
_INDENT = " " * (_STATE_WIDTH + 1)


class Steps(ListColumn):
    """A line for each step, and below it what is known about it."""

    def human_readable(self) -> str:
        """Text for a terminal."""
        return "\n".join(line for step in self._value for line in _lines(step))


def _lines(step: Step) -> list[str]:
    below = [
        *_when(step),
        *_about(step),
        *(f"fact: {fact}" for fact in step.get("facts") or []),
        *(f"waits for: {note}" for note in [step.get("note")] if note),
        *_reason(step),
        *(f"requests: {', '.join(ids)}" for ids in [step.get("request_ids")] if ids),
    ]
    head = f"{step['state']:<{_STATE_WIDTH}} {one_line(step['key'])}"
    return [head, *(_INDENT + one_line(line) for line in below)]


def _when(step: Step) -> list[str]:
    start, end = step.get("started_at"), step.get("finished_at")
    if not start:
        return []
    tries = step.get("tries", 0)
    parts = [f"{start} to {end} ({_seconds(start, end)} s)" if end else f"since {start}"]
    if tries:
        parts.append("1 try" if tries == 1 else f"{tries} tries")
    if step.get("failed_tries"):
        parts.append(f"{step['failed_tries']} failed")
    return [", ".join(parts)]


def _about(step: Step) -> list[str]:
    kind, identity = step.get("resource_type"), step.get("resource_id")
    parts = [f"{kind} {identity}"] if kind and identity else []
    if step.get("site"):
        parts.append(f"on {step['site']}")
    text = " ".join(parts)
    if step.get("observed"):
        text += f", last seen {step['observed']}"
    return [text] if text else []


def _reason(step: Step) -> list[str]:
    error = step.get("error")
    if not error:
        return ["reason: retained by configuration"] if step.get("retained") else []
    code = f" [{step['error_code']}]" if step.get("error_code") else ""
    word = "reason" if step["state"] == "skipped" else "error"
    return [f"{word}: {error}{code}"]


def _seconds(start: str, end: str) -> int:
    return int((_time(end) - _time(start)).total_seconds())


def _time(stamp: str) -> datetime:
    # Python 3.9 and 3.10 do not read the Z.
    return datetime.fromisoformat(stamp.replace("Z", "+00:00"))
