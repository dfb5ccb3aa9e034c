# SPDX-License-Identifier: Apache-2.0
"""A protector, or something that stands in for one, that means ill or is broken."""

from __future__ import annotations

import ast
import csv
import json
import logging
import re
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest
import yaml

import protectorclient
from protectorclient.osc import wait
from protectorclient.v1 import masking, records, transport
from tests.conftest import GROUP_ID, PROTECTOR, Typed, operation, preview

LIST = ["dr", "protection-group", "list"]
GROUP = {"id": GROUP_ID, "name": "web", "status": "active"}
EVIL = "http://evil.example.org"
REQUEST_ID = {"X-OpenStack-Request-ID": "req-9"}


def hosts(clouds):
    return {request.hostname for request in clouds.mock.request_history}


@pytest.mark.parametrize("status", [301, 302, 303, 305, 307, 308])
@pytest.mark.parametrize("location", [EVIL + "/x", PROTECTOR["a"] + "/elsewhere"])
def test_a_redirect_is_not_followed_and_its_goal_is_told(clouds, run, status, location):
    clouds.mock.get(location, json={"protection_groups": []})
    clouds.mock.get(
        clouds.url("protection-groups"),
        status_code=status,
        headers={"Location": location, **REQUEST_ID},
    )
    result = run(*LIST)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f"protector at http://protector-a:8788 (cloud 'site-a') answered {status} and points to "
        f"{location}. That is not followed: the token is for the endpoint in the catalogue. If it "
        "has moved, correct it there: openstack endpoint list --service protector "
        "(Request-ID: req-9)\n"
    )
    assert hosts(clouds) == {"keystone-a", "protector-a"}
    assert clouds.mock.last_request.path == f"/v1/{clouds.url('').split('/')[4]}/protection-groups"


def test_a_change_is_not_sent_on_either(clouds, run):
    clouds.mock.delete(EVIL + "/x", status_code=204)
    clouds.mock.delete(
        clouds.url("protection-groups/web"), status_code=307, headers={"Location": EVIL + "/x"}
    )
    result = run("dr", "protection-group", "delete", "web")
    assert result.code == 1
    assert EVIL in result.err
    assert "evil.example.org" not in hosts(clouds)


def test_the_question_for_versions_is_not_sent_on(clouds, run):
    clouds.mock.get(clouds.url("protection-groups"), status_code=406, json={})
    clouds.mock.get(PROTECTOR["a"] + "/", status_code=302, headers={"Location": EVIL + "/v"})
    clouds.mock.get(EVIL + "/v", json={"versions": [{"id": "v1", "version": "1.0"}]})
    assert run(*LIST).code == 1
    assert "evil.example.org" not in hosts(clouds)


def page(*identities, key="protection_groups"):
    entries = [{**GROUP, "id": identity} for identity in identities]
    return {key: entries, f"{key}_links": [{"rel": "next", "href": "x"}]}


@pytest.mark.parametrize(
    "pages", [[page("a"), page("a")], [page("a"), page("b"), page("c"), page("a")]]
)
def test_a_list_that_comes_to_a_marker_again_is_given_up(clouds, run, pages):
    clouds.mock.get(
        clouds.url("protection-groups"), [{"json": one, "headers": REQUEST_ID} for one in pages]
    )
    result = run(*LIST)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "protector at http://protector-a:8788 (cloud 'site-a') (Request-ID: req-9) answered with "
        "what cannot be used: the list protection_groups comes to its entry a again.\n"
    )
    asked = [one for one in clouds.mock.request_history if one.hostname == "protector-a"]
    assert len(asked) == len(pages)


def test_a_list_that_begins_with_the_marker_that_was_given(clouds, run):
    clouds.mock.get(clouds.url("protection-groups"), json=page("a"))
    result = run(*LIST, "--marker", "a")
    assert (result.code, result.out) == (1, "")
    assert "comes to its entry a again" in result.err


def test_a_list_without_end_is_given_up(clouds, run, monkeypatch):
    monkeypatch.setattr(transport, "MOST", 5)
    numbers = iter(range(1000))
    clouds.mock.get(
        clouds.url("protection-groups"),
        json=lambda *_: page(f"g{next(numbers)}", f"g{next(numbers)}"),
    )
    result = run(*LIST)
    assert result.code == 1
    assert "does not end after 6 entries: give --limit" in result.err


