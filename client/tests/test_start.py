# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io

import pytest
import requests

from protectorclient.osc.wait import Progress
from tests.conftest import fault, operation

ACTION = "protection-groups/prod-web-app/action"
NET_A, NET_B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"

EXAMPLE_4 = """\
+------------------+---------------------------------------------+
| Field            | Value                                       |
+------------------+---------------------------------------------+
| operation_id     | op-7a3f2c11-0005-4b22-a918-000000000005     |
| operation_type   | test_cleanup                                |
| status           | running                                     |
| progress         | 0                                           |
+------------------+---------------------------------------------+
"""


def started(clouds, **changes):
    record = operation(**{"status": "running", "progress": 0, "steps_completed": [], **changes})
    clouds.mock.post(clouds.url(ACTION), status_code=202, json={"operation": record})
    return record


@pytest.mark.parametrize(
    "words",
    [
        ["protector", "protection-group", "action", "prod-web-app", "--action", "test-cleanup"],
        ["dr", "protection-group", "action", "prod-web-app", "--action", "test-cleanup"],
        ["dr", "test-cleanup", "prod-web-app"],
    ],
)
def test_example_4(clouds, run, words):
    started(clouds, id="op-7a3f2c11-0005-4b22-a918-000000000005", operation_type="test_cleanup")
    test = "op-7a3f2c11-0004-4b22-a918-000000000004"
    assert run(*words, "--test-operation-id", test).out == EXAMPLE_4
    assert clouds.bodies("POST", clouds.url(ACTION)) == [
        {"test_cleanup": {"test_operation_id": test}}
    ]


def test_failover(clouds, run):
    started(clouds)
    result = run("dr", "failover", "prod-web-app", "-f", "json")
    assert result.code == 0
    assert result.json == {
        "operation_id": operation()["id"],
        "operation_type": "failover",
        "status": "running",
        "progress": 0,
    }
    assert clouds.bodies("POST", clouds.url(ACTION)) == [{"failover": {"type": "planned"}}]


def test_a_planned_failover_from_a_dead_site_names_the_unplanned_one(clouds, run):
    clouds.dead("a")
    result = run("dr", "failover", "prod-web-app", both=True)
    assert result.code == 1
    assert result.err.startswith("Cannot reach Keystone of cloud 'site-a': Connection refused.")
    assert result.err.endswith(
        "If the site is lost: openstack dr failover prod-web-app --unplanned; it shows first what "
        "would be lost, and asks.\n"
    )
    assert clouds.bodies("POST", clouds.url(ACTION, "b")) == []


def test_a_start_without_an_answer_may_have_started(clouds, run):
    clouds.mock.post(clouds.url(ACTION), exc=requests.exceptions.ReadTimeout("late"))
    result = run("dr", "failback", "prod-web-app")
    assert result.code == 1
    assert result.err == (
        "No answer in time from protector at http://protector-a:8788 (cloud 'site-a'). It may have "
        "been started all the same. Look before you try again: openstack dr operation list "
        "--protection-group prod-web-app\n"
    )


def test_failover_with_everything(clouds, run):
    started(clouds)
    run(
        "dr",
        "failover",
        "prod-web-app",
        "--type",
        "planned",
        "--retain-source-volumes",
        "--network-mapping",
        f"{NET_A}={NET_B}",
        "--flavor-mapping",
        f"{NET_B}={NET_A}",
    )
    assert clouds.bodies("POST", clouds.url(ACTION)) == [
        {
            "failover": {
                "type": "planned",
                "network_mapping": {NET_A: NET_B},
                "flavor_mapping": {NET_B: NET_A},
                "retain_source_volumes": True,
            }
        }
    ]


