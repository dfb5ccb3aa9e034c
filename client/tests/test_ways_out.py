# SPDX-License-Identifier: Apache-2.0
"""The manual's page of ways out prints commands that this client takes."""

from __future__ import annotations

import re
import shlex
from importlib import metadata
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "ways-out.md"

COMMANDS = {
    tuple(entry.name.split("_"))[1:]: entry
    for entry in metadata.entry_points(group="openstack.protector.v1")
    if entry.name.startswith("dr_")
}


def printed():
    """Each command of the page once, its placeholders replaced by words."""
    text = PAGE.read_text()
    found = re.findall(r"`openstack dr ([^`]+)`", text)
    return sorted({re.sub(r"<([a-z-]+)>", r"\1", words) for words in found})


def command_of(words):
    """Find the command with the most words, and what is left for its parser."""
    for count in range(len(words), 0, -1):
        if tuple(words[:count]) in COMMANDS:
            return COMMANDS[tuple(words[:count])], words[count:]
    raise AssertionError(f"there is no command {' '.join(words)}")


def test_the_page_prints_commands():
    assert len(printed()) > 10


@pytest.mark.parametrize("words", printed())
def test_each_command_of_the_page_is_one_of_this_client(words):
    entry, arguments = command_of(shlex.split(words))
    parser = entry.load()(None, None).get_parser(entry.name)
    parser.parse_args(arguments)
