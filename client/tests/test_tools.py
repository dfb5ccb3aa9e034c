# SPDX-License-Identifier: Apache-2.0
"""The manual page and the shell's completion."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools import completion, manpage
from tools.commands import described

CLIENT = Path(__file__).parent.parent

SCRIPT = CLIENT / "completion" / "openstack-dr.bash"


def test_the_manual_page_is_the_one_of_these_commands():
    made = (CLIENT / "man" / "openstack-dr.1").read_text()
    assert made == manpage.page(), "python -m tools.manpage > man/openstack-dr.1"


def test_the_manual_page_has_each_command_and_option():
    text = manpage.page().replace("\\-", "-")
    for command in described():
        assert f".SS openstack dr {command.name}\n" in text
        for option in command.options:
            assert f"{', '.join(option.option_strings)}" in text, (command.name, option)


def test_the_completion_is_the_one_of_these_commands():
    made = SCRIPT.read_text()
    assert made == completion.script(), "python -m tools.completion > completion/openstack-dr.bash"


NAMES = """
openstack() {
  echo "$*" >> "$ASKED"
  case "$*" in
    *"protection-group list"*) printf '%s\\n' prod-web-app 'prod mail' staging ;;
    *"operation list"*) printf '%s\\n' op-1 op-2 ;;
    *"member list"*"-- prod-web-app") printf '%s\\n' web-1 'web 2' db ;;
    *"member list"*"-- prod mail") printf '%s\\n' mail-1 ;;
    *"site list"*) printf '%s\\n' site-a --yes '$(echo X)' site-b ;;
  esac
}
_openstack() { COMPREPLY=(of-openstack); }
"""


@pytest.fixture
def complete(tmp_path):
    """Complete a command line in bash; the last word is the one that is being typed."""

    def go(*words):
        quoted = " ".join(f"'{word}'" for word in words)
        code = (
            f"{NAMES}\nsource '{SCRIPT}'\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n"
            '_openstack_dr\n((${#COMPREPLY[@]})) && printf "%s\\n" "${COMPREPLY[@]}"; true\n'
        )
        surroundings = {
            "PATH": "/usr/bin:/bin",
            "XDG_CACHE_HOME": str(tmp_path),
            "ASKED": str(tmp_path / "asked"),
        }
        done = subprocess.run(
            ["/bin/bash", "-uc", code],
            env=surroundings,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    return go


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["openstack", "dr", "failover", "prod"], ["prod-web-app", "prod\\ mail"]),
        (["openstack", "protector", "failover", "st"], ["staging"]),
        (["openstack", "--os-cloud", "site-b", "dr", "retry", "st"], ["staging"]),
        (["openstack", "dr", "failover", "--wait", "st"], ["staging"]),
        (["openstack", "dr", "failover", "--type", "un"], ["unplanned"]),
        (["openstack", "dr", "failover", "--type", "planned", "st"], ["staging"]),
        (["openstack", "dr", "protection-group", "action", "x", "--action", "f"],
         ["failover", "failback", "fence"]),
        (["openstack", "dr", "protection-group", "list", "--status", "failed"],
         ["failed_over", "failed_over_partial"]),
        (["openstack", "dr", "protection-group", "delete", "staging", "prod-"], ["prod-web-app"]),
        (["openstack", "dr", "operation", "show", ""], ["op-1", "op-2"]),
        (["openstack", "dr", "operation", "list", "--protection-group", "st"], ["staging"]),
        (["openstack", "dr", "site", "failover", ""], ["site-a", "\\$\\(echo\\ X\\)", "site-b"]),
        (["openstack", "dr", "member", "remove", "st"], ["staging"]),
        (["openstack", "dr", "member", "show", "prod-web-app", "we"], ["web-1", "web\\ 2"]),
        (["openstack", "dr", "member", "show", "prod\\ mail", ""], ["mail-1"]),
        (["openstack", "dr", "member", "show", '"prod mail"', ""], ["mail-1"]),
        (["openstack", "dr", "member", "remove", "-h", "prod-web-app", "db", "web-"], ["web-1"]),
        (["openstack", "dr", "member", "show", "unknown", ""], []),
        (["openstack", "dr", "operation", "list", "--sort", ""], ["created_at", "operation_type"]),
        (["openstack", "dr", "failover", "staging", ""], ["of-openstack"]),
        (["openstack", "dr", "failover", "--"], ["of-openstack"]),
        (["openstack", "dr", "fail"], ["of-openstack"]),
        (["openstack", "server", "sh"], ["of-openstack"]),
        (["openstack", ""], ["of-openstack"]),
    ],
)  # fmt: skip
def test_names_and_words_are_completed(complete, words, offered):
    assert complete(*words) == offered


def test_names_are_asked_of_the_cloud_on_the_line_and_kept_for_a_while(complete, tmp_path):
    line = ["openstack", "--os-cloud", "site-b", "dr", "failback", ""]
    assert complete(*line) == complete(*line) == ["prod-web-app", "prod\\ mail", "staging"]
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == ["--os-cloud site-b dr protection-group list -f value -c Name"]


def test_members_are_kept_by_their_group(complete, tmp_path):
    line = ["openstack", "--os-cloud", "site-b", "dr", "member", "show"]
    assert complete(*line, "prod-web-app", "d") == ["db"]
    assert complete(*line, "prod\\ mail", "") == ["mail-1"]
    assert complete(*line, "prod-web-app", "d") == ["db"]
    assert (tmp_path / "asked").read_text().splitlines() == [
        f"--os-cloud site-b dr member list -f value -c Name -- {group}"
        for group in ("prod-web-app", "prod mail")
    ]


def test_openstacks_own_completion_knows_the_commands(run):
    out = run("complete").out
    assert "  cmds_dr_failover='" in out
    assert "--unplanned" in out
    assert "  cmds_protector_recovery_plan='set show'" in out
