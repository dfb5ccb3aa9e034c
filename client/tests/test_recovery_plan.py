# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
import yaml

from tests.conftest import fault

PATH = "protection-groups/prod-web-app/recovery-plan"

PLAN = {
    "members": {
        "db-server": {
            "priority": 1,
            "depends_on": [],
            "probe": {"tcp": {"port": 5432}},
            "probe_timeout_seconds": 300,
            "fixed_ips": {"10.0.0.5": "10.1.0.5"},
            "security_groups": {"db": "db-dr"},
        },
        "web-server-1": {
            "priority": 2,
            "depends_on": ["db-server"],
            "probe": {"http": {"port": 80, "path": "/ready", "status": 204}},
            "probe_timeout_seconds": 60,
            "fixed_ips": {},
            "security_groups": {},
        },
        "worker": {"priority": 3, "depends_on": [], "probe": None},
    },
    "pauses": [{"before_priority": 2, "message": "Look at the database"}],
    "hooks": [
        {
            "name": "dns",
            "when": "after",
            "priority": None,
            "url": "https://dns.example.org/move",
            "timeout_seconds": 30,
            "on_failure": "continue",
            "operations": ["failover", "failback"],
        }
    ],
}

EMPTY = {"members": {}, "pauses": [], "hooks": []}

SHOW = ["dr", "recovery-plan", "show", "prod-web-app"]
SET = ["dr", "recovery-plan", "set", "prod-web-app", "--file"]


def serve(clouds, plan):
    clouds.mock.get(clouds.url(PATH), json={"recovery_plan": plan})


@pytest.mark.parametrize("word", ["dr", "protector"])
def test_show(clouds, run, word):
    serve(clouds, PLAN)
    result = run(word, *SHOW[1:])
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    assert lines[0] == "Recovery plan of protection group 'prod-web-app'"
    assert [line for line in lines if line[:1] not in ("+", "|", "")][1:] == [
        "Members",
        "Pauses",
        "Hooks",
    ]
    assert "| db-server    |        1 |            | TCP 5432 " in result.out
    assert "| db-server  | HTTP 80 /ready, status 204 |" in result.out
    assert "10.0.0.5='10.1.0.5'" in result.out
    assert "|               2 | Look at the database |" in result.out
    assert "| dns  | after | None     | https://dns.example.org/move |" in result.out


def test_show_of_a_group_without_a_plan(clouds, run):
    serve(clouds, EMPTY)
    assert run(*SHOW).out == (
        "Protection group 'prod-web-app' has no recovery plan: its VMs start side by side.\n"
    )


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_what_is_shown_can_be_set(clouds, run, tmp_path, form):
    serve(clouds, PLAN)
    clouds.mock.put(clouds.url(PATH), json={"recovery_plan": PLAN})
    file = tmp_path / f"plan.{form}"
    file.write_text(run(*SHOW, "-f", form).out)
    result = run(*SET, str(file), "-f", "json")
    assert (result.code, result.json, result.err) == (0, PLAN, "")
    assert clouds.bodies("PUT", clouds.url(PATH)) == [{"recovery_plan": PLAN}]


def test_set_shows_the_plan_as_it_is_stored(clouds, run, type_in):
    clouds.mock.put(clouds.url(PATH), json={"recovery_plan": PLAN})
    type_in("members: {worker: {}}")
    result = run(*SET, "-")
    assert (result.code, result.err) == (0, "")
    serve(clouds, PLAN)
    assert result.out == run(*SHOW).out


@pytest.mark.parametrize(
    "text",
    [yaml.safe_dump(PLAN), json.dumps(PLAN), json.dumps({"recovery_plan": PLAN})],
)
def test_set_from_stdin(clouds, run, type_in, text):
    clouds.mock.put(clouds.url(PATH), json={"recovery_plan": PLAN})
    type_in(text)
    assert run("protector", *SET[1:], "-").code == 0
    assert clouds.bodies("PUT", clouds.url(PATH)) == [{"recovery_plan": PLAN}]


def test_an_empty_plan_takes_the_plan_off(clouds, run, type_in):
    clouds.mock.put(clouds.url(PATH), json={"recovery_plan": EMPTY})
    type_in("{}")
    assert run(*SET, "-").out == (
        "Protection group 'prod-web-app' has no recovery plan: its VMs start side by side.\n"
    )
    assert clouds.bodies("PUT", clouds.url(PATH)) == [{"recovery_plan": {}}]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("members: [", "--file - is not YAML or JSON: while parsing a flow node"),
        ("", "--file -: a plan is an object with members, pauses and hooks; for no plan at all"),
        ("- a", "--file -: a plan is an object with members, pauses and hooks"),
        ("pauses: [2025-11-03]", "--file -: Object of type date is not JSON serializable. Put"),
    ],
)
def test_what_is_no_plan_is_not_sent(clouds, run, type_in, text, complaint):
    type_in(text)
    result = run(*SET, "-")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(complaint)
    assert len(result.err.splitlines()) == 1
    assert clouds.mock.request_history == []


def test_a_file_that_is_not_there(clouds, run, tmp_path):
    result = run(*SET, str(tmp_path / "none"))
    assert result.code == 1
    assert result.err.startswith("--file: [Errno 2] No such file or directory")


def test_a_refusal_names_the_field(clouds, run, type_in):
    text = "recovery_plan.members.web.depends_on: no member is named 'dbb'."
    clouds.mock.put(clouds.url(PATH), status_code=400, json=fault("badRequest", 400, text))
    type_in("{}")
    result = run(*SET, "-")
    assert result == type(result)(1, "", f"{text} (HTTP 400)\n")


def test_a_dead_site(clouds, run):
    clouds.dead("a")
    result = run(*SHOW)
    assert result.code == 1
    assert result.err.startswith("Cannot reach Keystone of cloud 'site-a': Connection refused.")


@pytest.mark.parametrize("words", [["show"], ["set", "prod-web-app"], ["set", "--file", "x"]])
def test_wrong_arguments(clouds, run, words):
    assert run("dr", "recovery-plan", *words).code == 2
