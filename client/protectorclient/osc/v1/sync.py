# SPDX-License-Identifier: Apache-2.0
"""``dr protection-group sync-status`` and ``sync-force``: the group's metadata on both sites."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from protectorclient.osc import arguments, columns
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.commands import Shown, ShowOne, is_for_people
from protectorclient.osc.terminal import one_line
from protectorclient.v1.records import Record


class SyncStatus(ShowOne):
    """Compare a protection group's metadata on both sites.

    The answer is IN SYNC, OUT OF SYNC or UNREACHABLE, with the version at each site.
    """

    _found: Record

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Ask."""
        self._found = self.ask(parsed_args.protection_group)
        return columns.shown(self._found)

    def ask(self, group: str) -> Record:
        """Return what there is to show."""
        return self.protector.protection_groups.sync_status(group)

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print lines for people, and the formatter's form for scripts."""
        if is_for_people(self, parsed_args):
            self.put("\n".join(_lines(self._found)))
            self._say_next(parsed_args.protection_group)
            return 0
        return int(super().produce_output(parsed_args, column_names, data) or 0)

    def _say_next(self, group: str) -> None:
        """Say how the sites are brought together."""
        if self._found.get("conflict"):
            self.say("Nothing starts and nothing can be changed until one site's view counts.")
            for site in self._found.get("sites") or []:
                force = openstack("dr protection-group sync-force", group, cloud=site["site"])
                self.say(f"To keep the one of {site['site']} and lose the other: {force}")
        elif self._found["status"] == "OUT OF SYNC":
            force = openstack("dr protection-group sync-force", group)
            self.say(f"To push this site's view: {force}")


class SyncForce(SyncStatus):
    """Push a protection group's metadata to the other site now, and compare.

    The view of the site that is asked, --os-cloud, wins; in a conflict the other site's is lost.
    The exit code is 1 when the sites are not in sync after it.
    """

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; the exit code says whether it helped, so that a cleanup can come after it."""
        return super().run(parsed_args) or int(self._found["status"] != "IN SYNC")

    def ask(self, group: str) -> Record:
        """Push."""
        return self.protector.protection_groups.sync_force(group)


def _lines(found: Record) -> list[str]:
    lines = [f"Sync Status: {found['status']}"]
    for site in found.get("sites") or []:
        version = site.get("version")
        known = "version unknown" if version is None else f"metadata version {version}"
        local = " (this site)" if site.get("local") else ""
        lines.append(f"{site['site']}: {known}{local}")
    push = found.get("last_push")
    if push:
        reason = f": {push['error']}" if push.get("error") else ""
        lines.append(f"Last push: {push['result']} at {push['at']}{reason}")
    lines += [f"Differs: {one_line(entry)}" for entry in found.get("differs") or []]
    if found.get("conflict"):
        lines += _conflict(found, found["conflict"])
    return lines


def _conflict(found: Record, conflict: Record) -> list[str]:
    """Say who changed what when, and how one view is made to count."""
    names = {bool(site.get("local")): site["site"] for site in found.get("sites") or []}
    lines = [f"Conflict: both sites changed the group, found at {conflict['detected_at']}."]
    for local, side in ((True, conflict["local"]), (False, conflict["remote"])):
        lines.append(
            f"  {names.get(local, 'the other site')}: version {side['version']}, changed at "
            f"{side['changed_at']}"
        )
    return lines
