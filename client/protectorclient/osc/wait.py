# SPDX-License-Identifier: Apache-2.0
"""Waiting for operations: polls, progress, and Ctrl-C."""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Iterator
from typing import TextIO

from osc_lib import exceptions

from protectorclient.osc import terminal
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.commands import Command
from protectorclient.osc.terminal import one_line
from protectorclient.v1 import faults
from protectorclient.v1.client import Client
from protectorclient.v1.records import (
    Operation,
    is_awaiting_cleanup,
    is_paused,
    is_terminal,
)

INTERVAL = 1.0
"""Seconds from one look to the next."""

PATIENCE = 30
"""How many looks in a row may fail before the wait is given up."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it."""

_BAR = 30


def watched(client: Client, operation: str, *, detail: bool = False) -> Iterator[Operation]:
    """Look at the operation again and again until it has ended; the last one is its end.

    A test failover whose VMs are up has nothing more to do by itself: that is an end here.
    """
    failures = 0
    while True:
        try:
            seen = client.operations.get(operation, detail=detail)
        except (exceptions.ClientException, exceptions.CommandError) as error:
            failures += 1
            if failures > PATIENCE or not faults.may_pass(error):
                raise exceptions.CommandError(f"{error} {goes_on(operation)}") from error
        else:
            failures = 0
            yield seen
            if is_terminal(seen) or is_awaiting_cleanup(seen):
                return
        time.sleep(INTERVAL)


def goes_on(operation: str) -> str:
    """Say that a lost wait is not a lost operation."""
    return (
        f"Operation {operation} goes on on the server; watch it with: "
        f"{openstack('dr operation show', operation)}"
    )


def about_pause(operation: Operation) -> str:
    """Say what a paused operation waits for, and how it is let go on."""
    pause = operation.get("paused_at")
    message = one_line(pause["message"]) if pause else "no reason is given"
    return (
        f"The operation is paused: {message}. "
        f"To let it go on: {openstack('dr operation resume', operation['id'])}"
    )


class Progress:
    """An operation's progress: a bar on a terminal, a line for each change elsewhere."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar = stream.isatty()
        self._last = ""

    def update(self, operation: Operation) -> None:
        """Show where it is."""
        percent = operation["progress"]
        where = one_line(operation.get("phase") or operation["status"])
        kind = one_line(operation["operation_type"])
        head = f"{kind} {one_line(operation['id'])}"
        if self._bar:
            tail = f"{percent:3d} % {where}"
            line = f"{head} {_bar(percent)} {tail}"
            columns = shutil.get_terminal_size().columns - 1
            if len(line) > columns:
                line = f"{kind} {_bar(percent)} {tail}"[:columns]
            terminal.overwrite_line(self._stream, line)
        else:
            line = f"{head} {percent} % {where}"
            if line != self._last:
                terminal.write(self._stream, line + "\n")
        self._last = line

    def close(self) -> None:
        """Leave the bar's line."""
        if self._bar and self._last:
            terminal.write(self._stream, "\n")


def _bar(percent: int) -> str:
    filled = _BAR * percent // 100
    return "[" + "#" * filled + "." * (_BAR - filled) + "]"


class Waiting(Command):
    """A command that may wait for an operation."""

    under_way: str | None = None
    exit_code = 0

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; after Ctrl-C say that the server goes on."""
        try:
            code = super().run(parsed_args)
        except KeyboardInterrupt:
            if self.under_way is None:
                raise
            self.say(f"\nInterrupted. {goes_on(self.under_way)}")
            return INTERRUPTED
        return code or self.exit_code

    def wait_for(self, client: Client, operation: Operation) -> Operation:
        """Wait until it has ended; ``failed`` makes the command's exit code 1."""
        self.under_way = operation["id"]
        progress = Progress(self.app.stderr)
        paused = False
        try:
            for seen in watched(client, operation["id"]):
                operation = seen
                progress.update(seen)
                if is_paused(seen) and not paused:
                    progress.close()
                    self.say(about_pause(seen))
                paused = is_paused(seen)
        finally:
            progress.close()
        self.under_way = None
        if operation["status"] != "completed" and not is_awaiting_cleanup(operation):
            self.exit_code = 1
        return operation