BROKEN = [
    (LIST, "protection-groups", {"protection_groups": [None]}, "protection_groups[0] is null"),
    (LIST, "protection-groups", {"protection_groups": "x"}, "protection_groups is a text"),
    (LIST, "protection-groups", {"protection_groups": None}, "protection_groups is null"),
    (
        LIST,
        "protection-groups",
        {"protection_groups": [GROUP], "protection_groups_links": ["next"]},
        "protection_groups_links[0] is a text",
    ),
    (
        LIST,
        "protection-groups",
        {"protection_groups": [{}], "protection_groups_links": [{"rel": "next"}]},
        "has no id to go on from",
    ),
    (
        ["dr", "protection-group", "show", "web"],
        "protection-groups/web",
        {"protection_group": "web"},
        "protection_group is a text, not an object",
    ),
    (["dr", "protection-group", "show", "web"], "protection-groups/web", {}, "is missing"),
    (
        ["dr", "protection-group", "show", "web"],
        "protection-groups/web",
        {"protection_group": {"name": "web"}},
        "'status' is missing",
    ),
    (
        ["dr", "operation", "show", "op-1"],
        "operations/op-1",
        {"operation": operation(steps_failed=["x"])},
        "operation.steps_failed[0] is a text, not an object",
    ),
    (
        ["dr", "operation", "show", "op-1", "--detail"],
        "operations/op-1",
        {"operation": operation(steps=[{"key": "x", "state": None}])},
        "operation.steps[0].state is null, not a text",
    ),
    (
        ["dr", "operation", "show", "op-1", "--detail"],
        "operations/op-1",
        {
            "operation": operation(
                steps=[{"key": "x", "state": "done", "started_at": "a", "finished_at": "b"}]
            )
        },
        "Invalid isoformat string",
    ),
    (
        ["dr", "operation", "list"],
        "operations",
        {"operations": [operation(progress="half")]},
        "operations[0].progress is a text, not a whole number",
    ),
    (
        ["dr", "member", "list", "web"],
        "protection-groups/web/members",
        {"members": [{"id": "1", "flavor": "small", "volumes": ["x"]}]},
        "str",
    ),
    (
        ["dr", "recovery-plan", "show", "web"],
        "protection-groups/web/recovery-plan",
        {"recovery_plan": {"members": ["web"]}},
        "list",
    ),
    (
        ["dr", "orphan", "list"],
        "orphans",
        {"orphans": [{"site": "site-a"}], "sites": [{"site": 7}]},
        "sites[0]",
    ),
    (
        ["dr", "protection-group", "sync-status", "web"],
        "protection-groups/web/sync-status",
        {"sync_status": {"status": "IN SYNC", "sites": [None]}},
        "NoneType",
    ),
]


@pytest.mark.parametrize(("words", "path", "body", "why"), BROKEN)
@pytest.mark.parametrize("options", [[], ["-f", "json"]])
def test_an_answer_of_the_wrong_form_is_one_line_with_the_request(
    clouds, run, words, path, body, why, options
):
    clouds.mock.get(clouds.url(path), json=body, headers=REQUEST_ID)
    if options and why in ("Invalid isoformat string", "list", "NoneType"):
        pytest.skip("scripts get it as it is")
    result = run(*words, *options)
    assert result.code == 1
    assert why in result.err
    assert "(Request-ID: req-9)" in result.err
    assert "protector at http://protector-a:8788 (cloud 'site-a')" in result.err
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize("text", ["[" * 100_000, '"x"', "null", "[1]", '{"a": ' + "9" * 5000 + "}"])
def test_an_answer_that_is_no_object(clouds, run, text):
    clouds.mock.get(clouds.url("protection-groups"), text=text, headers=REQUEST_ID)
    result = run(*LIST)
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert result.err.endswith("is it a protector endpoint? (Request-ID: req-9)\n")


