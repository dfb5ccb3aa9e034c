# SPDX-License-Identifier: Apache-2.0
"""``dr member``: the servers of a protection group."""

from __future__ import annotations

import argparse
import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from osc_lib import exceptions

from protectorclient.osc import arguments, columns, lookup, printable
from protectorclient.osc.commands import Command, Listed, Lister, ShowOne, each
from protectorclient.osc.terminal import one_line
from protectorclient.v1.records import Record


class AddMember(Lister):
    """Protect servers: add them, with all their volumes, to a protection group."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        parser.add_argument(
            "server",
            metavar="<server>",
            nargs="+",
            help="Server(s) to protect, on the site where the group runs now (name or ID; names "
            "are looked up with --os-cloud)",
        )
        parser.add_argument(
            "--user-data",
            metavar="<file>",
            help="File with the server's user data, where its cloud does not show it to protector; "
            "with one server only",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """Look up all names first, then add one after the other."""
        user_data = _user_data(parsed_args)
        cloud = self.clouds.primary
        ids = [lookup.server_id(cloud, server) for server in parsed_args.server]
        added: list[Record] = []
        for server, server_id in zip(parsed_args.server, ids):
            try:
                member = self.protector.members.create(
                    parsed_args.protection_group, {"server_id": server_id, **user_data}
                )
            except exceptions.ClientException as error:
                before = ", ".join(member["name"] for member in added) or "none"
                raise exceptions.CommandError(
                    f"Server '{server}' was not added: {error}"
                    + (f". Added before it: {before}" if len(ids) > 1 else "")
                ) from error
            added.append(member)
            for warning in member.get("warnings") or []:
                self.say(f"Warning: {one_line(str(warning))}")
        return _listed(added)


class SetMember(Command):
    """Say how a server of a protection group is recovered; the recovery plan has it too."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        parser.add_argument("member", metavar="<member>", help="Member (name, ID or server ID)")
        parser.add_argument(
            "--user-data",
            choices=("keep", "omit"),
            required=True,
            help="Whether its copies are built with its user data: a copy is a new instance to "
            "cloud-init, which runs that again. What is recorded of it stays",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Change the member's entry in the recovery plan, if the group is still the same."""
        group, groups = parsed_args.protection_group, self.protector.protection_groups
        member = self.protector.members.get(group, parsed_args.member)
        version = groups.get(group)["version"]
        plan = groups.recovery_plan(group)
        entries = plan.setdefault("members", {})
        name = member["id"] if member["id"] in entries else member["name"]
        entries.setdefault(name, {})["user_data"] = parsed_args.user_data
        groups.set_recovery_plan(group, plan, version=version)


class RemoveMember(Command):
    """Protect servers no more; the servers and their volumes are not touched."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        parser.add_argument(
            "member", metavar="<member>", nargs="+", help="Member(s) (name, ID or server ID)"
        )
        parser.add_argument(
            "--give-up",
            action="store_true",
            help="Also remove members that were not recovered: an import or a recovery point may "
            "be all that is left of one, and only a retry brings that up",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Remove each."""
        each(
            self,
            parsed_args.member,
            lambda member: self.protector.members.delete(
                parsed_args.protection_group, member, give_up=parsed_args.give_up
            ),
            "remove",
        )


class ListMembers(Lister):
    """List the servers of a protection group."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        arguments.add_sort(parser, "name", "status", "created_at", "updated_at", default="name:asc")
        arguments.add_page(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List."""
        return _listed(
            self.protector.members.list(
                parsed_args.protection_group,
                parsed_args.limit,
                **parsed_args.sort,
                **arguments.given(parsed_args, "marker"),
            )
        )


class ShowMember(ShowOne):
    """Show what is recorded of a server of a protection group; sizes are in GiB, RAM in MiB.

    With --compare it stands beside what the server has now and what a copy on the other site would
    have, attribute by attribute. Both clouds are asked, and nothing is changed.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        parser.add_argument("member", metavar="<member>", help="Member (name, ID or server ID)")
        parser.add_argument(
            "--compare",
            action="store_true",
            help="Show each attribute on record, as it is now, and as it would be on a copy: kept, "
            "changed, lost, refused (no move starts while it is so) or unknown (the other site "
            "does not tell), and why",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Any:
        """Show."""
        names = (parsed_args.protection_group, parsed_args.member)
        if not parsed_args.compare:
            return columns.shown(self.protector.members.get(*names))
        if not hasattr(self.formatter, "emit_list"):
            raise exceptions.CommandError(
                f"--compare: its rows have no form '{parsed_args.formatter}'; give -f json."
            )
        lines = self.protector.members.compare(*names)["attributes"]
        return columns.rows([_told(line) for line in lines], _COMPARED)

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print; a comparison has a row for each attribute."""
        if not parsed_args.compare:
            return super().produce_output(parsed_args, column_names, data)
        rows = printable.rows(self.formatter, self.app.stdout, data)
        shown, selector = self._generate_columns_and_selector(parsed_args, column_names)
        if selector:
            rows = [tuple(self._compress_iterable(row, selector)) for row in rows]
        formatter: Any = self.formatter
        formatter.emit_list(shown, rows, self.app.stdout, parsed_args)
        return 0


_COMPARED = {
    "Field": "field",
    "Recorded": "recorded",
    "Now": "now",
    "Copy": "copy",
    "Why": "why",
}


def _told(line: Record) -> Record:
    """Put what becomes of an attribute before the reason."""
    outcome, why = str(line["outcome"]), line.get("why")
    return {**line, "why": f"{outcome}: {why}" if why else outcome}


def _listed(members: list[Record]) -> Listed:
    summaries = [
        {
            **member,
            "flavor": (member.get("flavor") or {}).get("name"),
            "volumes": [volume["name"] or volume["id"] for volume in member.get("volumes") or []],
        }
        for member in members
    ]
    return columns.rows(
        summaries,
        {
            "ID": "id",
            "Name": "name",
            "Server ID": "server_id",
            "Status": "status",
            "Flavor": "flavor",
            "Volumes": "volumes",
        },
    )


def _user_data(parsed_args: argparse.Namespace) -> Record:
    if parsed_args.user_data is None:
        return {}
    if len(parsed_args.server) > 1:
        raise exceptions.CommandError("--user-data: add that server in a command of its own.")
    try:
        content = Path(parsed_args.user_data).read_bytes()
    except OSError as error:
        raise exceptions.CommandError(f"--user-data: {error}") from error
    return {"user_data": base64.b64encode(content).decode("ascii")}
