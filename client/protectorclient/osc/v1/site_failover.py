# SPDX-License-Identifier: Apache-2.0
"""``dr site failover``: all groups that run on a site, the most important first."""

from __future__ import annotations

import argparse
import time

from osc_lib import exceptions

from protectorclient.osc import (
    columns,
    confirmation,
    duration,
    inquiry,
    lookup,
    move,
    wait,
)
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.clouds import Cloud
from protectorclient.osc.commands import Listed, Lister
from protectorclient.osc.start import Willing
from protectorclient.osc.terminal import one_line
from protectorclient.v1 import faults
from protectorclient.v1.records import Operation, Record, SiteFailover, SiteGroup

_COLUMNS = {
    "Priority": "priority",
    "Protection Group": "name",
    "Project": "project_id",
    "Target": "target_site",
    "Result": "result",
    "Operation": "operation_id",
    "Reason": "reason",
}

MOVING = "failing_over"
"""Status of a group that is on its way."""

MOVED = "failed_over"
"""Status of a group that has arrived with all its VMs."""

LAG_PATIENCE = 20.0
"""Seconds to wait for the age of the recovery points, which the service asks of an array."""

WATCH = "openstack dr health show --all-projects"

Lags = dict[str, int]
"""Seconds since the last replication by the group's id, where they are known."""