@pytest.mark.parametrize("version", [None, 7, "x.y", "", ["1.0"], {}])
def test_a_version_that_is_none(clouds, run, version):
    clouds.mock.get(clouds.url("protection-groups"), status_code=406, json={})
    versions = {"versions": [{"id": "v1", "version": version}]}
    clouds.mock.get(PROTECTOR["a"] + "/", json=versions)
    result = run(*LIST)
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert result.err.endswith("(HTTP 406)\n")


def test_a_started_operation_of_the_wrong_form_is_not_followed(clouds, run):
    clouds.mock.post(
        clouds.url("protection-groups/web/action"), json={"operation": "op-1"}, headers=REQUEST_ID
    )
    result = run("dr", "failback", "web", "--wait")
    assert (result.code, result.out) == (1, "")
    assert "operation is a text, not an object" in result.err
    assert result.err.endswith(
        "It may have been started all the same. Look before you try again: "
        "openstack dr operation list --protection-group web\n"
    )


def test_a_preview_of_the_wrong_form_starts_nothing(clouds, run, type_in):
    type_in("y\n")
    action = clouds.url("protection-groups/web/action")
    clouds.mock.post(action, json={"preview": preview(warnings=None)}, headers=REQUEST_ID)
    result = run("dr", "failover", "web", "--unplanned")
    assert result.code == 1
    assert "preview.warnings is null, not a list" in result.err
    assert len(clouds.bodies("POST", action)) == 1


def test_a_broken_protector_does_not_stand_in_the_way_of_the_other(clouds, run):
    clouds.mock.get(clouds.url("operations/op-1"), json={"operation": None})
    clouds.mock.get(
        clouds.url("operations/op-1", "b"), json={"operation": operation(id="op-1", home_site="b")}
    )
    result = run("dr", "operation", "show", "op-1", both=True)
    assert result.code == 0
    assert "operation is null, not an object" in result.err
    assert "op-1" in result.out


SECRETS = [
    (
        [
            *("dr", "policy", "create", "web", "--rpo-minutes", "5"),
            *("--primary-fa-url", "https://x", "--secondary-fa-url", "https://y"),
            *("--primary-fa-api-token", "LEAK-1", "--secondary-fa-api-token=LEAK\"'2"),
        ],
        "protection-groups/web/policy",
        {"policy": {"primary_fa_api_token": "LEAK-3", "rpo_minutes": 5}},
    ),
]


def debugged(run, caplog, *words):
    """What a debug log of all levels and loggers has."""
    result = run("--debug", *words)
    return result.code, result.err


@pytest.mark.parametrize(("words", "path", "body"), SECRETS)
def test_debug_prints_no_secret_of_a_policy(clouds, run, caplog, words, path, body):
    clouds.mock.post(
        clouds.url(path), json=body, headers={"Content-Type": "application/json", **REQUEST_ID}
    )
    code, log = debugged(run, caplog, *words)
    assert code == 0
    assert "REQ: curl" in log
    assert "RESP BODY: " in log
    assert '"primary_fa_api_token": "***"' in log
    assert "LEAK" not in log


def test_debug_prints_no_password_of_a_site(clouds, run, caplog):
    clouds.mock.post(
        clouds.admin("sites"), json={"site": {"name": "s", "id": "1", "password": "LEAK-2"}}
    )
    code, log = debugged(
        run,
        caplog,
        *("dr", "site", "create", "s", "--auth-url", "https://x"),
        *("--username", "u", "--password", "LEAK 1"),
    )
    assert code == 0
    assert '"password": "***"' in log
    assert "LEAK" not in log