@pytest.mark.parametrize(
    ("words", "verb"),
    [
        (["failback", "prod-web-app"], "failback"),
        (["test-failover", "prod-web-app"], "test_failover"),
        (["protection-group", "action", "prod-web-app", "--action", "sync"], "sync"),
    ],
)
def test_what_this_release_lacks_is_said_in_the_servers_words(clouds, run, words, verb):
    clouds.mock.post(
        clouds.url(ACTION),
        status_code=501,
        json=fault("notImplemented", 501, f"{verb} is not supported yet; planned failover is."),
    )
    result = run("dr", *words)
    assert result.code == 1
    assert result.err == f"{verb} is not supported yet; planned failover is. (HTTP 501)\n"
    assert list(clouds.bodies("POST", clouds.url(ACTION))[0]) == [verb]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--action", "test-cleanup"], "test-cleanup needs --test-operation-id."),
        (["--action", "failover", "--test-operation-id", "op-1"], "--test-operation-id is for"),
        (["--action", "retry", "--retain-source-volumes"], "is for failover and failback, not for"),
        (["--action", "sync", "--type", "planned"], "are for failover and failback, not for sync"),
        (["--action", "sync", "--network-mapping", f"{NET_A}={NET_B}"], "sync takes no mapping."),
        (["--action", "fence", "--flavor-mapping", "1=2"], "fence takes no mapping."),
        (["--action", "retry", "--unplanned"], "are for failover and failback, not for"),
        (["--action", "retry", "--dry-run"], "--dry-run is for failover and failback, not for"),
        (["--action", "failback", "--operation-id", "op-1"], "--operation-id is for retry, not"),
    ],
)
def test_arguments_that_do_not_belong_together(clouds, run, arguments, complaint):
    result = run("dr", "protection-group", "action", "prod-web-app", *arguments)
    assert result.code == 1
    assert complaint in result.err
    assert clouds.bodies("POST", clouds.url(ACTION)) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--type", "sudden"],
        ["--network-mapping", "only-one"],
        ["--network-mapping", "=x"],
        ["--type", "planned", "--unplanned"],
        ["more"],
    ],
)
def test_wrong_arguments(clouds, run, arguments):
    assert run("dr", "failover", "prod-web-app", *arguments).code == 2


def looks(clouds, *records):
    clouds.mock.get(
        clouds.url(f"operations/{operation()['id']}"),
        [{"json": {"operation": record}} for record in records],
    )


def test_wait_without_a_terminal_prints_a_line_for_each_change(clouds, run):
    started(clouds, status="pending")
    half = operation(status="running", progress=40, phase="promote_volumes")
    looks(clouds, half, half, operation())
    result = run("dr", "failover", "prod-web-app", "--wait")
    assert result.code == 0
    assert "| status           | completed  " in result.out
    identity = operation()["id"]
    assert result.err.splitlines() == [
        f"failover {identity} 40 % promote_volumes",
        f"failover {identity} 100 % completed",
    ]


def test_wait_for_one_that_fails(clouds, run):
    started(clouds)
    looks(clouds, operation(status="failed", error="No valid host was found."))
    result = run("dr", "failover", "prod-web-app", "--wait")
    assert result.code == 1
    assert "| error            | No valid host was found." in result.out


def test_leftovers_are_shown_after_the_wait(clouds, run):
    started(clouds)
    failed = {"step": "delete_source_vm:x", "error": "Nova timeout after 300s", "resource_id": "y"}
    looks(clouds, operation(steps_failed=[failed]))
    result = run("dr", "failover", "prod-web-app", "--wait")
    assert result.code == 0
    assert '| steps_failed     | [{"step": "delete_source_vm:x",' in result.out


def test_ctrl_c_during_the_wait(clouds, run, monkeypatch):
    started(clouds)
    looks(clouds, operation(status="running", progress=10))

    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("protectorclient.osc.wait.time.sleep", interrupt)
    result = run("dr", "failover", "prod-web-app", "--wait")
    assert result.code == 130
    assert result.out == ""
    assert f"openstack dr operation show {operation()['id']}" in result.err


