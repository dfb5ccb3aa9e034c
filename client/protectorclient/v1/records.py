# SPDX-License-Identifier: Apache-2.0
"""What the REST API answers with."""

from __future__ import annotations

from typing import Any, TypedDict

Record = dict[str, Any]
"""A JSON object that commands show as it is."""

Records = list[Record]
"""Several of them. Managers need the name: their method ``list`` hides the built-in one."""


class FailedStep(TypedDict):
    """One entry of ``steps_failed``."""

    step: str
    error: str
    resource_id: str | None


class Step(TypedDict, total=False):
    """One line of an operation, as ``detail=true`` shows it."""

    key: str
    phase: str
    state: str
    site: str
    resource_type: str | None
    resource_id: str | None
    note: str | None
    observed: str | None
    error: str | None


class CleanupPlan(TypedDict):
    """What a cleanup set out to do."""

    skipped: int
    retained: bool
    steps: list[str]


class Operation(TypedDict, total=False):
    """An operation's record; times are UTC, ``2025-11-03T14:00:00Z``; progress is percent."""

    id: str
    operation_type: str
    status: str
    progress: int
    source_site: str
    target_site: str
    started_at: str | None
    completed_at: str | None
    steps_completed: list[str]
    steps_failed: list[FailedStep]
    error: str | None
    error_code: str | None
    protection_group_id: str
    protection_group: str
    parent_operation_id: str | None
    phase: str | None
    created_at: str
    request_id: str
    steps: list[Step]
    cleanup: CleanupPlan | None


Operations = list[Operation]
"""Several of them."""

TERMINAL = ("completed", "failed")
"""Statuses after which nothing happens to an operation any more."""


def is_terminal(operation: Operation) -> bool:
    """Whether the operation has ended, well or badly."""
    return operation["status"] in TERMINAL
