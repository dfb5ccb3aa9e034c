# SPDX-License-Identifier: Apache-2.0
"""Operations: failovers, their cleanups, and so on."""

from __future__ import annotations

from typing import Any, cast

from protectorclient.v1.manager import Manager
from protectorclient.v1.records import CleanupPlan, Operation, Operations


class OperationManager(Manager):
    """``/v1/{project_id}/operations``."""

    def list(self, limit: int | None = None, **query: Any) -> Operations:
        """Operations that this site recorded, newest first."""
        found = self._transport.pages(self._in_project("operations"), "operations", limit, **query)
        return cast(Operations, found)

    def get(self, operation: str, *, detail: bool = False) -> Operation:
        """One operation; with ``detail`` each of its steps."""
        path = self._in_project("operations", operation)
        body = self._transport.get(path, detail="true" if detail else None)
        return cast(Operation, body["operation"])

    def cleanup(self, operation: str) -> tuple[Operation | None, CleanupPlan]:
        """Try again what the operation left; no operation comes back when nothing is left."""
        path = self._in_project("operations", operation, "cleanup")
        body = self._transport.post(path, {"cleanup": {}})
        child = cast("Operation | None", body["operation"])
        plan = body.get("cleanup") or (child or {}).get("cleanup")
        if plan is None:
            plan = {"skipped": 0, "retained": False, "steps": []}
        return child, cast(CleanupPlan, plan)
