# SPDX-License-Identifier: Apache-2.0
"""Questions that must be answered before something is done that cannot be taken back."""

from __future__ import annotations

import argparse

from osc_lib import exceptions

from protectorclient.osc import terminal
from protectorclient.osc.commands import Command


def add_yes(parser: argparse.ArgumentParser, about: str) -> None:
    """``--yes``."""
    parser.add_argument(
        "--yes", "-y", action="store_true", help=f"Do not ask before {about}; scripts need it"
    )


def require_answerable(command: Command, parsed_args: argparse.Namespace, why: str) -> None:
    """Refuse, before anything is asked of a cloud, where nobody could answer the question."""
    if not parsed_args.yes and not command.app.stdin.isatty():
        raise exceptions.CommandError(
            f"{why}, so it asks first, and here is no terminal to ask on. Give --yes to do it "
            "without a question, or --dry-run to look only."
        )


def confirm(command: Command, question: str) -> None:
    """Ask; anything but yes ends the command with nothing done."""
    terminal.write(command.app.stderr, f"{question} [y/N] ")
    try:
        answer = command.app.stdin.readline()
    except KeyboardInterrupt:
        command.say("")
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise exceptions.CommandError("Not confirmed. Nothing was changed.")
