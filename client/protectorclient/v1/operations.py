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
        self, operation: str, resources: Ids | None = None, delete_running: Ids | None = None
    ) -> tuple[Operation | None, CleanupPlan]:
        """Remove what the operation left; no operation comes back when nothing is left.

        With ``resources`` only the leftovers with these ids. Servers that run are kept, but for
        those that ``delete_running`` names by id or name.
        """
        options: Record = {} if resources is None else {"resources": resources}
        answer = self._cleanup(operation, {**options, **_also_running(delete_running)})
        return answer.one_or_none("operation", Operation), answer.one("cleanup", CleanupPlan)

    def cleanup_plan(self, operation: str, delete_running: Ids | None = None) -> CleanupPlan:
        """Look at what a cleanup would do; nothing is changed and no cloud is asked."""
        options: Record = {"dry_run": True, **_also_running(delete_running)}
        return self._cleanup(operation, options).one("cleanup", CleanupPlan)

    def _cleanup(self, operation: str, options: Record) -> Answer:
        path = self._in_project("operations", operation, "cleanup")
        return self._transport.post(path, {"cleanup": options})


def _also_running(servers: Ids | None) -> Record:
    """Name the servers that go though they run; protectors that know of none are not told."""
    return {"delete_running": servers} if servers else {}
