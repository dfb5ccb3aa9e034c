# SPDX-License-Identifier: Apache-2.0
"""``dr protection-group``: VMs that fail over together."""

from __future__ import annotations

import argparse

from osc_lib import exceptions

from protectorclient.osc import arguments, columns, lookup
from protectorclient.osc.commands import Command, Listed, Lister, Shown, ShowOne, each

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
    "Replication": "replication_type",
    "Sync Status": "sync_status",
    "Version": "version",
    "Last Replication": "last_replication_at",
    "Description": "description",
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
        arguments.add_mappings(parser, "Stored with the group.")
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
        )
        fields.update(mappings(self, parsed_args))
        return columns.shown(self.protector.protection_groups.create(fields))


class ListProtectionGroups(Lister):
    """List the project's protection groups."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("--long", action="store_true", help="Show more columns")
        parser.add_argument("--name", metavar="<name>", help="Only the group of this name")
        parser.add_argument(
            "--status",
            metavar="<status>",
            help="Only groups in this status: active, failing_over, failed_over, "
            "failed_over_partial, failing_back, split_brain or error",
        )
        parser.add_argument(
            "--sort-key",
            choices=("name", "status", "created_at", "updated_at"),
            help="Order by this (default: name)",
        )
        parser.add_argument(
            "--sort-dir", choices=("asc", "desc"), help="Direction of the order (default: asc)"
        )
        arguments.add_page(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List."""
        found = self.protector.protection_groups.list(
            parsed_args.limit,
            **arguments.given(parsed_args, "name", "status", "sort_key", "sort_dir", "marker"),
        )
        return columns.rows(found, _LONG if parsed_args.long else _SHORT)


class ShowProtectionGroup(ShowOne):
    """Show a protection group."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Show."""
        return columns.shown(self.protector.protection_groups.get(parsed_args.protection_group))


class SetProtectionGroup(Command):
    """Change a protection group; a mapping that is given replaces the stored one as a whole."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        parser.add_argument("--name", metavar="<name>", help="A new name; unique in the project")
        parser.add_argument("--description", metavar="<text>", help="A new description")
        arguments.add_mappings(parser, "Replaces the stored mapping.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Change what was given."""
        changes = arguments.given(parsed_args, "name", "description")
        changes.update(mappings(self, parsed_args))
        if not changes:
            raise exceptions.CommandError("Nothing to change: give at least one option.")
        self.protector.protection_groups.update(parsed_args.protection_group, changes)


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


def mappings(command: Command, parsed_args: argparse.Namespace) -> dict[str, object]:
    """Return the mappings that were given, by ids."""
    found: dict[str, object] = {}
    if parsed_args.network_mapping:
        found["network_mapping"] = lookup.network_mapping(
            command.clouds, parsed_args.network_mapping
        )
    if parsed_args.flavor_mapping:
        found["flavor_mapping"] = lookup.flavor_mapping(command.clouds, parsed_args.flavor_mapping)
    return found
