# SPDX-License-Identifier: Apache-2.0
"""Protection groups, and what is done with them."""

from __future__ import annotations

from typing import Any, cast

from protectorclient.v1.manager import Manager
from protectorclient.v1.records import Operation, Record, Records

_GROUPS = "protection-groups"


class ProtectionGroupManager(Manager):
    """``/v1/{project_id}/protection-groups``."""

    def list(self, limit: int | None = None, **query: Any) -> Records:
        """All groups of the project, or those that the query keeps."""
        return self._transport.pages(self._in_project(_GROUPS), "protection_groups", limit, **query)

    def create(self, fields: Record) -> Record:
        """Make a group."""
        body = self._transport.post(self._in_project(_GROUPS), {"protection_group": fields})
        return cast(Record, body["protection_group"])

    def get(self, group: str) -> Record:
        """One group, by name or id."""
        body = self._transport.get(self._in_project(_GROUPS, group))
        return cast(Record, body["protection_group"])

    def update(self, group: str, changes: Record) -> Record:
        """Change a group; fields left out stay."""
        body = self._transport.put(self._in_project(_GROUPS, group), {"protection_group": changes})
        return cast(Record, body["protection_group"])

    def delete(self, group: str) -> None:
        """Take the protection away; the VMs are not touched."""
        self._transport.delete(self._in_project(_GROUPS, group))

    def action(self, group: str, verb: str, arguments: Record) -> Operation:
        """Start an operation; ``verb`` is ``failover``, ``test_cleanup`` or the like."""
        path = self._in_project(_GROUPS, group, "action")
        return cast(Operation, self._transport.post(path, {verb: arguments})["operation"])

    def sync_status(self, group: str) -> Record:
        """Compare the group's metadata on both sites."""
        body = self._transport.get(self._in_project(_GROUPS, group, "sync-status"))
        return cast(Record, body["sync_status"])

    def sync_force(self, group: str) -> Record:
        """Push the group's metadata to the other site now."""
        body = self._transport.post(self._in_project(_GROUPS, group, "sync-force"), {})
        return cast(Record, body["sync_status"])
