# SPDX-License-Identifier: Apache-2.0
"""``dr protection-group``: VMs that fail over together."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from osc_lib import exceptions

from protectorclient.osc import arguments, columns, lookup
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.commands import (
    Command,
    Listed,
    Lister,
    Shown,
    ShowOne,
    each,
    is_for_people,
)
from protectorclient.v1 import faults
from protectorclient.v1.records import Record

_SHORT = {
    "ID": "id",
    "Name": "name",
    "Status": "status",
    "Primary Site": "primary_site",
    "Secondary Site": "secondary_site",
    "Current Primary": "current_primary_site",
    "Members": "member_count",
}

_LONG = {
    **_SHORT,
    "Priority": "priority",
    "Replication": "replication_type",
    "Sync Status": "sync_status",
    "Version": "version",
    "Last Replication": "last_replication_at",
    "Description": "description",
}


STATUSES = (
    "active",
    "active_partial",
    "failing_over",
    "failed_over",
    "failed_over_partial",
    "failing_back",
    "split_brain",
    "error",
)


_ADVICE = {
    "active_partial": ("Some VMs were not recovered; to try again", "dr retry"),
    "failed_over_partial": ("Some VMs were not recovered; to try again", "dr retry"),
    "error": (
        "Its last operation says why; when that is mended",
        "dr protection-group reset-status",
    ),
    "split_brain": (
        "VMs run on both sites; to stop those on the site that was left",
        "dr fence",
    ),
}


class CreateProtectionGroup(ShowOne):
    """Create a protection group."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "name", metavar="<name>", help="The group's name; unique in the project"
        )
        parser.add_argument(
            "--primary-site",
            metavar="<site>",
            required=True,
            help="Site on which the VMs run (name or ID)",
        )
        parser.add_argument(
            "--secondary-site",
            metavar="<site>",
            required=True,
            help="Site to which the group fails over (name or ID)",
        )
        parser.add_argument(
            "--volume-type",
            metavar="<volume-type>",
            required=True,
            help="Volume type of the group's volumes on the primary site (name or ID); see "
            "`openstack dr site list-volume-types`",
        )
        parser.add_argument(
            "--secondary-volume-type",
            metavar="<volume-type>",
            help="Volume type that the volumes get on the secondary site (name or ID; default: "
            "found by name and replication type)",
        )
        parser.add_argument(
            "--replication-type",
            choices=("async", "sync"),
            default="async",
            help="How the arrays replicate the group; it cannot be changed later (default: async)",
        )
        parser.add_argument(
            "--description", metavar="<text>", help="What people should know about the group"
        )
        _add_priority(parser, " (default: 3)")
        _add_fidelity(parser, " (default: told)")
        arguments.add_mappings(parser, "Stored with the group.")
        arguments.add_kept_mappings(parser, "Stored with the group.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Create."""
        fields = arguments.given(
            parsed_args,
            "name",
            "description",
            "primary_site",
            "secondary_site",
            "replication_type",
            "volume_type",
            "secondary_volume_type",
            "priority",
            "fidelity",
        )
        fields.update(lookup.mappings(self.clouds, parsed_args))
        fields.update(arguments.kept_mappings(parsed_args))
        return columns.shown(self.protector.protection_groups.create(fields))


class ListProtectionGroups(Lister):
    """List the project's protection groups."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--long",
            action="store_true",
            help="Show also the priority, how the groups replicate and when they last did, whether "
            "the sites are in sync, the version and the description",
        )
        parser.add_argument("--name", metavar="<name>", help="Only the group of this name")
        parser.add_argument(
            "--status",
            choices=STATUSES,
            help="Only groups in this status",
        )
        arguments.add_sort(
            parser,
            "name",
            "status",
            "priority",
            "created_at",
            "updated_at",
            default="name:asc",
        )
        arguments.add_page(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List."""
        found = self.protector.protection_groups.list(
            parsed_args.limit,
            **parsed_args.sort,
            **arguments.given(parsed_args, "name", "status", "marker"),
        )
        return columns.rows(found, _LONG if parsed_args.long else _SHORT)


class ShowProtectionGroup(ShowOne):
    """Show a protection group."""

    _found: Record

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Show."""
        self._found = self.protector.protection_groups.get(parsed_args.protection_group)
        return columns.shown(self._found)

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print; people are told how a group gets out of a status in which it needs them."""
        code = int(super().produce_output(parsed_args, column_names, data) or 0)
        advice = _ADVICE.get(self._found["status"])
        if advice and is_for_people(self, parsed_args):
            why, command = advice
            self.say(f"{why}: {openstack(command, self._found['name'])}")
        return code


class SetProtectionGroup(ShowOne):
    """Change a protection group, and show what it is now.

    A mapping that is given replaces the stored one as a whole.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        parser.add_argument("--name", metavar="<name>", help="A new name; unique in the project")
        parser.add_argument("--description", metavar="<text>", help="A new description")
        _add_priority(parser, "")
        _add_fidelity(parser, "")
        arguments.add_mappings(parser, "Replaces the stored mapping.")
        arguments.add_kept_mappings(parser, "Replaces the stored mapping.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Change what was given; where the group was read for it, only if it is still the same."""
        changes = arguments.given(parsed_args, "name", "description", "priority", "fidelity")
        changes.update(arguments.kept_mappings(parsed_args))
        if not (changes or parsed_args.network_mapping or parsed_args.flavor_mapping):
            raise exceptions.CommandError("Nothing to change: give at least one option.")
        name = parsed_args.protection_group
        groups = self.protector.protection_groups
        read: Record = {}
        if lookup.has_names(parsed_args):
            read = groups.get(name)
            changes.update(lookup.mappings_from(self.clouds, read, parsed_args))
        else:
            changes.update(lookup.mappings(self.clouds, parsed_args))
        try:
            return columns.shown(groups.update(name, changes, version=read.get("version")))
        except faults.Changed as error:
            raise exceptions.CommandError(
                f"Protection group '{name}' was changed by somebody else while its mapping was "
                "looked up. Nothing was changed by this command: look at the group "
                f"({openstack('dr protection-group show', name)}) and try again. {error}"
            ) from error


class DeleteProtectionGroup(Command):
    """Delete protection groups; their VMs and volumes are not touched."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "protection_group",
            metavar="<protection-group>",
            nargs="+",
            help="Protection group(s) to delete (name or ID)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete each."""
        each(self, parsed_args.protection_group, self.protector.protection_groups.delete, "delete")


def _add_priority(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--priority",
        type=int,
        choices=range(1, 6),
        help="When a whole site fails over, groups with 1 go first and groups with 5 last"
        + default,
    )


def _add_fidelity(parser: argparse.ArgumentParser, default: str) -> None:
    parser.add_argument(
        "--fidelity",
        choices=("told", "strict"),
        help="What a planned move does about a copy that is not as its original was, in what "
        "neither a mapping nor the recovery plan names: tell it in its record, or fail and be "
        "taken back" + default,
    )
