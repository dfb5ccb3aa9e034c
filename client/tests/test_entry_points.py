# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
from osc_lib.command import command

COMMANDS = {entry.name: entry for entry in metadata.entry_points(group="openstack.protector.v1")}


def test_each_command_has_both_names():
    dr = {name[len("dr_") :]: entry.value for name, entry in COMMANDS.items() if name[:3] == "dr_"}
    protector = {
        name[len("protector_") :]: entry.value
        for name, entry in COMMANDS.items()
        if name.startswith("protector_")
    }
    assert dr == protector
    assert len(dr) * 2 == len(COMMANDS) == 102


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_each_command_loads_and_explains_itself(name):
    kind = COMMANDS[name].load()
    assert issubclass(kind, command.Command)
    assert kind.__doc__
    for argument in kind(None, None).get_parser(name)._actions:
        assert argument.help, argument


def test_help_needs_no_cloud(run, monkeypatch):
    monkeypatch.delenv("OS_CLOUD")
    result = run("dr", "operation", "cleanup", "--help")
    assert result.code == 0
    assert "--protection-group" in result.out
    assert "--operation-id" in result.out
    assert "--dry-run" in result.out
    listed = run("dr", "--help").out
    assert "  dr operation cleanup\n" in listed
    assert "  dr orphan delete\n" in listed
    assert "  dr protection-group sync-status\n" in listed


@pytest.mark.parametrize("name", sorted(name[3:] for name in COMMANDS if name.startswith("dr_")))
def test_help_is_there_on_a_narrow_terminal(run, monkeypatch, name):
    monkeypatch.setenv("COLUMNS", "60")
    result = run("dr", *name.split("_"), "--help")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith("usage: ")


def test_global_options_are_explained(run):
    out = run("--help").out
    assert "--secondary-cloud" in out
    assert "OS_SECONDARY_CLOUD" in out
    assert "protector protection-group action" in out


def test_the_readme_lists_each_command_with_options_that_it_has():
    text = (Path(__file__).parent.parent / "README.md").read_text()
    rows = dict(re.findall(r"^\| `dr ([a-z -]+?)(?: [<\[-].*?)?` \| (.*) \|$", text, re.MULTILINE))
    commands = {
        name[3:].replace("_", " "): entry
        for name, entry in COMMANDS.items()
        if name.startswith("dr_")
    }
    assert set(rows) == set(commands)
    for name, entry in commands.items():
        line = next(line for line in text.splitlines() if f"`dr {name}" in line)
        known = entry.load()(None, None).get_parser(name)._option_string_actions
        assert set(re.findall(r"--[a-z-]+", line)) <= set(known), name
