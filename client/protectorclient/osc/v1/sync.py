# SPDX-License-Identifier: Apache-2.0
"""``dr protection-group sync-status`` and ``sync-force``: the group's metadata on both sites."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from protectorclient.osc import arguments, columns
from protectorclient.osc.commands import Shown, ShowOne, is_for_people
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
            self.app.stdout.write("\n".join(_lines(self._found)) + "\n")
            return 0
        return int(super().produce_output(parsed_args, column_names, data) or 0)


class SyncForce(SyncStatus):
    """Push a protection group's metadata to the other site now, and compare.

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
    return lines
