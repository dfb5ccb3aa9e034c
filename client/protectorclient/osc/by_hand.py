# SPDX-License-Identifier: Apache-2.0
"""Commands that are printed for a person to run: what is pasted does what is read.

Names and ids come from other people and from servers. Quoted, a name is one word for the shell,
whatever is in it, and none is taken for an option.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Optional

from protectorclient.osc import terminal

Option = tuple[str, Optional[str]]
"""``--protection-group`` and its value; None for an option that has none."""


def openstack(
    command: str, *things: str, options: Sequence[Option] = (), cloud: str | None = None
) -> str:
    """Write a command: ``openstack dr retry web``; ``cloud`` is for ``--os-cloud``."""
    whole = ["openstack", *(_option("--os-cloud", cloud) if cloud is not None else [])]
    whole += [quoted(word) for word in command.split()]
    given = [word for name, value in options for word in _option(name, value)]
    named = [quoted(thing) for thing in things]
    if any(thing.startswith("-") for thing in things):
        return " ".join([*whole, *given, "--", *named])
    return " ".join([*whole, *named, *given])


def quoted(word: str) -> str:
    """Quote one word for the shell; what cannot be seen in it is written as bash reads it."""
    if terminal.in_one_line(word) == word:
        return shlex.quote(word)
    return "$'" + "".join(map(_in_ansi_c, word)) + "'"


def _option(name: str, value: str | None) -> list[str]:
    if value is None:
        return [name]
    if value.startswith("-"):
        return [f"{name}={quoted(value)}"]
    return [name, quoted(value)]


def _in_ansi_c(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if terminal.in_one_line(character) == character:
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
