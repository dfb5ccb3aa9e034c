# SPDX-License-Identifier: Apache-2.0
"""Protection groups, and what is done with them."""

from __future__ import annotations

from typing import Any

from protectorclient.v1.manager import Manager
from protectorclient.v1.records import (
    KeptPoint,
    KeptPoints,
    Operation,
    Preview,
    Readiness,
    Record,
    Records,
)

_GROUPS = "protection-groups"


class ProtectionGroupManager(Manager):
    """``/v1/{project_id}/protection-groups``."""

    def list(self, limit: int | None = None, **query: Any) -> Records:
        """All groups of the project, or those that the query keeps."""
        return self._transport.pages(
            self._in_project(_GROUPS), "protection_groups", limit, dict, **query
        )

    def create(self, fields: Record) -> Record:
        """Make a group."""
        answer = self._transport.post(self._in_project(_GROUPS), {"protection_group": fields})
        return answer.one("protection_group", dict)

    def get(self, group: str) -> Record:
        """One group, by name or id."""
        answer = self._transport.get(self._in_project(_GROUPS, group))
        return answer.one("protection_group", dict)

    def update(self, group: str, changes: Record, *, version: int | None = None) -> Record:
        """Change a group; fields left out stay.

        With ``version`` only if it still has that one; else ``faults.Changed``.
        """
        path = self._in_project(_GROUPS, group)
        answer = self._transport.put(path, {"protection_group": changes}, version=version)
        return answer.one("protection_group", dict)

    def delete(self, group: str) -> None:
        """Take the protection away; the VMs are not touched."""
        self._transport.delete(self._in_project(_GROUPS, group))

    def action(self, group: str, verb: str, arguments: Record) -> Operation:
        """Start an operation; ``verb`` is ``failover``, ``test_cleanup`` or the like."""
        path = self._in_project(_GROUPS, group, "action")
        return self._transport.post(path, {verb: arguments}).one("operation", Operation)

    def preview(self, group: str, verb: str, arguments: Record) -> Preview:
        """Look at what an operation would do; nothing is changed."""
        path = self._in_project(_GROUPS, group, "action")
        answer = self._transport.post(path, {verb: {**arguments, "dry_run": True}})
        return answer.one("preview", Preview)

    def recovery_points(self, group: str) -> KeptPoints:
        """List what the group can be brought to on its other site, newest first."""
        answer = self._transport.get(self._in_project(_GROUPS, group, "recovery-points"))
        return answer.many("recovery_points", KeptPoint)

    def check(self, group: str) -> Readiness:
        """Look for all that would make a failover or its cleanup fail now."""
        answer = self._transport.get(self._in_project(_GROUPS, group, "check"))
        return answer.one("check", Readiness)

    def recovery_plan(self, group: str) -> Record:
        """Return the order, probes, pauses and hooks of the group's recovery."""
        answer = self._transport.get(self._in_project(_GROUPS, group, "recovery-plan"))
        return answer.one("recovery_plan", dict)

    def set_recovery_plan(self, group: str, plan: Record, *, version: int | None = None) -> Record:
        """Replace the recovery plan as a whole.

        With ``version`` only if the group still has that one; else ``faults.Changed``.
        """
        path = self._in_project(_GROUPS, group, "recovery-plan")
        answer = self._transport.put(path, {"recovery_plan": plan}, version=version)
        return answer.one("recovery_plan", dict)

    def sync_status(self, group: str) -> Record:
        """Compare the group's metadata on both sites."""
        answer = self._transport.get(self._in_project(_GROUPS, group, "sync-status"))
        return answer.one("sync_status", dict)

    def reset_status(self, group: str, options: Record) -> Record:
        """Put the group at rest if both clouds show that it is where it is said to be."""
        path = self._in_project(_GROUPS, group, "reset-status")
        answer = self._transport.post(path, {"reset_status": options})
        return answer.one("reset_status", dict)

    def sync_force(self, group: str) -> Record:
        """Push the group's metadata to the other site now."""
        answer = self._transport.post(self._in_project(_GROUPS, group, "sync-force"), {})
        return answer.one("sync_status", dict)