def test_debug_prints_no_user_data(clouds, run, caplog, tmp_path):
    server = "4f0a9d57-2b1c-4f0a-9d57-3b8f3e1f7c10"
    (tmp_path / "data").write_text("LEAK")
    clouds.mock.post(
        clouds.url("protection-groups/web/members"),
        json={"member": {"id": "1", "name": "x", "user_data": "TEVBSw=="}},
        headers={"Content-Type": "application/json"},
    )
    words = ("dr", "member", "add", "web", server, "--user-data", str(tmp_path / "data"))
    code, log = debugged(run, caplog, *words)
    assert code == 0
    assert server in log
    assert "TEVBSw" not in log


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ('{"a_token": "x\\"y", "b": "z"}', '{"a_token": "***", "b": "z"}'),
        ("{'API_TOKEN': 'x', 'b': 'z'}", "{'API_TOKEN': '***', 'b': 'z'}"),
        ("Namespace(password='x y', b='z')", "Namespace(password='***', b='z')"),
        ("openstack --password x --b z", "openstack --password *** --b z"),
        ("['--fa-api-token', 'x', '--b']", "['--fa-api-token', '***', '--b']"),
        ("['--fa-api-token=x y', '--b']", "['--fa-api-token=*** y', '--b']"),
        ('{"user_data": "x', '{"user_data": "***"'),
        ('{"token": null, "password": 7}', '{"token": null, "password": 7}'),
        (
            '{"url": "https://u/p?key=x", "b": "z"}',
            '{"url": "https://u/p?***", "b": "z"}',
        ),
    ],
)
def test_what_is_masked(text, safe):
    record = logging.LogRecord("x", logging.DEBUG, "", 0, "%s", (text,), None)
    masking.Masking().filter(record)
    assert record.getMessage() == safe


def test_a_masked_body_is_json_still():
    body = {"policy": {"primary_fa_api_token": 'x"}{\\', "rpo_minutes": 5}}
    masked = json.loads(masking.masked(json.dumps(body)))
    assert masked == {"policy": {"primary_fa_api_token": "***", "rpo_minutes": 5}}


EVIL_TEXTS = [
    ("x\x1b[2Jy", "x\\x1b[2Jy"),
    ("x\x1b]0;title\x07y", "x\\x1b]0;title\\x07y"),
    ("x\x1b]8;;http://evil\x1b\\y", "x\\x1b]8;;http://evil\\x1b\\y"),
    ("x\x9b2Jy", "x\\x9b2Jy"),
    ("x\x08\x7fy", "x\\x08\\x7fy"),
    ("x\u202ey", "x\\u202ey"),
    ("x\u2066y", "x\\u2066y"),
    ("x\u200by", "x\\u200by"),
    ("x\ufeffy", "x\\ufeffy"),
    ("x\U000e0041y", "x\\U000e0041y"),
    ("x\u00ady", "x\\xady"),
    ("x\u3164y", "x\\u3164y"),
    ("x\ufe01y", "x\\ufe01y"),
    ("x\u2028y", "x\\u2028y"),
    ("x\ud800y", "x\\ud800y"),
]
"""What a name may have in it, and how it is shown."""


@pytest.mark.parametrize(("name", "safe"), EVIL_TEXTS)
@pytest.mark.parametrize("options", [[], ["--max-width", "60"]])
def test_tables_show_what_steers_a_terminal(clouds, run, name, safe, options):
    group = {**GROUP, "name": name, name: "a field", "map": {"k": name}, "list": [name]}
    clouds.mock.get(clouds.url("protection-groups"), json={"protection_groups": [group]})
    clouds.mock.get(clouds.url("protection-groups/web"), json={"protection_group": group})
    for words in (LIST, ["dr", "protection-group", "show", "web"]):
        result = run(*words, *options)
        assert result.code == 0
        assert options or safe in result.out
        assert name not in result.out
        assert result.out.replace("\n", "").isprintable()


def test_a_name_makes_no_line_of_its_own_in_a_list(clouds, run):
    name = "web |\n| 1234 | other"
    groups = {"protection_groups": [{**GROUP, "name": name}]}
    clouds.mock.get(clouds.url("protection-groups"), json=groups)
    result = run(*LIST)
    assert len(result.out.splitlines()) == 5
    assert "web |\\n| 1234 | other" in result.out


def csv_value(text):
    _, row = csv.reader(text.split("\n")[:2], escapechar="\\")
    return row[0]


@pytest.mark.parametrize("script", ["value", "json", "yaml", "csv"])
@pytest.mark.parametrize("name", [name for name, _ in EVIL_TEXTS if "\ud800" not in name])
def test_scripts_get_names_as_they_are(clouds, run, script, name):
    groups = {"protection_groups": [{**GROUP, "name": name}]}
    clouds.mock.get(clouds.url("protection-groups"), json=groups)
    result = run(*LIST, "-f", script, "-c", "Name")
    read = {
        "value": lambda: result.out[:-1],
        "json": lambda: result.json[0]["Name"],
        "yaml": lambda: yaml.safe_load(result.out)[0]["Name"],
        "csv": lambda: csv_value(result.out),
    }
    assert read[script]() == name


