# SPDX-License-Identifier: Apache-2.0
"""Records of operations on two sites.

An operation's home is the site where it was started: that one runs it. The other site keeps a copy
for the day on which the home is gone, as far as the home has pushed it.
"""

from __future__ import annotations

from typing import Any, Callable, cast

from osc_lib import exceptions

from protectorclient.osc import inquiry
from protectorclient.osc.clouds import Cloud, Clouds, nothing_found, warn_of_silence
from protectorclient.v1.records import Operation, Operations, Record, is_terminal

Found = tuple[Cloud, Operation]
"""A record, and the cloud that answered with it."""

_ELSEWHERE = (
    "If it was started on the other site, name that site's cloud with --secondary-cloud "
    "(OS_SECONDARY_CLOUD)."
)

Warn = Callable[[str], None]


def find(clouds: Clouds, identity: str, warn: Warn, *, detail: bool = False) -> Found:
    """Find an operation: its home's record, or the other site's copy when the home is silent."""
    best = _found(clouds, identity, warn, detail=detail)
    if is_copy(*best):
        warn(_about_copy(*best, alone=clouds.secondary is None))
    return best


def find_at_home(clouds: Clouds, identity: str, warn: Warn) -> Found:
    """Find an operation on the site that can act on it; with a copy nothing can be done."""
    found = _found(clouds, identity, warn, patience=HOME_PATIENCE)
    _refuse_copy(found)
    return found


class NotAtHome(exceptions.CommandError):
    """No site was reached that can go on with an operation.

    ``home`` is the site that can, where that is known.
    """

    def __init__(self, message: str, home: str | None = None) -> None:
        super().__init__(message)
        self.home = home


HOME_PATIENCE = 60.0
"""Seconds that the home has where something is to be done and the other site has only a copy."""


MOVES = ("failover", "failback")
"""The kinds of operations that move a whole group."""


def newest_move_at_home(clouds: Clouds, group: str) -> Found | None:
    """Find the newest move of a group, on the site that can go on with it.

    The site that is left when the other is gone is asked first.
    """
    answers = inquiry.ask(
        clouds.survivor_first(),
        lambda cloud: [
            operation
            for kind in MOVES
            for operation in cloud.protector.operations.list(
                1, protection_group=group, operation_type=kind
            )
        ],
        lambda cloud, operations: bool(operations) and is_home(cloud, max(operations, key=_age)),
        patience=HOME_PATIENCE,
    )
    if all(answer.value is None for answer in answers):
        raise _refusal(answers)
    found = [(answer.cloud, operation) for answer in answers for operation in answer.value or []]
    if not found:
        return None
    best = max(found, key=lambda one: (_age(one[1]), _trust(one)))
    _refuse_copy(best)
    return best


def _age(operation: Operation) -> str:
    return operation.get("created_at") or ""


def _refuse_copy(found: Found) -> None:
    cloud, operation = found
    if not is_copy(cloud, operation):
        return
    home = operation["home_site"]
    raise NotAtHome(
        f"Operation {operation['id']} was started on {home}, which alone can go on with it, and no "
        f"protector of {home} was reached. Name its cloud with --os-cloud or --secondary-cloud "
        "(OS_SECONDARY_CLOUD), or try again when it is back.",
        home,
    )


def _found(
    clouds: Clouds,
    identity: str,
    warn: Warn,
    *,
    detail: bool = False,
    patience: float | None = None,
) -> Found:
    answers = inquiry.ask(
        clouds.all(),
        lambda cloud: cloud.protector.operations.get(identity, detail=detail),
        is_home,
        patience=patience,
    )
    found = [(answer.cloud, answer.value) for answer in answers if answer.value is not None]
    if not found:
        raise nothing_found(answers, _ELSEWHERE)
    best = max(found, key=_trust)
    before = [answer.cloud for answer in answers].index(best[0])
    warn_of_silence(answers[:before], best[0], warn)
    return best


def listed(clouds: Clouds, warn: Warn, limit: int | None = None, **query: Any) -> list[Found]:
    """List operations of all clouds in the order of the query; each once, its home's if it can be.

    A cloud that is silent is said; that it does not know the group or the marker is no error as
    long as another one does.
    """
    answers = inquiry.ask(
        clouds.all(),
        lambda cloud: cloud.protector.operations.list(limit, **query),
        lambda _cloud, _operations: False,
        at_once=True,
    )
    heard = [(answer.cloud, answer.value) for answer in answers if answer.value is not None]
    if not heard:
        raise _refusal(answers)
    for error in inquiry.refusals(answers):
        if not isinstance(error, (exceptions.NotFound, exceptions.BadRequest)):
            warn(f"{error} What was started there is shown as cloud '{heard[0][0].name}' knows it.")
    if len(heard) == 1:
        cloud, operations = heard[0]
        return [(cloud, operation) for operation in operations]
    return _ordered(_merged(heard), query)[:limit]


def is_home(cloud: Cloud, operation: Operation) -> bool:
    """Whether the cloud is the operation's home, as far as its name says: the site's name."""
    return operation.get("home_site") == cloud.name


def is_copy(cloud: Cloud, operation: Operation) -> bool:
    """Whether the cloud's record is surely a copy: its name is that of the other site."""
    sites = (operation.get("source_site"), operation.get("target_site"))
    return cloud.name in sites and not is_home(cloud, operation) and "home_site" in operation


def _refusal(answers: list[inquiry.Answer[Operations]]) -> Exception:
    unknown = [answer.error for answer in answers if isinstance(answer.error, exceptions.NotFound)]
    if unknown and len(unknown) == len(answers):
        return unknown[0]
    return nothing_found(answers)


def _ordered(found: list[Found], query: Record) -> list[Found]:
    """Order as each of the services does: the newest first, those of one type by their ids.

    Operations of one second keep the order in which they came: the services know its fractions.
    """
    key = query.get("sort_key", "created_at")
    by_time = key == "created_at"
    return sorted(
        found,
        key=lambda one: (cast(Record, one[1]).get(key) or "", "" if by_time else one[1]["id"]),
        reverse=query.get("sort_dir", "desc") == "desc",
    )


def _merged(heard: list[tuple[Cloud, Operations]]) -> list[Found]:
    answered = {cloud.name for cloud, _ in heard}
    best: dict[str, Found] = {}
    for cloud, operations in heard:
        for operation in operations:
            home = operation.get("home_site")
            if home in answered and home != cloud.name:
                # The home has answered: it has the record itself, or the query leaves it out.
                continue
            known = best.get(operation["id"])
            if known is None or _trust((cloud, operation)) > _trust(known):
                best[operation["id"]] = (cloud, operation)
    return list(best.values())


def _trust(found: Found) -> tuple[bool, bool, int]:
    """Order records of one operation: the home's, else the one that has got further."""
    cloud, operation = found
    return is_home(cloud, operation), is_terminal(operation), operation["progress"]


def _about_copy(cloud: Cloud, operation: Operation, *, alone: bool) -> str:
    text = (
        f"This is the copy on cloud '{cloud.name}', which may be behind: the operation was started "
        f"on {operation['home_site']}"
    )
    if alone:
        return (
            f"{text}; name that site's cloud with --secondary-cloud (OS_SECONDARY_CLOUD) to see "
            "its record."
        )
    return f"{text}, which did not answer with its record."
