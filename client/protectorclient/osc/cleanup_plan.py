# SPDX-License-Identifier: Apache-2.0
"""What ``dr operation cleanup --dry-run`` prints."""

from __future__ import annotations

from protectorclient.osc import columns
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.commands import Listed
from protectorclient.osc.terminal import in_one_line, one_line
from protectorclient.v1 import faults
from protectorclient.v1.records import CleanupPlan, FloatingIP, Leftover, Record

_FIELDS = {
    "Operation": "operation",
    "Step": "step",
    "Type": "resource_type",
    "ID": "resource_id",
    "Name": "name",
    "Size": "size_gib",
    "Site": "site",
    "Project": "project_id",
    "Reason": "reason",
    "Error": "error",
    "Since": "since",
    "Command": "command",
}

_REASONS = {
    "failed": "its deletion failed",
    "not_taken_back": "the failed operation could not take it back",
}

TO_RELEASE = "released as was asked for: another project may get the address then"

BY_HAND = (
    "A command by hand is not guarded: look first that nothing uses the resource, with "
    "'openstack server show' or 'openstack volume show'."
)

ALSO_RUNNING = "it is deleted though it runs: what it has written since it was started is lost"


def rows(plans: dict[str, CleanupPlan]) -> Listed:
    """Headings and rows for scripts: a row for each leftover of each operation."""
    entries: list[Record] = [
        {"operation": operation, **entry}
        for operation, plan in plans.items()
        for entry in [*plan["leftovers"], *map(_row_of, _floating_ips(plan))]
    ]
    return columns.rows(entries, _FIELDS)


def lines(operation: str, plan: CleanupPlan) -> list[str]:
    """Write the plan of one operation for people."""
    count = len(plan["leftovers"]) + len(_floating_ips(plan))
    text = [
        f"Plan of the cleanup of operation {operation}: "
        f"{count} {'resource' if count == 1 else 'resources'}. Nothing was changed."
    ]
    if plan["skipped"]:
        text.append(f"Skipping already-cleaned resources ({plan['skipped']} skipped)")
    named = plan.get("delete_running") or []
    running = [entry for entry in plan["leftovers"] if entry["step"] in named]
    for entry in plan["leftovers"]:
        text += _entry(entry)
        if entry in running:
            text.append(f"  {ALSO_RUNNING}")
    text += [line for entry in _floating_ips(plan) for line in _release(entry)]
    options: list[tuple[str, str | None]] = [
        ("--delete-running", entry["resource_id"] or entry["name"]) for entry in running
    ]
    if _floating_ips(plan):
        options.append(("--release-floating-ips", None))
    return [*text, f"To clean up: {openstack('dr operation cleanup', operation, options=options)}"]


def _floating_ips(plan: CleanupPlan) -> list[FloatingIP]:
    return plan.get("floating_ips") or []


def _row_of(entry: FloatingIP) -> Record:
    return {
        **entry,
        "resource_type": "floating_ip",
        "name": entry["address"],
        "reason": "release",
    }


def _release(entry: FloatingIP) -> list[str]:
    identity = entry["resource_id"] or "(ID not known)"
    return [
        one_line(entry["step"]),
        one_line(
            f"  floating IP {identity} ({entry['address']}) of {entry['server']} on "
            f"{entry['site']}, project {entry['project_id']}"
        ),
        f"  {TO_RELEASE}",
        f"  by hand: {in_one_line(entry['command'])}",
    ]


def _entry(entry: Leftover) -> list[str]:
    return [
        one_line(entry["step"]),
        f"  {one_line(_what(entry))}",
        f"  why it is left: {one_line(_why(entry))}",
        f"  by hand: {in_one_line(entry['command'])}",
    ]


def _what(entry: Leftover) -> str:
    identity = f" {entry['resource_id']}" if entry["resource_id"] else ""
    named = f" ({entry['name']})" if entry["name"] and entry["name"] != entry["resource_id"] else ""
    size = "" if entry["size_gib"] is None else f", {entry['size_gib']} GiB"
    kind = entry["resource_type"] or "step"
    return f"{kind}{identity}{named}{size} on {entry['site']}, project {entry['project_id']}"


def _why(entry: Leftover) -> str:
    error = entry["error"] or ""
    since = f" on {entry['since']}" if entry["since"] else ""
    if entry["reason"] == "retained":
        return f"{error or 'retained by configuration'}{since}"
    code = f" [{entry['error_code']}]" if entry["error_code"] else ""
    if entry["error_code"] == faults.KEPT and error:
        return f"it was kept{since}: {error.removeprefix('kept: ')}{code}"
    reason = _REASONS.get(entry["reason"], entry["reason"])
    return f"{reason}{since}{f': {error}' if error else ''}{code}"
