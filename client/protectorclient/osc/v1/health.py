# SPDX-License-Identifier: Apache-2.0
"""``dr health``: how sites, services and the replication of groups are."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import cast

from protectorclient.osc import columns
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.commands import Shown
from protectorclient.osc.sections import Section, Sectioned
from protectorclient.osc.terminal import one_line
from protectorclient.v1.records import GroupHealth, Health, Record, SiteHealth

_SERVICES = ("identity", "compute", "volume", "network", "protector")


class ShowHealth(Sectioned):
    """Show how both sites, protector's own parts, and the replication of the groups are.

    The report comes from the protector of --os-cloud; when that one does not answer, from the one
    of --secondary-cloud. What could not be looked at is shown as such. The exit code is 1 when the
    status is error.
    """

    _report: Health

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--all-projects",
            action="store_true",
            help="Show the groups of all projects (administrators; default: the own project's)",
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; the exit code says whether something is broken."""
        return super().run(parsed_args) or int(self._report["status"] == "error")

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Ask a protector that answers."""
        _, self._report = self.clouds.find(
            lambda cloud: cloud.protector.health.get(all_projects=parsed_args.all_projects),
            self.say,
        )
        return columns.shown(cast(Record, self._report))

    def head(self) -> str:
        """Write the status."""
        return f"Status: {self._report['status']} (as {self._report['site']} sees it)"

    def sections(self) -> Iterator[Section]:
        """Make a table of sites, one of components, and one of groups."""
        services = {name.capitalize(): name for name in _SERVICES}
        yield Section(
            "Sites",
            [_site(site) for site in self._report["sites"]],
            {"Site": "name", "Reachable": "reachable", **services},
        )
        components = [cast(Record, component) for component in self._report["components"]]
        detail = {"Detail": "detail"} if any("detail" in entry for entry in components) else {}
        yield Section("Components", components, {"Component": "name", "Status": "status", **detail})
        yield Section(
            "Protection groups",
            [_group(group) for group in self._report["protection_groups"]],
            {
                "Name": "name",
                "Status": "status",
                "Sync Status": "sync_status",
                "Last Replication": "last_replication_at",
                "Lag": "lag",
                "RPO": "rpo",
                "RPO Met": "rpo_met",
                "Failover Ready": "failover_ready",
            },
        )

    def tail(self) -> Iterator[str]:
        """Write errors in full, and what can be done about groups."""
        for site in self._report["sites"]:
            if site.get("error"):
                yield f"{site['name']}: {one_line(site['error'] or '')}"
            for service, state in site["services"].items():
                if state != "ok" and state != site.get("error"):
                    yield f"{site['name']}, {service}: {one_line(state)}"
        for group in self._report["protection_groups"]:
            if group.get("split_brain"):
                yield (
                    f"VMs of '{group['name']}' run on both sites; to stop those on the site that "
                    f"was left: {openstack('dr fence', group['name'])}"
                )
            elif not group.get("failover_ready") and group["status"] == "active":
                yield (
                    f"'{group['name']}' is not ready to fail over; to see why: "
                    f"{openstack('dr protection-group check', group['name'])}"
                )


def _site(site: SiteHealth) -> Record:
    """Make a row; texts of errors would make the table unreadable and come after it."""
    services = {name: "ok" if text == "ok" else "error" for name, text in site["services"].items()}
    return {**site, **services}


def _group(group: GroupHealth) -> Record:
    minutes = group.get("rpo_minutes")
    return {
        **group,
        "lag": columns.Lag(group.get("lag_seconds")),
        "rpo": None if minutes is None else f"{minutes} min",
    }
