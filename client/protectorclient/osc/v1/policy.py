# SPDX-License-Identifier: Apache-2.0
"""``dr policy``: the arrays that replicate a protection group, and how often."""

from __future__ import annotations

import argparse

from osc_lib import exceptions

from protectorclient.osc import arguments, columns
from protectorclient.osc.commands import Command, Shown, ShowOne
from protectorclient.v1.records import Record

_FIELDS = (
    "primary_array",
    "secondary_array",
    "primary_fa_api_token",
    "secondary_fa_api_token",
    "rpo_minutes",
)


class CreatePolicy(ShowOne):
    """Attach a replication policy to a protection group."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        _add_fields(parser, new=True)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Attach."""
        return _shown(
            self.protector.policies.create(parsed_args.protection_group, _fields(parsed_args))
        )


class ShowPolicy(ShowOne):
    """Show a protection group's replication policy; API tokens are never shown."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Show."""
        return _shown(self.protector.policies.get(parsed_args.protection_group))


class SetPolicy(ShowOne):
    """Change a protection group's replication policy, and show it; options left out stay."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        _add_fields(parser, new=False)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Change what was given."""
        changes = _fields(parsed_args)
        if not changes:
            raise exceptions.CommandError("Nothing to change: give at least one option.")
        return _shown(self.protector.policies.update(parsed_args.protection_group, changes))


class DeletePolicy(Command):
    """Take the replication policy off a protection group."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete."""
        self.protector.policies.delete(parsed_args.protection_group)


def _shown(policy: Record) -> Shown:
    capabilities = policy.get("capabilities")
    if not isinstance(capabilities, dict):
        return columns.shown(policy)
    return columns.shown({**policy, "capabilities": columns.Lines(capabilities)})


def _add_fields(parser: argparse.ArgumentParser, *, new: bool) -> None:
    for which in ("primary", "secondary"):
        parser.add_argument(
            f"--{which}-array",
            f"--{which}-fa-url",
            metavar="<array>",
            required=new,
            help=f"The {which} site's array, as the sites' administrators have named it in "
            "[storage] enabled_arrays; mock://<name> for a simulated one",
        )
        parser.add_argument(
            f"--{which}-fa-api-token",
            metavar="<token>",
            help="API token of that array; - asks for it. It is kept encrypted and never shown"
            + (" (default: none, for a simulated array)" if new else ""),
        )
    parser.add_argument(
        "--rpo-minutes",
        metavar="<minutes>",
        type=arguments.at_least(1),
        required=new,
        help="Recovery point objective in minutes, 1 to 525600 (a year): the most data that "
        "may be lost",
    )


def _fields(parsed_args: argparse.Namespace) -> Record:
    fields = arguments.given(parsed_args, *_FIELDS)
    for which in ("primary", "secondary"):
        name = f"{which}_fa_api_token"
        if name in fields:
            fields[name] = arguments.secret(fields[name], f"API token of the {which} array")
    return fields
