# SPDX-License-Identifier: Apache-2.0
"""What the REST API answers with."""

from __future__ import annotations

from typing import Any, TypedDict

Record = dict[str, Any]
"""A JSON object that commands show as it is."""

Records = list[Record]
"""Several of them. Managers need the name: their method ``list`` hides the built-in one."""

Ids = list[str]
"""Ids of resources."""


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
    started_at: str | None
    finished_at: str | None
    tries: int
    failed_tries: int
    request_ids: list[str]
    facts: list[str]
    note: str | None
    observed: str | None
    error: str | None
    error_code: str | None
    retained: bool


class Leftover(TypedDict):
    """What an ended operation left behind; ``command`` removes it by hand on its site."""

    step: str
    resource_type: str | None
    resource_id: str | None
    name: str
    site: str
    project_id: str
    size_gib: int | None
    reason: str
    error: str | None
    error_code: str | None
    since: str | None
    command: str


class CleanupPlan(TypedDict):
    """What a cleanup has to do; ``retained`` are those of its steps that configuration kept."""

    skipped: int
    retained: list[str]
    steps: list[str]
    leftovers: list[Leftover]


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
    home_site: str
    leftovers: int
    steps: list[Step]
    cleanup: CleanupPlan | None


Operations = list[Operation]
"""Several of them."""


class Orphan(TypedDict, total=False):
    """A resource that an earlier operation left on a site."""

    resource_type: str
    resource_id: str
    name: str
    size_gib: int | None
    site: str
    status: str | None
    seen: str
    operation_id: str | None
    step: str | None
    protection_group: str | None
    since: str | None
    age_seconds: int | None
    reason: str
    used_by: list[str]
    deletable: bool
    why_not: str | None


class QuotaShare(TypedDict):
    """How much of one quota is used, and how much of that by orphans; a limit below 0 is none."""

    used: int
    limit: int
    orphans: int


class OrphanSite(TypedDict):
    """A site on which orphans were looked for."""

    site: str
    project_id: str
    status: str
    error: str | None
    quota: dict[str, QuotaShare] | None


TERMINAL = ("completed", "failed")
"""Statuses after which nothing happens to an operation any more."""


def is_terminal(operation: Operation) -> bool:
    """Whether the operation has ended, well or badly."""
    return operation["status"] in TERMINAL


def is_awaiting_cleanup(operation: Operation) -> bool:
    """Whether it is a test failover whose VMs are up: it runs until a test cleanup ends it."""
    return operation.get("phase") == "awaiting_cleanup"
