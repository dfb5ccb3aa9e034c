# SPDX-License-Identifier: Apache-2.0
"""Arguments that several commands take."""

from __future__ import annotations

import argparse
import getpass
from typing import Any

from osc_lib import exceptions

from protectorclient.v1.records import Record


def pair(text: str) -> tuple[str, str]:
    """Read ``A=B``."""
    here, equals, there = text.partition("=")
    if not (equals and here and there):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form A=B")
    return here, there


def at_least(least: int) -> Any:
    """Make a reader of whole numbers that are not smaller."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number") from None
        if number < least:
            raise argparse.ArgumentTypeError(f"{number} is less than {least}")
        return number

    return read


def add_group(parser: argparse.ArgumentParser) -> None:
    """``<protection-group>``."""
    parser.add_argument(
        "protection_group", metavar="<protection-group>", help="Protection group (name or ID)"
    )


def add_mappings(parser: argparse.ArgumentParser, effect: str) -> None:
    """``--network-mapping`` and ``--flavor-mapping``."""
    parser.add_argument(
        "--network-mapping",
        metavar="<network>=<network>",
        action="append",
        type=pair,
        default=[],
        help="Network on the primary site = network on the secondary site (names or IDs; names are "
        "looked up with --os-cloud and --secondary-cloud). Repeat for each network. " + effect,
    )
    parser.add_argument(
        "--flavor-mapping",
        metavar="<flavor>=<flavor>",
        action="append",
        type=pair,
        default=[],
        help="Flavor on the primary site = flavor on the secondary site (names or IDs), needed "
        "only where the IDs differ. Repeat for each flavor. " + effect,
    )


def add_wait(parser: argparse.ArgumentParser) -> None:
    """``--wait``."""
    parser.add_argument(
        "--wait",
        action="store_true",
        help="Wait until the operation has ended, or the test VMs are up, with its progress on "
        "stderr; the exit code is 1 when it ended failed. Interrupting the wait does not interrupt "
        "the operation. Default: return at once",
    )


def add_page(parser: argparse.ArgumentParser) -> None:
    """``--limit`` and ``--marker``."""
    parser.add_argument(
        "--limit",
        metavar="<count>",
        type=at_least(1),
        help="Show at most this many entries (default: all)",
    )
    parser.add_argument(
        "--marker", metavar="<id>", help="Show the entries after the one with this ID"
    )


def given(parsed_args: argparse.Namespace, *names: str) -> Record:
    """Those of the arguments that the user gave, by name."""
    values = {name: getattr(parsed_args, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def secret(value: str | None, prompt: str) -> str:
    """Take a secret from the command line, or from a prompt when it is not given or ``-``."""
    if value is not None and value != "-":
        return value
    try:
        typed = getpass.getpass(f"{prompt}: ")
    except EOFError:
        typed = ""
    if not typed:
        raise exceptions.CommandError(f"{prompt}: nothing was given.")
    return typed
