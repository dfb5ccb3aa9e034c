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


def add_kept_mappings(parser: argparse.ArgumentParser, effect: str) -> None:
    """Add the mappings that only a group has: server groups, volume types, QoS policies."""
    parser.add_argument(
        "--server-group-mapping",
        metavar="<server-group>=<server-group>",
        action="append",
        type=pair,
        default=[],
        help="Server group on the primary site = server group on the secondary site (IDs). One "
        "that is not mapped gets the one of its name and policy there, which is made if need be. "
        "Repeat for each server group. " + effect,
    )
    parser.add_argument(
        "--volume-type-mapping",
        metavar="<volume-type>=<volume-type>",
        action="append",
        type=pair,
        default=[],
        help="Volume type on the primary site = volume type on the secondary site (IDs), for "
        "volumes of another type than the group's, which get the group's there if none is mapped. "
        "Repeat for each volume type. " + effect,
    )
    parser.add_argument(
        "--qos-policy-mapping",
        metavar="<qos-policy>=<qos-policy>",
        action="append",
        type=pair,
        default=[],
        help="QoS policy on the primary site = QoS policy on the secondary site (names or IDs), "
        "for ports that have one. One that is not mapped becomes the one of its name there, if "
        "there is one. Repeat for each QoS policy. " + effect,
    )


def kept_mappings(parsed_args: argparse.Namespace) -> Record:
    """Return those that were given."""
    names = ("server_group_mapping", "volume_type_mapping", "qos_policy_mapping")
    return {name: dict(pairs) for name in names if (pairs := getattr(parsed_args, name))}


def add_wait(parser: argparse.ArgumentParser, until: str) -> None:
    """``--wait``; ``until`` says what for."""
    parser.add_argument(
        "--wait",
        action="store_true",
        help=f"Wait until {until}, with the progress on stderr; the exit code is 1 when the "
        "operation failed. Interrupting the wait does not interrupt the operation (default: return "
        "at once)",
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


def add_sort(parser: argparse.ArgumentParser, *keys: str, default: str) -> None:
    """``--sort``, as other lists of ``openstack`` have it; ``default`` is the service's order."""
    direction = default.partition(":")[2]
    parser.add_argument(
        "--sort",
        metavar="<key>[:<direction>]",
        type=Order(keys),
        default={},
        help=f"Order by {alternatives(keys)}; direction: asc or desc, {direction} when left out "
        f"(default: {default})",
    )


class Order:
    """A reader of ``<key>[:<direction>]``, which returns the query for the service."""

    def __init__(self, keys: tuple[str, ...]) -> None:
        self.keys = keys

    def __call__(self, text: str) -> Record:
        """Read it."""
        key, colon, direction = text.partition(":")
        if key not in self.keys:
            raise argparse.ArgumentTypeError(f"'{key}' is no key; give {alternatives(self.keys)}")
        if colon and direction not in ("asc", "desc"):
            raise argparse.ArgumentTypeError(f"'{direction}' is no direction; give asc or desc")
        return {"sort_key": key, **({"sort_dir": direction} if colon else {})}


def word(text: str) -> str:
    """Take a word as data has it, ``test_failover``, for the one of the command line."""
    return text.replace("_", "-")


def alternatives(words: tuple[str, ...]) -> str:
    """Write words as a choice: ``a, b or c``."""
    *others, last = words
    return f"{', '.join(others)} or {last}" if others else last


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