@pytest.mark.parametrize("script", ["value", "shell", "csv"])
def test_on_a_terminal_the_forms_for_scripts_are_escaped_too(clouds, run, monkeypatch, script):
    monkeypatch.setattr("_pytest.capture.CaptureIO.isatty", lambda _self: True, raising=False)
    group = {**GROUP, "name": "x\x1b[2Jy"}
    clouds.mock.get(clouds.url("protection-groups"), json={"protection_groups": [group]})
    clouds.mock.get(clouds.url("protection-groups/web"), json={"protection_group": group})
    words = ["dr", "protection-group", "show", "web"] if script == "shell" else LIST
    result = run(*words, "-f", script)
    assert result.code == 0
    assert "x\\x1b[2Jy" in result.out.replace("\\\\", "\\")
    assert "\x1b" not in result.out


@pytest.mark.parametrize("script", ["value", "json", "yaml", "csv"])
def test_half_a_character_is_no_traceback(clouds, run, script):
    groups = {"protection_groups": [{**GROUP, "name": "x\ud800y"}]}
    clouds.mock.get(clouds.url("protection-groups"), json=groups)
    result = run(*LIST, "-f", script)
    assert (result.code, result.err) == (0, "")
    assert "\\ud800" in result.out.lower()


@pytest.mark.parametrize(("text", "safe"), EVIL_TEXTS)
@pytest.mark.parametrize("debug", [[], ["--debug"]])
def test_errors_of_a_server_do_not_steer_the_terminal(clouds, run, text, safe, debug):
    clouds.mock.get(
        clouds.url("protection-groups"),
        status_code=409,
        json={"conflictingRequest": {"code": 409, "message": text}},
        headers={"X-OpenStack-Request-ID": "req-\x1b[1m"},
    )
    result = run(*debug, *LIST)
    assert result.code == 1
    if "\u2028" not in text:
        assert f"{safe} (Request-ID: req-\\x1b[1m) (HTTP 409)" in result.err
    assert result.err.replace("\n", "").isprintable()


def test_what_debug_prints_of_an_answer_does_not_steer_the_terminal(clouds, run):
    body = '{"protection_groups": [], "x": "\u202e\x1b[2J"}'
    clouds.mock.get(
        clouds.url("protection-groups"),
        text=body,
        headers={"Content-Type": "application/json", "X-Evil": "\x1b]0;x\x07"},
    )
    result = run("--debug", *LIST)
    assert "RESP BODY: " in result.err
    assert "X-Evil: \\x1b]0;x\\x07" in result.err
    assert result.err.replace("\n", "").isprintable()


def test_a_redirect_to_nowhere_is_one_line(clouds, run):
    clouds.mock.get(
        clouds.url("protection-groups"), status_code=302, headers={"Location": "http://[x"}
    )
    result = run(*LIST)
    assert result.err == (
        "protector at http://protector-a:8788 (cloud 'site-a') sent what is no answer: "
        "Invalid IPv6 URL.\n"
    )


@pytest.mark.parametrize("token", [{"token": None}, {"token": "x"}, {"token": {"catalog": 7}}, [7]])
def test_a_keystone_that_is_none(clouds, run, token):
    clouds.mock.post("http://keystone-a:5000/v3/auth/tokens", json=token)
    result = run(*LIST)
    assert (result.code, result.out, len(result.err.splitlines())) == (1, "", 1)
    assert "site-a" in result.err


def test_an_error_of_a_server_is_one_line(clouds, run):
    clouds.mock.get(
        clouds.url("protection-groups"),
        status_code=409,
        json={"x": {"code": 409, "message": "no\r\nProtection group web was deleted."}},
    )
    assert len(run(*LIST).err.splitlines()) == 1


def test_a_goal_of_a_redirect_does_not_steer_the_terminal(clouds, run):
    clouds.mock.get(
        clouds.url("protection-groups"), status_code=302, headers={"Location": "http://x/\x1b]0;x"}
    )
    result = run(*LIST)
    assert "points to http://x/\\x1b]0;x" in result.err
    assert "\x1b" not in result.err