def test_a_narrow_terminal_gets_the_bar_without_the_id(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    stream = io.StringIO()
    stream.isatty = lambda: True
    Progress(stream).update(operation(status="running", progress=7, phase="manage_volumes"))
    assert stream.getvalue() == f"\r\033[Kfailover [##{'.' * 28}]   7 % manage_volumes"


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    stream = io.StringIO()
    stream.isatty = lambda: True
    progress = Progress(stream)
    progress.update(operation(id="op-1", status="running", progress=50, phase="recreate_vms"))
    progress.update(operation(id="op-1"))
    progress.close()
    bars = stream.getvalue().split("\r\033[K")
    assert bars[1] == f"failover op-1 [{'#' * 15}{'.' * 15}]  50 % recreate_vms"
    assert bars[2] == f"failover op-1 [{'#' * 30}] 100 % completed\n"


def test_waiting_for_a_test_failover_ends_when_its_vms_are_up(clouds, run):
    kind = {"operation_type": "test_failover", "status": "running", "steps_completed": []}
    started(clouds, **kind)
    looks(
        clouds,
        operation(**kind, progress=50, phase="create_test_vms"),
        operation(**kind, progress=100, phase="awaiting_cleanup"),
    )
    result = run("dr", "test-failover", "prod-web-app", "--wait")
    identity = operation()["id"]
    assert result.code == 0
    assert "| status           | running  " in result.out
    assert result.err.splitlines() == [
        f"test_failover {identity} 50 % create_test_vms",
        f"test_failover {identity} 100 % awaiting_cleanup",
        "The test VMs are up. When you have looked at them: openstack dr test-cleanup prod-web-app "
        f"--test-operation-id {identity}",
    ]


def test_a_test_failover_that_fails_is_exit_code_1(clouds, run):
    kind = {"operation_type": "test_failover", "steps_completed": []}
    started(clouds, **kind, status="running")
    looks(clouds, operation(**kind, status="failed", error="No valid host was found."))
    result = run("dr", "test-failover", "prod-web-app", "--wait")
    assert result.code == 1
    assert "The test VMs are up" not in result.err


def test_a_test_failover_with_its_networks(clouds, run):
    started(clouds, operation_type="test_failover")
    words = ["protector", "protection-group", "action", "prod-web-app", "--action", "test-failover"]
    result = run(*words, "--network-mapping", f"{NET_A}={NET_B}")
    assert "| operation_type   | test_failover " in result.out
    assert clouds.bodies("POST", clouds.url(ACTION)) == [
        {"test_failover": {"network_mapping": {NET_A: NET_B}}}
    ]


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (404, "Operation op-x could not be found."),
        (400, "test_cleanup.test_operation_id: operation op-x is a failover, not a test_failover."),
        (409, "Operation op-x was cleaned up by operation op-y."),
    ],
)
def test_refusals_of_a_test_cleanup_are_the_servers_words(clouds, run, status, text):
    clouds.mock.post(clouds.url(ACTION), status_code=status, json=fault("fault", status, text))
    result = run("dr", "test-cleanup", "prod-web-app", "--test-operation-id", "op-x")
    assert result == type(result)(1, "", f"{text} (HTTP {status})\n")


def test_after_the_wait_leftovers_are_said_with_their_command(clouds, run):
    started(clouds)
    looks(clouds, operation(leftovers=2))
    result = run("dr", "failover", "prod-web-app", "--wait")
    assert result.code == 0
    assert result.err.splitlines()[-1] == (
        "2 resources are left behind; to remove them: openstack dr operation cleanup "
        f"{operation()['id']}"
    )


@pytest.mark.parametrize(
    "words",
    [["failback", "prod-web-app"],
     ["protection-group", "action", "prod-web-app", "--action", "failback"]],
)  # fmt: skip
def test_a_failback_can_retain_the_volumes_that_it_leaves(clouds, run, words):
    record = operation(operation_type="failback", status="running", progress=0)
    clouds.mock.post(clouds.url(ACTION), status_code=202, json={"operation": record})
    assert run("dr", *words, "--retain-source-volumes").code == 0
    assert clouds.bodies("POST", clouds.url(ACTION)) == [
        {"failback": {"retain_source_volumes": True}}
    ]


def test_an_action_may_be_written_as_data_has_it(clouds, run):
    record = operation(operation_type="test_failover", status="running", progress=0)
    clouds.mock.post(clouds.url(ACTION), status_code=202, json={"operation": record})
    words = ["dr", "protection-group", "action", "prod-web-app", "--action", "test_failover"]
    assert run(*words).code == 0
    assert clouds.bodies("POST", clouds.url(ACTION)) == [{"test_failover": {}}]
