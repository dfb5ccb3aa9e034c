# SPDX-License-Identifier: Apache-2.0
"""The commands as their parsers describe them."""

from __future__ import annotations

import argparse
import inspect
from importlib import metadata
from typing import NamedTuple


class Described(NamedTuple):
    """A command: its words after ``dr``, what it does, and its own arguments and options."""

    name: str
    text: str
    arguments: list[argparse.Action]
    options: list[argparse.Action]


def described() -> list[Described]:
    """All commands in alphabetical order, each once; ``protector`` is another word for ``dr``."""
    entries = metadata.entry_points(group="openstack.protector.v1")
    return [_described(entry) for entry in sorted(entries) if entry.name.startswith("dr_")]


def _described(entry: metadata.EntryPoint) -> Described:
    kind = entry.load()
    name = entry.name[len("dr_") :].replace("_", " ")
    parser = kind(None, None).get_parser(f"openstack dr {name}")
    options = [one for one in parser._optionals._group_actions if one.dest != "help"]
    text = inspect.getdoc(kind) or ""
    return Described(name, text, parser._positionals._group_actions, options)


def takes_value(option: argparse.Action) -> bool:
    """Whether a value follows the option."""
    return option.nargs != 0


def value_of(action: argparse.Action) -> str:
    """Return what stands for the value in a text."""
    if action.choices is not None:
        return "{" + ",".join(str(choice) for choice in action.choices) + "}"
    return str(action.metavar or f"<{action.dest.replace('_', '-')}>")
