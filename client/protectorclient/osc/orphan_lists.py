# SPDX-License-Identifier: Apache-2.0
"""The orphans that the protectors of both clouds know of, put together."""

from __future__ import annotations

from dataclasses import dataclass, field

from osc_lib import exceptions

from protectorclient.osc import inquiry
from protectorclient.osc.clouds import Cloud, Clouds
from protectorclient.v1 import faults
from protectorclient.v1.orphans import Listing
from protectorclient.v1.records import Orphan, OrphanSite

PATIENCE = 60.0
"""Seconds that a protector has once another has answered: each lists servers and volumes of both
clouds."""


@dataclass
class OrphanLists:
    """Orphans, each with the cloud whose protector is to be asked to delete it."""

    orphans: list[tuple[Cloud, Orphan]] = field(default_factory=list)
    sites: list[OrphanSite] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    """Why the list may lack something."""

    def named(self, identity: str) -> list[tuple[Cloud, Orphan]]:
        """Those with this id; more than one where sites use an id twice."""
        return [entry for entry in self.orphans if entry[1]["resource_id"] == identity]


def gather(
    clouds: Clouds, *, site: str | None = None, protection_group: str | None = None
) -> OrphanLists:
    """Ask the protectors of all clouds: each knows only the operations that were started there.

    One that is not there, or does not know the group or site, leaves a gap; none is an error.
    """
    gaps: list[str] = []
    listings: list[tuple[Cloud, Listing]] = []
    answers = inquiry.ask(
        clouds.all(),
        lambda cloud: cloud.protector.orphans.list(site=site, protection_group=protection_group),
        lambda _cloud, _listing: False,
        at_once=True,
        patience=PATIENCE,
    )
    problems = inquiry.refusals(answers)
    for answer in answers:
        if answer.value is not None:
            listings.append((answer.cloud, answer.value))
        elif isinstance(answer.error, faults.Unreachable):
            gaps.append(
                f"{answer.error} What operations that were started there left may be missing."
            )
        elif answer.error is not None and not isinstance(answer.error, exceptions.NotFound):
            raise answer.error
    if not listings:
        raise problems[0]
    sites = _sites(listings)
    gaps += [
        f"Site {entry['site']} could not be looked at: {entry['error'] or 'no reason was given'}. "
        "What is listed there is from records."
        for entry in sites
        if entry["status"] != "OK"
    ]
    return OrphanLists(_merged(listings), sites, gaps)


def _merged(listings: list[tuple[Cloud, Listing]]) -> list[tuple[Cloud, Orphan]]:
    """Each resource once: the account of the protector that may delete it, or that saw it."""
    found: dict[tuple[str, str], tuple[Cloud, Orphan]] = {}
    for cloud, listing in listings:
        for orphan in listing.orphans:
            if _is_accounted_for(orphan, listing, listings):
                continue
            key = (orphan["site"], orphan["resource_id"])
            if key not in found or _weight(orphan) > _weight(found[key][1]):
                found[key] = (cloud, orphan)
    return list(found.values())


def _is_accounted_for(
    orphan: Orphan, asked: Listing, listings: list[tuple[Cloud, Listing]]
) -> bool:
    """Whether it is an orphan only to a protector that lacks the record of the operation on it.

    Another one that looked at the same project and does not list it has that record: the operation
    is under way, or what it made is in use, as the copies of a test failover that is up are.
    """
    if orphan.get("operation_id") is not None:
        return False
    looked_at = _projects_seen(asked, orphan["site"])
    return any(
        looked_at <= _projects_seen(other, orphan["site"]) and not _lists(other, orphan)
        for _, other in listings
        if other is not asked
    )


def _projects_seen(listing: Listing, site: str) -> set[str | None]:
    """Projects on the site that the protector could look at."""
    return {
        entry.get("project_id")
        for entry in listing.sites
        if entry["site"] == site and entry["status"] == "OK"
    }


def _lists(listing: Listing, orphan: Orphan) -> bool:
    place = (orphan["site"], orphan["resource_id"])
    return any((other["site"], other["resource_id"]) == place for other in listing.orphans)


def _weight(orphan: Orphan) -> tuple[bool, bool, bool]:
    return (
        orphan["deletable"],
        orphan.get("seen") != "unknown",
        orphan.get("operation_id") is not None,
    )


def _sites(listings: list[tuple[Cloud, Listing]]) -> list[OrphanSite]:
    """Each site once: as a protector that reached it saw it."""
    found: dict[str, OrphanSite] = {}
    for _, listing in listings:
        for site in listing.sites:
            known = found.get(site["site"])
            if known is None or (known["status"] != "OK" and site["status"] == "OK"):
                found[site["site"]] = site
    return list(found.values())
