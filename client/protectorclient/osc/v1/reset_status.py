# SPDX-License-Identifier: Apache-2.0
"""``dr protection-group reset-status``: a status that nothing else leads out of."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from protectorclient.osc import arguments, columns, confirmation
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.commands import Shown, ShowOne, is_for_people
from protectorclient.osc.terminal import one_line
from protectorclient.v1.records import Record


class ResetStatus(ShowOne):
    """Set a protection group's status to the one that both clouds show to be true.

    For a group in error, split_brain, failing_over or failing_back that no operation leads out of.
    Its servers and volumes are read on both sites first. What is not certain is refused, with what
    is in the way and the command that removes it. No server or volume is changed.
    """

    _found: Record
    _dry_run = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Change nothing; print what was found, or what is in the way",
        )
        parser.add_argument(
            "--other-site-lost",
            action="store_true",
            help="Do not ask the site on which the group does not run: it is lost. VMs of the "
            "group that run there all the same run twice until they are fenced",
        )
        confirmation.add_yes(parser, "--other-site-lost")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Ask, where one site alone is to be believed, and reset."""
        group = parsed_args.protection_group
        self._dry_run = parsed_args.dry_run
        options: Record = {"dry_run": True} if parsed_args.dry_run else {}
        if parsed_args.other_site_lost:
            options["other_site_lost"] = True
            if not parsed_args.dry_run:
                self._make_sure(parsed_args, group)
        self._found = self.protector.protection_groups.reset_status(group, options)
        return columns.shown(self._found)

    def _make_sure(self, parsed_args: argparse.Namespace, group: str) -> None:
        confirmation.require_answerable(
            self, parsed_args, "With --other-site-lost nobody looks whether VMs run there"
        )
        self.say(
            f"The other site of protection group '{group}' is not asked. If VMs of the group run "
            "there, they run twice, and both write. When it is back the group says split_brain: "
            f"{openstack('dr fence', group)}"
        )
        if not parsed_args.yes:
            confirmation.confirm(self, "Is the other site lost?")

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print lines for people, and the formatter's form for scripts."""
        if not is_for_people(self, parsed_args):
            return int(super().produce_output(parsed_args, column_names, data) or 0)
        self.put("\n".join(self._lines()))
        return 0

    def _lines(self) -> list[str]:
        found = self._found
        lines = [
            one_line(f"{finding['member']} {finding['found']}".strip())
            for finding in found.get("findings") or []
        ]
        if found["before"] == found["status"]:
            return [*lines, f"Status: {found['status']}, as before."]
        would = "would be" if self._dry_run else "is now"
        return [*lines, f"Status: was {found['before']}, {would} {found['status']}."]
