# SPDX-License-Identifier: Apache-2.0
"""Operations: failovers, their cleanups, and so on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protectorclient.v1.answers import Answer
from protectorclient.v1.manager import Manager
from protectorclient.v1.records import CleanupPlan, Ids, Operation, Operations, Record


class OperationManager(Manager):
    """``/v1/{project_id}/operations``."""

    def list(self, limit: int | None = None, **query: Any) -> Operations:
        """Operations that this site recorded, newest first."""
        path = self._in_project("operations")
        return self._transport.pages(path, "operations", limit, Operation, **query)

    def get(self, operation: str, *, detail: bool = False) -> Operation:
        """One operation; with ``detail`` each of its steps."""
        path = self._in_project("operations", operation)
        answer = self._transport.get(path, detail="true" if detail else None)
        return answer.one("operation", Operation)

    def resume(self, operation: str) -> Operation:
        """Let a paused operation go on."""
        answer = self._transport.post(self._in_project("operations", operation, "resume"), {})
        return answer.one("operation", Operation)

    def abort(
        self, operation: str, *, target_is_lost: bool = False
    ) -> tuple[Operation, Sequence[Record]]:
        """Give an operation up that has not moved its group.

        With ``target_is_lost`` the operation that comes back starts the VMs again that it stopped.
        With it come the copies that it had made, and what becomes of each.
        """
        path = self._in_project("operations", operation, "abort")
        options = {"target_is_lost": True} if target_is_lost else {}
        answer = self._transport.post(path, {"abort": options})
        return answer.one("operation", Operation), answer.many_if_any("copies", dict)

    def adopt(self, operation: str, options: Record | None = None) -> Operation:
        """Go forward with the copies of a failed operation that could not be taken back.

        The operation that comes back makes them the group. With ``source_is_lost`` in ``options``
        it does so without a look at their originals.
        """
        path = self._in_project("operations", operation, "adopt")
        return self._transport.post(path, {"adopt": options or {}}).one("operation", Operation)

    def cleanup(
        self,
        operation: str,
        resources: Ids | None = None,
        delete_running: Ids | None = None,
        *,
        release_floating_ips: bool = False,
    ) -> tuple[Operation | None, CleanupPlan]:
        """Remove what the operation left; no operation comes back when nothing is left.

        With ``resources`` only the leftovers with these ids. Servers that run are kept, but for
        those that ``delete_running`` names by id or name. ``release_floating_ips`` releases those
        that deleted servers had.
        """
        options: Record = {} if resources is None else {"resources": resources}
        more = _asked_for(delete_running, release_floating_ips)
        answer = self._cleanup(operation, {**options, **more})
        return answer.one_or_none("operation", Operation), answer.one("cleanup", CleanupPlan)

    def cleanup_plan(
        self,
        operation: str,
        delete_running: Ids | None = None,
        *,
        release_floating_ips: bool = False,
    ) -> CleanupPlan:
        """Look at what a cleanup would do; nothing is changed and no cloud is asked."""
        more = _asked_for(delete_running, release_floating_ips)
        options: Record = {"dry_run": True, **more}
        return self._cleanup(operation, options).one("cleanup", CleanupPlan)

    def _cleanup(self, operation: str, options: Record) -> Answer:
        path = self._in_project("operations", operation, "cleanup")
        return self._transport.post(path, {"cleanup": options})


def _asked_for(running: Ids | None, release_floating_ips: bool) -> Record:
    """Say what goes only where it is asked for; protectors that know of no such are not told."""
    asked: Record = {"delete_running": running} if running else {}
    if release_floating_ips:
        asked["release_floating_ips"] = True
    return asked
