# SPDX-License-Identifier: Apache-2.0
"""What commands share."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Callable, TextIO

import prettytable
from cliff.formatters import table
from osc_lib import exceptions
from osc_lib.command import command

from protectorclient.osc import logs, printable, terminal
from protectorclient.osc.clouds import Cloud, Clouds
from protectorclient.v1 import faults
from protectorclient.v1.client import Client

Shown = tuple[tuple[str, ...], tuple[Any, ...]]
"""Names and values of a command that shows one thing."""

Listed = tuple[tuple[str, ...], list[tuple[Any, ...]]]
"""Headings and rows of a command that lists."""


_MISFITS = (LookupError, TypeError, AttributeError, ValueError, RecursionError)
"""What comes of reading a thing that is not there, or is something else."""


class Command(command.Command):
    """A command of this plugin."""

    auth_required = False
    """Signing in is left to the first call: when one site's Keystone is dead, ask the other."""

    _opened: Clouds | None = None

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; a site that does not answer is said together with what the user can do."""
        logs.guard_handlers()
        try:
            return int(super().run(parsed_args) or 0)
        except faults.Unreachable as error:
            raise exceptions.CommandError(f"{error} {error.advice}") from error
        except UnicodeError:
            raise
        except _MISFITS as error:
            raise self._malformed(error) from error

    def _malformed(self, error: Exception) -> Exception:
        """Make the error for a part of an answer that is not what was counted on."""
        origins = self._opened.last_origins() if self._opened is not None else []
        if not origins:
            return error
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        return faults.Malformed(
            f"{' or '.join(origins)} answered with what cannot be used: {why}. --debug shows where."
        )

    @property
    def clouds(self) -> Clouds:
        """The clouds that the user named."""
        clouds: Clouds = self.app.client_manager.protector  # type: ignore[attr-defined]
        self._opened = clouds
        return clouds

    @property
    def protector(self) -> Client:
        """The protector of the primary cloud."""
        return self.clouds.primary.protector

    def say(self, text: str) -> None:
        """Write a line to stderr, where it does not disturb what scripts read."""
        terminal.write(self.app.stderr, text + "\n")

    def put(self, text: str) -> None:
        """Write lines for people to stdout, in place of a table."""
        terminal.write(self.app.stdout, text + "\n")


class ShowOne(Command, command.ShowOne):
    """A command that shows one thing."""

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print; in a table nothing steers the terminal."""
        names, values = printable.record(self.formatter, self.app.stdout, column_names, data)
        return int(super().produce_output(parsed_args, names, values) or 0)


class Lister(Command, command.Lister):
    """A command that lists."""

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print; in a table nothing steers the terminal."""
        rows = printable.rows(self.formatter, self.app.stdout, data)
        return int(super().produce_output(parsed_args, column_names, rows) or 0)


def is_for_people(
    command: command.ShowOne | command.Lister, parsed_args: argparse.Namespace
) -> bool:
    """Whether the whole answer is asked for as a table, and not in a form for scripts."""
    return isinstance(command.formatter, table.TableFormatter) and not parsed_args.columns


class SizedShowOne(ShowOne):
    """A command whose table has at least the widths of the manual's."""

    field_width = 16
    value_width = 59

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print, with the sized table in place of the usual one."""
        if isinstance(self.formatter, table.TableFormatter):
            self.formatter = SizedTable(self.field_width, self.value_width)
        return int(super().produce_output(parsed_args, column_names, data) or 0)


class SizedTable(table.TableFormatter):
    """The Field and Value table with least widths, in characters."""

    def __init__(self, field_width: int, value_width: int) -> None:
        self._widths = {"Field": field_width, "Value": value_width}

    def emit_one(
        self,
        column_names: Sequence[str],
        data: Sequence[Any],
        stdout: TextIO,
        parsed_args: argparse.Namespace,
    ) -> None:
        """Print the table; the usual one, which can shrink, where the terminal is too narrow."""
        shown = prettytable.PrettyTable(field_names=("Field", "Value"))
        shown.align = "l"
        shown.min_width = self._widths
        for name, value in zip(column_names, data):
            shown.add_row([name, str(value).replace("\r", " ")])
        before = shown.get_string()
        self._assign_max_widths(shown, int(parsed_args.max_width), fit_width=parsed_args.fit_width)
        if any(shown.max_width.values()):
            super().emit_one(column_names, data, stdout, parsed_args)
            return
        stdout.write(before + "\n")


def from_each_cloud(command: Command, call: Callable[[Cloud], None], thing: str) -> None:
    """Delete on each cloud; that one of two has no such thing is only said.

    So a deletion that got no further than the first cloud can be repeated.
    """
    clouds = command.clouds.all()
    unknown: dict[str, exceptions.NotFound] = {}
    for cloud in clouds:
        try:
            call(cloud)
        except exceptions.NotFound as error:
            unknown[cloud.name] = error
    if len(unknown) == len(clouds):
        raise unknown[clouds[0].name]
    for name in unknown:
        command.say(f"Cloud '{name}' had no {thing}.")


def each(command: Command, things: Sequence[str], call: Callable[[str], None], verb: str) -> None:
    """Call for each thing, go on after a failure, and fail in the end if any did."""
    failed = 0
    for thing in things:
        try:
            call(thing)
        except (exceptions.ClientException, exceptions.CommandError) as error:
            failed += 1
            command.say(f"Failed to {verb} '{thing}': {error}")
    if failed:
        raise exceptions.CommandError(f"{failed} of {len(things)} failed to {verb}.")