TRAP = "x\x1b[2Jy\u202ez"
SEEN = "x\\x1b[2Jy\\u202ez"


def printed(result):
    text = result.out + result.err
    assert text.replace("\n", "").isprintable()
    return text


def test_progress_does_not_steer_the_terminal(clouds, run):
    started = operation(status="running", operation_type=TRAP, phase=TRAP)
    clouds.mock.post(clouds.url("protection-groups/web/action"), json={"operation": started})
    looks = [started, operation(status="failed", operation_type=TRAP, error=TRAP, leftovers=1)]
    url = clouds.url(f"operations/{started['id']}")
    clouds.mock.get(url, [{"json": {"operation": look}} for look in looks])
    result = run("dr", "failback", "web", "--wait")
    assert result.code == 1
    assert f"{SEEN} op-7a3f2c11-0001-4b22-a918-000000000001 100 % {SEEN}" in printed(result)


def test_a_bar_does_not_steer_the_terminal():
    stream = Typed()
    wait.Progress(stream).update(operation(operation_type=TRAP, phase=TRAP, id=TRAP))
    assert stream.getvalue().startswith(f"\r\x1b[K{SEEN} {SEEN} [")
    assert stream.getvalue()[len("\r\x1b[K") :].isprintable()


def test_a_preview_and_its_question_do_not_steer_the_terminal(clouds, run, type_in):
    evil = preview(
        target_site=TRAP,
        recovery_point={"id": TRAP, "taken_at": TRAP, "age_seconds": 1},
        warnings=[TRAP],
        steps=[TRAP],
    )
    clouds.mock.post(clouds.url("protection-groups/web/action", "b"), json={"preview": evil})
    words = ["dr", "failover", "web", "--unplanned"]
    assert printed(run(*words, "--dry-run", both=True)).count(SEEN) == 4
    type_in("n\n")
    assert printed(run(*words, both=True)).count(SEEN) == 3


def test_steps_and_health_and_plans_do_not_steer_the_terminal(clouds, run):
    step = {"key": TRAP, "state": TRAP, "site": TRAP, "error": TRAP, "request_ids": [TRAP]}
    evil = operation(
        steps=[step],
        steps_failed=[{"step": TRAP, "error": TRAP, "resource_id": TRAP}],
        home_site=TRAP,
    )
    clouds.mock.get(clouds.url("operations/op-1"), json={"operation": evil})
    assert SEEN in printed(run("dr", "operation", "show", "op-1", "--detail"))
    report = {
        "status": TRAP,
        "site": TRAP,
        "sites": [{"name": TRAP, "reachable": False, "error": TRAP, "services": {TRAP: TRAP}}],
        "components": [{"name": TRAP, "status": TRAP, "detail": TRAP}],
        "protection_groups": [{"name": TRAP, "status": "active", "failover_ready": False}],
    }
    clouds.mock.get(PROTECTOR["a"] + "/v1/health", json={"health": report})
    assert printed(run("dr", "health", "show")).count(SEEN) >= 6
    plan = {"members": {TRAP: {"depends_on": [TRAP]}}, "pauses": [{"message": TRAP}]}
    url = clouds.url("protection-groups/web/recovery-plan")
    clouds.mock.get(url, json={"recovery_plan": plan})
    assert SEEN in printed(run("dr", "recovery-plan", "show", "web"))
    status = {"status": TRAP, "sites": [{"site": TRAP, "version": 1}], "differs": [TRAP]}
    clouds.mock.get(clouds.url("protection-groups/web/sync-status"), json={"sync_status": status})
    assert printed(run("dr", "protection-group", "sync-status", "web")).count(SEEN) == 3


def test_nothing_writes_to_a_terminal_but_through_the_one_place():
    root = Path(protectorclient.__file__).parent
    writers = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"(?<!terminal)\.write\(|\bprint\(|\.writelines\(", path.read_text())
    }
    # The second is a table, whose cells were escaped before it was laid out.
    assert writers == {"osc/terminal.py", "osc/commands.py"}
    text = (root / "osc/commands.py").read_text()
    assert re.findall(r"(\w+)\.write\(", text).count("stdout") == 1
    assert set(re.findall(r"(\w+)\.write\(", text)) == {"stdout", "terminal"}