class FailoverSite(Willing, Lister):
    """Fail over all protection groups that run on a site, in the order of their priorities.

    For administrators and holders of the role dr_site_admin. First it lists the groups, those that
    would be refused with the reason, and asks. An unplanned failover asks only the site that is
    left. The exit code is 1 when a group is refused, or with --wait is not wholly failed over.
    """

    exit_code = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "site", metavar="<site>", help="Site that the groups leave (name or ID)"
        )
        move.add_type(
            parser,
            "planned: both sites answer, nothing is lost; unplanned: the site is gone and is not "
            "asked, what was written after the last recovery points is lost (default: planned)",
        )
        parser.add_argument(
            "--project",
            metavar="<project>",
            action="append",
            default=[],
            help="Only groups of this project (name or ID; names are looked up on the cloud that "
            "is asked). Repeat for several (default: all projects)",
        )
        parser.add_argument(
            "--dry-run", action="store_true", help="Change nothing; list what would be done"
        )
        confirmation.add_yes(parser, "all groups of the site are failed over")
        parser.add_argument(
            "--wait",
            action="store_true",
            help="Wait until no group moves any more, with the progress on stderr. Interrupting "
            "the wait does not interrupt the failovers (default: return at once)",
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; the exit code says whether all groups were taken."""
        return super().run(parsed_args) or self.exit_code

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """Look, ask, start."""
        if not parsed_args.dry_run:
            confirmation.require_answerable(
                self, parsed_args, "A site failover moves all groups of a site"
            )
        cloud, (options, look) = self._look(parsed_args)
        lags = _lags(cloud) if parsed_args.type == "unplanned" else {}
        if parsed_args.dry_run:
            return self._previewed(parsed_args, look, lags)
        self._confirm(parsed_args, look, lags)
        done = cloud.protector.sites.failover(parsed_args.site, options)
        self.exit_code = int(bool(done["refused"]))
        if parsed_args.wait and done["started"]:
            self._wait(cloud, done["started"])
        elif done["started"]:
            self.say(f"Watch the groups with: {WATCH}")
        return columns.rows(_rows(done, "not started"), _COLUMNS)

    def _look(self, parsed_args: argparse.Namespace) -> tuple[Cloud, tuple[Record, SiteFailover]]:
        """Find the site to ask, what to ask it, and what it would do."""

        def look(cloud: Cloud) -> tuple[Record, SiteFailover]:
            options = _options(parsed_args, cloud)
            sites = cloud.protector.sites
            return options, sites.failover(parsed_args.site, {**options, "dry_run": True})

        if parsed_args.type == "unplanned":
            return self.first_willing(look, but=parsed_args.site)
        return self.clouds.primary, look(self.clouds.primary)

    def _previewed(self, parsed_args: argparse.Namespace, look: SiteFailover, lags: Lags) -> Listed:
        self.exit_code = int(bool(look["refused"]))
        rows = _rows(look, "would start")
        if parsed_args.type != "unplanned":
            return columns.rows(rows, _COLUMNS)
        for row in rows:
            row["lag"] = columns.Lag(lags.get(row["protection_group_id"]))
        return columns.rows(rows, {**_COLUMNS, "Lag": "lag"})

    def _confirm(self, parsed_args: argparse.Namespace, look: SiteFailover, lags: Lags) -> None:
        if not look["protection_groups"]:
            raise exceptions.CommandError(
                f"No protection group runs on {parsed_args.site}: nothing to fail over."
            )
        refused = {one["protection_group_id"]: one["reason"] for one in look["refused"]}
        going: list[SiteGroup] = []
        for one in look["protection_groups"]:
            identity = one["protection_group_id"]
            if identity in refused:
                said = f"refused: {one_line(refused[identity])}"
            else:
                going.append(one)
                said = f"to {one['target_site']}{_last_replicated(lags.get(identity))}"
            self.say(f"{one['name']} (project {one['project_id']}) {said}")
        if not going:
            raise exceptions.CommandError("No group can be failed over. Nothing was changed.")
        if not parsed_args.yes:
            confirmation.confirm(self, _question(parsed_args, going, lags))

    def _wait(self, cloud: Cloud, started: list[Operation]) -> None:
        """Look at the groups until all have arrived somewhere."""
        groups = {one["protection_group_id"]: one["protection_group"] for one in started}
        try:
            ended = self._watch(cloud, groups)
        except KeyboardInterrupt:
            self.say(f"\nInterrupted. The failovers go on on the server; watch them with: {WATCH}")
            self.exit_code = wait.INTERRUPTED
            return
        for identity, status in ended.items():
            if status != MOVED:
                self.exit_code = 1
                group = groups[identity]
                look = openstack("dr operation list", options=[("--protection-group", group)])
                self.say(f"'{group}' is {status}: {look}")

    def _watch(self, cloud: Cloud, groups: dict[str, str]) -> dict[str, str]:
        """Return the groups' statuses when none moves any more."""
        failures, last = 0, ""
        while True:
            try:
                report = cloud.protector.health.get(all_projects=True)
            except (exceptions.ClientException, exceptions.CommandError) as error:
                failures += 1
                if failures > wait.PATIENCE or not faults.may_pass(error):
                    raise exceptions.CommandError(
                        f"{error} The failovers go on on the server."
                    ) from error
            else:
                failures = 0
                seen = {one["id"]: one["status"] for one in report["protection_groups"]}
                ended = {
                    identity: seen.get(identity, "unknown")
                    for identity in groups
                    if seen.get(identity) != MOVING
                }
                line = f"{len(ended)} of {len(groups)} groups have ended"
                if line != last:
                    self.say(line)
                    last = line
                if len(ended) == len(groups):
                    return ended
            time.sleep(wait.INTERVAL * 5)


def _options(parsed_args: argparse.Namespace, cloud: Cloud) -> Record:
    options: Record = {"type": parsed_args.type or "planned"}
    if parsed_args.project:
        options["projects"] = [lookup.project_id(cloud, one) for one in parsed_args.project]
    return options


def _lags(cloud: Cloud) -> Lags:
    """Ask how old the recovery points are; a failover does not fail because nobody knows."""
    try:
        report = inquiry.within(
            LAG_PATIENCE, cloud, lambda asked: asked.protector.health.get(all_projects=True)
        )
    except (exceptions.ClientException, exceptions.CommandError):
        return {}
    groups = report["protection_groups"] if report else []
    lags = {one["id"]: one.get("lag_seconds") for one in groups}
    return {identity: lag for identity, lag in lags.items() if lag is not None}


def _rows(found: SiteFailover, otherwise: str) -> list[Record]:
    """Make a row for each group, in the order in which they go."""
    operations = {one["protection_group_id"]: one["id"] for one in found["started"]}
    reasons = {one["protection_group_id"]: one["reason"] for one in found["refused"]}
    rows: list[Record] = []
    for group in found["protection_groups"]:
        identity = group["protection_group_id"]
        if identity in reasons:
            result = "refused"
        else:
            result = "started" if identity in operations else otherwise
        rows.append(
            {
                **group,
                "result": result,
                "operation_id": operations.get(identity),
                "reason": reasons.get(identity),
            }
        )
    return rows


def _last_replicated(lag: int | None) -> str:
    return "" if lag is None else f", last replicated {duration.words(lag)} ago"


def _question(parsed_args: argparse.Namespace, groups: list[SiteGroup], lags: Lags) -> str:
    count = len(groups)
    what = f"Fail over {count} {'group' if count == 1 else 'groups'} of {parsed_args.site}"
    if parsed_args.type != "unplanned":
        return f"{what}?"
    known = [
        lags[one["protection_group_id"]] for one in groups if one["protection_group_id"] in lags
    ]
    if len(known) < count:
        return f"{what} and lose all changes since their last recovery points?"
    return f"{what} and lose the changes of the last {duration.words(max(known))}, at most?"
