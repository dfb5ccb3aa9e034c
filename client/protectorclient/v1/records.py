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


class FloatingIP(TypedDict):
    """A floating IP that a cleanup releases; ``command`` does it by hand on its site."""

    step: str
    resource_id: str | None
    address: str
    server: str
    site: str
    project_id: str
    command: str


class _CleanupPlan(TypedDict):
    """What every plan of a cleanup has."""

    skipped: int
    retained: list[str]
    steps: list[str]
    leftovers: list[Leftover]


class CleanupPlan(_CleanupPlan, total=False):
    """What a cleanup has to do.

    Of its steps ``retained`` are those that configuration kept, ``delete_running`` those whose
    servers go though they run, and ``floating_ips`` those that release one; earlier protectors do
    not name the last two.
    """

    delete_running: list[str]
    floating_ips: list[FloatingIP]


class RecoveryPoint(TypedDict, total=False):
    """The state of the volumes that an operation brings up; its age is for previews only."""

    id: str
    taken_at: str
    age_seconds: int


class KeptPoint(TypedDict):
    """What a group can be brought to on its other site."""

    id: str
    taken_at: str
    age_seconds: int
    consistency: str
    for_failover: bool
    array: str


KeptPoints = list[KeptPoint]
"""Newest first."""


class Pause(TypedDict):
    """Where an operation waits for somebody to resume it."""

    message: str


class _Operation(TypedDict):
    """What every record of an operation has."""

    id: str
    operation_type: str
    status: str
    progress: int


class Operation(_Operation, total=False):
    """An operation's record; times are UTC, ``2025-11-03T14:00:00Z``; progress is percent."""

    planning: str | None
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
    steps: list[Step] | None
    cleanup: CleanupPlan | None
    recovery_point: RecoveryPoint | None
    data_loss_seconds: int | None
    outage_started_at: str | None
    outage_seconds: int | None
    paused_at: Pause | None


Operations = list[Operation]
"""Several of them."""


class MemberVolume(TypedDict):
    """A volume of a member, as a preview shows it."""

    name: str
    id: str
    size_gib: int


class ChangedAttribute(TypedDict):
    """What becomes another on the copy; None where nobody tells."""

    field: str
    what: str | None
    copy: str | None
    why: str | None


class LackingAttribute(TypedDict):
    """What the copy lacks, what nobody knows of it, or what refuses the move."""

    field: str
    what: str | None
    why: str | None


class MemberAttributes(TypedDict):
    """What becomes of a member's attributes; ``kept`` is how many the copy has as they are."""

    kept: int
    changed: list[ChangedAttribute]
    lost: list[LackingAttribute]
    unknown: list[LackingAttribute]
    refused: list[LackingAttribute]


class _MemberPreview(TypedDict):
    """What every preview of a member has."""

    name: str
    server_id: str
    volumes: list[MemberVolume]
    networks: dict[str, str]
    flavor: str


class MemberPreview(_MemberPreview, total=False):
    """What becomes of a member; ``flavor`` is the one on the target site.

    ``attributes`` is there from API version 1.3 on.
    """

    attributes: MemberAttributes | None


class Capabilities(TypedDict):
    """What replication between two arrays can do."""

    driver: str
    promotion: str
    way_back: str
    fences_source: bool
    linked_deletion: bool


class _Preview(TypedDict):
    operation_type: str
    type: str | None
    source_site: str
    target_site: str
    recovery_point: RecoveryPoint | None
    members: list[MemberPreview]
    steps: list[str]
    retain_source_volumes: bool
    warnings: list[str]


class Preview(_Preview, total=False):
    """What an operation would do; ``type`` is ``planned`` or ``unplanned`` for a failover.

    ``capabilities`` is there from API version 1.3 on.
    """

    capabilities: Capabilities | None


class SiteGroup(TypedDict):
    """A group that runs on a site; ``priority`` is 1 for those that go first, 5 for the last."""

    protection_group_id: str
    name: str
    project_id: str
    priority: int
    target_site: str


class RefusedGroup(TypedDict):
    """A group that a site failover did not take, and why."""

    protection_group_id: str
    name: str
    project_id: str
    reason: str


class SiteFailover(TypedDict):
    """What came of a site failover, or would; the groups are in the order in which they go."""

    protection_groups: list[SiteGroup]
    started: list[Operation]
    refused: list[RefusedGroup]


class Finding(TypedDict):
    """One thing that a readiness check looked at; ``fix`` says how to mend it."""

    check: str
    status: str
    subject: str | None
    message: str
    fix: str | None


class Readiness(TypedDict):
    """Whether a group's failover and its cleanup would work now."""

    ready: bool
    checked_at: str
    findings: list[Finding]


class SiteHealth(TypedDict):
    """How a site answers; each of ``services`` is ``ok`` or the error's text."""

    name: str
    reachable: bool
    error: str | None
    services: dict[str, str]


class ComponentHealth(TypedDict, total=False):
    """How a part of protector is."""

    name: str
    status: str
    detail: str | None


class GroupHealth(TypedDict, total=False):
    """How a group's replication is."""

    id: str
    name: str
    status: str
    sync_status: str
    last_replication_at: str | None
    lag_seconds: int | None
    rpo_minutes: int | None
    rpo_met: bool | None
    failover_ready: bool
    split_brain: bool


class Health(TypedDict):
    """The health report of a protector, which is on the site ``site``."""

    status: str
    site: str
    sites: list[SiteHealth]
    components: list[ComponentHealth]
    protection_groups: list[GroupHealth]


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


class _OrphanSite(TypedDict):
    """What is known of every such site."""

    site: str
    status: str
    error: str | None
    quota: dict[str, QuotaShare] | None


class OrphanSite(_OrphanSite, total=False):
    """A site on which orphans were looked for; ``project_id`` is not known of a silent one."""

    project_id: str | None


TERMINAL = ("completed", "failed")
"""Statuses after which nothing happens to an operation any more."""


def is_terminal(operation: Operation) -> bool:
    """Whether the operation has ended, well or badly."""
    return operation["status"] in TERMINAL


def is_awaiting_cleanup(operation: Operation) -> bool:
    """Whether it is a test failover whose VMs are up: it runs until a test cleanup ends it."""
    return operation.get("phase") == "awaiting_cleanup"


def is_paused(operation: Operation) -> bool:
    """Whether it waits at a pause of its recovery plan until somebody resumes it."""
    return operation.get("phase") == "paused"