NAMES = [
    "web",
    "my web",
    "two  spaces",
    "x; echo PWNED",
    "x & echo PWNED",
    "x | tee PWNED",
    "$(echo PWNED)",
    "`echo PWNED`",
    "it's",
    '"x"',
    "#x",
    "~",
    "*",
    "!x",
    "a\\b",
    "x > /dev/null",
    "x\necho PWNED",
    "x\x1b[2J'\\",
    "x\u202ey",
    "x\U000e0041y",
    "-x",
    "--yes",
    "--os-cloud=evil",
    "- x",
    "h\u00fctte",
]
"""What a group may be called."""


def words_of(command):
    """What a shell makes of a command that was printed."""
    script = f"openstack() {{ printf '%s\\0' \"$@\"; }}\n{command}\n"
    shell = subprocess.run(
        ["bash", "-c", script], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert shell.stderr == b""
    return shell.stdout.decode().split("\0")[:-1]


def command_in(text, begins="openstack "):
    """The command that a line ends with."""
    lines = [line for line in text.splitlines() if begins in line]
    return begins + lines[-1].partition(begins)[2]


def things(words, *command):
    """What stands behind the words of the command, without the mark that ends options."""
    assert tuple(words[: len(command)]) == command
    return [word for word in words[len(command) :] if word != "--"]


@pytest.mark.parametrize("name", NAMES)
def test_a_pasted_command_names_what_is_read(clouds, run, name):
    group = {**GROUP, "name": name, "status": "split_brain"}
    clouds.mock.get(clouds.url("protection-groups/web"), json={"protection_group": group})
    result = run("dr", "protection-group", "show", "web")
    command = command_in(result.err, "openstack dr fence")
    assert command.isprintable()
    assert things(words_of(command), "dr", "fence") == [name]


@pytest.mark.parametrize("name", NAMES)
def test_a_pasted_command_is_for_the_group_and_for_nothing_else(clouds, run, name):
    group = {**GROUP, "name": name, "status": "failed_over_partial"}
    clouds.mock.get(clouds.url("protection-groups/web"), json={"protection_group": group})
    result = run("dr", "protection-group", "show", "web")
    action = clouds.mock.post(
        clouds.url(f"protection-groups/{quote(name, safe='')}/action"),
        json={"operation": operation(operation_type="retry")},
    )
    again = run(*words_of(command_in(result.err, "openstack dr retry")))
    assert (again.code, action.call_count) == (0, 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_pasted_preview_is_the_same_move(clouds, run, name):
    url = clouds.url(f"protection-groups/{quote(name, safe='')}/action", "b")
    clouds.mock.post(url, json={"preview": preview()})
    network = f"{GROUP_ID}={GROUP_ID}"
    words = ["dr", "failover", "--unplanned", "--dry-run", "--network-mapping", network]
    result = run(*words, "--", name, both=True)
    given = things(words_of(command_in(result.out, "openstack dr failover")), "dr", "failover")
    assert sorted(given) == sorted([name, "--unplanned", "--network-mapping", network])


@pytest.mark.parametrize("name", NAMES)
def test_each_hint_is_quoted(clouds, run, name):
    def last(text, *command):
        return things(words_of(command_in(text, "openstack " + " ".join(command))), *command)

    started = operation(status="running", protection_group=name, id="op-1")
    clouds.mock.post(clouds.url("protection-groups/web/action"), json={"operation": started})
    up = operation(status="running", phase="awaiting_cleanup", protection_group=name, id="op-1")
    clouds.mock.get(clouds.url("operations/op-1"), json={"operation": up})
    err = run("dr", "test-failover", "web", "--wait").err
    assert sorted(last(err, "dr", "test-cleanup")) == sorted([name, "--test-operation-id", "op-1"])

    health = {"status": "ok", "site": "a", "sites": [], "components": []}
    group = {"name": name, "status": "active", "failover_ready": False}
    report = {"health": {**health, "protection_groups": [group]}}
    clouds.mock.get(PROTECTOR["a"] + "/v1/health", json=report)
    assert last(run("dr", "health", "show").err, "dr", "protection-group", "check") == [name]

    status = {"status": "x", "conflict": {"detected_at": "x", "local": {}, "remote": {}}}
    side = {"version": 1, "changed_at": "x"}
    status["conflict"].update(local=side, remote=side)
    status["sites"] = [{"site": name}]
    url = clouds.url("protection-groups/web/sync-status")
    clouds.mock.get(url, json={"sync_status": status})
    command = command_in(run("dr", "protection-group", "sync-status", "web").err, "openstack --os")
    given, *rest = words_of(command)
    cloud = given.partition("=")[2] if "=" in given else rest.pop(0)
    assert (cloud, rest) == (name, ["dr", "protection-group", "sync-force", "web"])


def test_a_fence_without_a_failover_names_no_cleanup(clouds, run):
    started = operation(operation_type="fence", status="running", id="op-1")
    clouds.mock.post(clouds.url("protection-groups/web/action"), json={"operation": started})
    ended = {**started, "status": "completed"}
    clouds.mock.get(clouds.url("operations/op-1"), json={"operation": ended})
    result = run("dr", "fence", "web", "--wait")
    assert result.code == 0
    assert result.err.endswith("The VMs on site-a are stopped.\n")


def test_no_command_is_put_together_without_quotes():
    root = Path(protectorclient.__file__).parent
    found = [
        f"{path.name}: {ast.unparse(node)}"
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.JoinedStr) and is_unquoted_command(node.values)
    ]
    assert found == []


def is_unquoted_command(parts):
    """Whether a value comes after the beginning of a command."""
    texts = [part.value if isinstance(part, ast.Constant) else None for part in parts]
    begins = [
        place
        for place, text in enumerate(texts)
        if text is not None and re.search(r"openstack (dr|protector|--)", text)
    ]
    return bool(begins) and None in texts[begins[0] :]


VIEWS = {
    "FailedStep": "FailedStepView",
    "Step": "StepView",
    "Leftover": "LeftoverView",
    "CleanupPlan": "CleanupView",
    "FloatingIP": "FloatingIpView",
    "RecoveryPoint": "PreviewedPoint",
    "KeptPoint": "KeptPointView",
    "Capabilities": "CapabilitiesView",
    "Pause": "PausedAt",
    "Operation": "OperationView",
    "MemberVolume": "PreviewedVolume",
    "MemberPreview": "PreviewedMember",
    "MemberAttributes": "PreviewedAttributes",
    "ChangedAttribute": "PreviewedChange",
    "LackingAttribute": "PreviewedAttribute",
    "Preview": "PreviewView",
    "SiteGroup": "SiteGroupView",
    "RefusedGroup": "RefusedGroupView",
    "SiteFailover": "SiteFailoverAnswer",
    "Finding": "FindingView",
    "Readiness": "CheckView",
    "SiteHealth": "SiteHealthView",
    "ComponentHealth": "ComponentView",
    "GroupHealth": "GroupHealthView",
    "Health": "HealthView",
    "Orphan": "OrphanView",
    "QuotaShare": "QuotaShareView",
    "OrphanSite": "OrphanSiteView",
}
"""The documented form of each type that answers are held against."""


@pytest.mark.parametrize(("name", "view"), VIEWS.items())
def test_what_is_held_against_answers_is_what_is_documented(name, view):
    document = json.loads((Path(__file__).parents[2] / "docs/openapi.json").read_text())
    form = document["components"]["schemas"][view]
    record = getattr(records, name)
    for field, annotation in record.__annotations__.items():
        documented = form["properties"][field]
        choices = documented.get("oneOf", [{"type": documented.get("type")}])
        may_be_null = any("null" in (choice.get("type") or "") for choice in choices)
        assert not may_be_null or annotation.__forward_arg__.endswith("| None"), field
        needed = field in record.__required_keys__
        assert not needed or may_be_null or field in form["required"], field


def test_each_type_is_held_against_the_document():
    named = {name for name, one in vars(records).items() if hasattr(one, "__required_keys__")}
    assert {name for name in named if not name.startswith("_")} == set(VIEWS)
