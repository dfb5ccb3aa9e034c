# SPDX-License-Identifier: Apache-2.0
"""Write the shell's completion: ``python -m tools.completion > completion/openstack-dr.bash``.

``openstack complete`` knows commands and options. This adds what comes after them: names of groups,
their members and sites, ids of operations, and the words that an option takes.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from protectorclient.osc.arguments import Order
from tools.commands import Described, described, takes_value

_TEMPLATE = Path(__file__).with_name("completion.bash")

_KINDS = {
    "<protection-group>": "@groups",
    "<member>": "@members",
    "<operation-id>": "@operations",
    "<site>": "@sites",
    "<file>": "@files",
}


def script() -> str:
    """Return the script for bash."""
    text = _TEMPLATE.read_text(encoding="utf-8")
    commands = [_entry(command.name, _repeats(command)) for command in described()]
    values = [
        _entry(f"{command.name} {place}", words)
        for command in described()
        for place, words in _values(command)
    ]
    text = text.replace("# @commands@\n", "".join(commands))
    return text.replace("# @values@\n", "".join(values))


def _entry(key: str, value: str) -> str:
    return f"  ['{key}']='{value}'\n"


def _repeats(command: Described) -> str:
    return "+" if command.arguments and command.arguments[-1].nargs == "+" else ""


def _values(command: Described) -> Iterator[tuple[str, str]]:
    """Give what may stand at each place: after an option, or as the n-th argument."""
    for number, action in enumerate(command.arguments, start=1):
        yield f"#{number}", _words(action)
    for option in command.options:
        if takes_value(option):
            for name in option.option_strings:
                yield name, _words(option)


def _words(action: argparse.Action) -> str:
    if isinstance(action.type, Order):
        return " ".join(action.type.keys)
    if action.choices is not None:
        return " ".join(str(choice) for choice in action.choices)
    return _KINDS.get(str(action.metavar), "")


if __name__ == "__main__":
    sys.stdout.write(script())
