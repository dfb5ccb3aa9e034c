# SPDX-License-Identifier: Apache-2.0
"""``dr orphan list`` and ``delete``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, cast

from osc_lib import exceptions

from protectorclient.osc import columns, orphan_lists
from protectorclient.osc.cleanup_command import CleanupCommand, Job
from protectorclient.osc.clouds import Cloud
from protectorclient.osc.commands import Listed, Lister, is_for_people
from protectorclient.osc.orphan_lists import OrphanLists
from protectorclient.v1.records import Orphan, OrphanSite, QuotaShare, Record

_COLUMNS = {
    "Type": "resource_type",
    "ID": "resource_id",
    "Name": "name",
    "Size": "size_gib",
    "Site": "site",
    "Status": "status",
    "Operation": "operation_id",
    "Age": "age",
    "Reason": "reason",
    "Deletable": "deletable",
}

_LONG = {
    "Used By": "used_by",
    "Why Not Deletable": "why_not",
    "Protection Group": "protection_group",
    "Step": "step",
    "Since": "since",
}


class ListOrphans(Lister):
    """List what earlier operations left on the sites, from their records and from the clouds.

    With --secondary-cloud the records of both sites are read. Only what is provably an operation's
    own is deletable. After the table stderr gets the share of each quota that orphans hold. The
    exit code is 1 when the list may be incomplete, because a site did not answer.
    """

    _incomplete = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--site", metavar="<site>", help="Only orphans on this site (name or ID)"
        )
        parser.add_argument(
            "--protection-group",
            metavar="<protection-group>",
            help="Only what operations of this protection group left (name or ID)",
        )
        parser.add_argument(
            "--long",
            action="store_true",
            help="Show also what uses each of them, why it is not deletable, its protection group, "
            "the step that left it and the time",
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; the exit code says whether the list is whole."""
        return super().run(parsed_args) or int(self._incomplete)

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List."""
        self._found = orphan_lists.gather(
            self.clouds, site=parsed_args.site, protection_group=parsed_args.protection_group
        )
        fields = {**_COLUMNS, **(_LONG if parsed_args.long else {})}
        return columns.rows([_row(orphan) for _, orphan in self._found.orphans], fields)

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print the list, then on stderr the quotas and what the list may lack."""
        code = int(super().produce_output(parsed_args, column_names, data) or 0)
        if is_for_people(self, parsed_args):
            for site in self._found.sites:
                for line in _quota_lines(site):
                    self.say(line)
        for gap in self._found.gaps:
            self.say(gap)
        self._incomplete = bool(self._found.gaps)
        return code


class DeleteOrphans(CleanupCommand):
    """Delete orphans, through the same guards as the cleanup of the operation that left them.

    All are looked up first: if one is not in the list or not deletable, nothing is deleted. It
    prints what happens as it happens; the exit code is 1 when something is left. Ctrl-C leaves the
    work running on the server. With -f json and the like stdout gets the outcome of each instead.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "orphans",
            metavar="<resource-id>",
            nargs="+",
            help="Server or volume in `openstack dr orphan list` (ID)",
        )
        return parser

    def act(self, parsed_args: argparse.Namespace) -> Listed:
        """Look all of them up, then delete."""
        found = orphan_lists.gather(self.clouds)
        identities = list(dict.fromkeys(parsed_args.orphans))
        refusals = [text for text in (_refusal(found, one) for one in identities) if text]
        if refusals:
            raise exceptions.CommandError(
                "\n  ".join(["Nothing was deleted:", *refusals, *found.gaps])
            )
        if not self.clean_each(_jobs([found.named(one)[0] for one in identities])):
            self.tell(f"Nothing to clean up: {', '.join(identities)}: gone already.")
        return self.outcomes()


def _row(orphan: Orphan) -> Record:
    row = {**cast(Record, orphan), "age": columns.Age(orphan.get("age_seconds"))}
    if row.get("status") is None and row.get("seen") == "unknown":
        row["status"] = "unknown"
    return row


def _quota_lines(site: OrphanSite) -> list[str]:
    quota = site["quota"]
    if not quota:
        return []
    shares = [_share(name, share) for name, share in quota.items()]
    return [f"Orphans on {site['site']} hold {', '.join(shares)}."]


def _share(name: str, share: QuotaShare) -> str:
    limit = "no limit" if share["limit"] < 0 else f"limit {share['limit']}"
    return f"{share['orphans']} of the {share['used']} {name} in use ({limit})"


def _refusal(found: OrphanLists, identity: str) -> str | None:
    """Why it cannot be deleted; None when it can."""
    named = found.named(identity)
    if not named:
        return f"{identity} is not in the list of orphans: openstack dr orphan list"
    if len(named) > 1:
        sites = ", ".join(orphan["site"] for _, orphan in named)
        return f"{identity} is the id of several orphans, on {sites}"
    _, orphan = named[0]
    if orphan["deletable"] and orphan.get("operation_id"):
        return None
    why = orphan.get("why_not") or "no operation is recorded that left it"
    return f"{orphan['resource_type']} {identity} on {orphan['site']} is not deletable: {why}"


def _jobs(entries: list[tuple[Cloud, Orphan]]) -> list[Job]:
    """Make a job for each operation, in the order of the ids."""
    jobs: dict[str, Job] = {}
    for cloud, orphan in entries:
        operation = orphan.get("operation_id") or ""
        job = jobs.setdefault(
            operation, Job(cloud, operation, orphan.get("protection_group") or "", [])
        )
        if job.resources is not None:
            job.resources.append(orphan["resource_id"])
    return list(jobs.values())
