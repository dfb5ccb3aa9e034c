# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io

import pytest
import requests

from protectorclient.osc.cleanup_report import CleanupReport
from tests.conftest import GROUP_ID, NOT_FOUND, PROJECT, fault, operation
from tests.test_operation import partial

CHILD = "op-7a3f2c11-00ff-4b22-a918-0000000000ff"

EXAMPLE_2 = """\
Retrying cleanup for operation op-7a3f2c11-0002-4b22-a918-000000000002...
Skipping already-cleaned resources (8 skipped)
Retrying: delete_source_volume:vol-data-ws1
Checking volume status on site-a... available
Deleting volume cinder-vol-abc123... done
✓ Cleanup completed. 1 resource deleted, 0 failures.
"""

EXAMPLE_3 = """\
Retrying cleanup for operation op-7a3f2c11-0003-4b22-a918-000000000003...
Volumes retained by configuration — processing now:
Deleting volume cinder-vol-boot-ws1... done
Deleting volume cinder-vol-data-ws1... done
Deleting volume cinder-vol-boot-ws2... done
Deleting volume cinder-vol-data-ws2... done
Deleting volume cinder-vol-boot-db... done
Deleting volume cinder-vol-data-db... done
Deleting volume cinder-vol-log-db... done
✓ Cleanup completed. 7 resources deleted, 0 failures.
"""


def step(key, state="running", **changes):
    kind = "server" if "_vm:" in key else "volume"
    return {
        "key": key,
        "phase": key.partition(":")[0],
        "state": state,
        "site": "site-a",
        "resource_type": kind,
        "resource_id": f"{'nova' if kind == 'server' else 'cinder'}-{key.partition(':')[2]}",
        "observed": "available" if kind == "volume" else "SHUTOFF",
        "error": None,
        **changes,
    }


def child(*steps, status="running", **changes):
    return operation(
        id=CHILD,
        operation_type="cleanup",
        status=status,
        steps=list(steps),
        steps_completed=[],
        steps_failed=[],
        **changes,
    )


def leftover(key, **changes):
    kind = "server" if "_vm" in key else "volume"
    name = key.rpartition(":")[2]
    identity = f"{'nova' if kind == 'server' else 'cinder'}-{name}"
    return {
        "step": key,
        "resource_type": kind,
        "resource_id": identity,
        "name": name,
        "site": "site-a",
        "project_id": PROJECT["a"],
        "size_gib": 10 if kind == "volume" else None,
        "reason": "failed",
        "error": "Cinder timeout after 300s",
        "error_code": "PRT-TIMEOUT",
        "since": "2025-11-03T14:07:40Z",
        "command": f"openstack --os-cloud site-a {kind} delete {identity}",
        **changes,
    }


def plan(*left, skipped=8, retained=()):
    """What the server says there is to do; keys of steps stand for ordinary leftovers."""
    leftovers = [leftover(entry) if isinstance(entry, str) else entry for entry in left]
    return {
        "skipped": skipped,
        "retained": list(retained),
        "steps": [entry["step"] for entry in leftovers],
        "leftovers": leftovers,
    }


def serve(clouds, parent, cleanup, *looks, site="a"):
    """Record the parent, the answer to its cleanup, and what each look at the cleanup finds."""
    url = clouds.url(f"operations/{parent['id']}", site)
    clouds.mock.get(url, json={"operation": parent})
    started = {**child(), "cleanup": cleanup}
    answer = {"operation": started, "cleanup": cleanup}
    clouds.mock.post(f"{url}/cleanup", status_code=202, json=answer)
    clouds.mock.get(
        clouds.url(f"operations/{CHILD}", site), [{"json": {"operation": look}} for look in looks]
    )
    return url


WS1 = "delete_source_volume:vol-data-ws1"
LEFT_2 = leftover(WS1, resource_id="cinder-vol-abc123")


@pytest.mark.parametrize(
    "arguments",
    [
        ["op-7a3f2c11-0002-4b22-a918-000000000002"],
        ["--operation-id", "op-7a3f2c11-0002-4b22-a918-000000000002"],
    ],
)
def test_example_2(clouds, run, arguments):
    url = serve(
        clouds,
        partial(),
        plan(LEFT_2),
        child(step(WS1, "pending", observed=None)),
        child(step(WS1, resource_id="cinder-vol-abc123", observed=None)),
        child(step(WS1, resource_id="cinder-vol-abc123")),
        child(step(WS1, "done", resource_id="cinder-vol-abc123"), status="completed"),
    )
    result = run("dr", "operation", "cleanup", *arguments)
    assert result == type(result)(0, EXAMPLE_2, "")
    assert clouds.bodies("POST", f"{url}/cleanup") == [{"cleanup": {}}]
    assert clouds.mock.last_request.qs == {"detail": ["true"]}


def test_example_3(clouds, run):
    names = ["boot-ws1", "data-ws1", "boot-ws2", "data-ws2", "boot-db", "data-db", "log-db"]
    keys = [f"delete_source_volume:vol-{name}" for name in names]
    parent = operation(id="op-7a3f2c11-0003-4b22-a918-000000000003")
    serve(
        clouds,
        parent,
        plan(*keys, skipped=6, retained=keys),
        child(*(step(key, "done" if "ws2" in key else "running") for key in keys)),
        child(*(step(key, "done") for key in keys), status="completed"),
    )
    assert run("protector", "operation", "cleanup", parent["id"]).out == EXAMPLE_3


def test_servers_are_told_of_in_their_own_words(clouds, run):
    key = "delete_source_vm:db-server"
    serve(clouds, partial(), plan(key), child(step(key, "done"), status="completed"))
    out = run("dr", "operation", "cleanup", partial()["id"]).out.splitlines()
    assert out[2:5] == [
        "Retrying: delete_source_vm:db-server",
        "Checking server status on site-a... SHUTOFF",
        "Deleting server nova-db-server... done",
    ]


def test_a_failure_is_told_and_the_exit_code_says_so(clouds, run):
    keys = [WS1, "delete_source_volume:vol-log"]
    serve(
        clouds,
        partial(),
        plan(*keys),
        child(
            step(WS1, "failed", observed="in-use", error="Cinder timeout after 300s"),
            step(keys[1], "done", observed=None),
            status="completed",
        ),
    )
    result = run("dr", "operation", "cleanup", partial()["id"])
    assert result.code == 1
    assert result.out.splitlines()[2:] == [
        f"Retrying: {WS1}",
        "Checking volume status on site-a... in-use",
        "Deleting volume cinder-vol-data-ws1... failed: Cinder timeout after 300s",
        "Retrying: delete_source_volume:vol-log",
        "Checking volume status on site-a... not found",
        "Deleting volume cinder-vol-log... done",
        "Cleanup completed. 1 resource deleted, 1 failure.",
    ]
    assert result.err.startswith("Something is left: openstack dr operation show op-")


def test_steps_that_were_never_tried_count_as_left(clouds, run):
    serve(
        clouds,
        partial(),
        plan(WS1),
        child(step(WS1, "pending", observed=None), status="failed", error="engine gone"),
    )
    result = run("dr", "operation", "cleanup", partial()["id"])
    assert result.code == 1
    assert "Deleting volume cinder-vol-data-ws1... failed: engine gone\n" in result.out
    assert f"Cleanup operation {CHILD} failed: engine gone" in result.err


def test_what_failed_comes_before_what_was_retained(clouds, run):
    server = "delete_source_vm:db-server"
    boot, data, log = (f"delete_source_volume:vol-{name}-db" for name in ("boot", "data", "log"))
    serve(
        clouds,
        operation(),
        plan(server, boot, data, log, skipped=3, retained=[boot, log]),
        child(step(boot, "done"), step(server), step(data, "pending"), step(log)),
        child(
            *(step(key, "done") for key in (server, boot, data)),
            step(
                log,
                "failed",
                error="kept: snapshot s-1 stands on it; delete that first",
                error_code="PRT-KEPT",
            ),
            status="completed",
        ),
    )
    result = run("dr", "operation", "cleanup", operation()["id"])
    assert result.code == 1
    assert result.out.splitlines()[1:] == [
        "Skipping already-cleaned resources (3 skipped)",
        "Retrying: delete_source_vm:db-server",
        "Checking server status on site-a... SHUTOFF",
        "Deleting server nova-db-server... done",
        "Retrying: delete_source_volume:vol-data-db",
        "Checking volume status on site-a... available",
        "Deleting volume cinder-vol-data-db... done",
        "Volumes retained by configuration — processing now:",
        "Deleting volume cinder-vol-boot-db... done",
        "Deleting volume cinder-vol-log-db... kept: snapshot s-1 stands on it; delete that first",
        "Cleanup completed. 3 resources deleted, 1 failure.",
    ]


def test_what_a_test_left_by_configuration_is_not_called_volumes(clouds, run):
    keys = ["delete_test_vm:web", "delete_test_volume:vol-web"]
    left = [leftover(key, site="site-b", reason="retained", error=None) for key in keys]
    serve(
        clouds,
        operation(operation_type="test_cleanup"),
        plan(*left, skipped=0, retained=keys),
        child(*(step(key, "done") for key in keys), status="completed"),
    )
    assert run("dr", "operation", "cleanup", operation()["id"]).out.splitlines()[1:] == [
        "Resources retained by configuration — processing now:",
        "Deleting server nova-web... done",
        "Deleting volume cinder-vol-web... done",
        "✓ Cleanup completed. 2 resources deleted, 0 failures.",
    ]


def test_what_is_taken_back_is_not_called_deleted(clouds, run):
    keys = [
        "undo:recreate_vms:web",
        "undo:manage_volumes:vol-web",
        "undo:promote_volumes:vol-web",
        "undo:stop_source_vms:web",
    ]
    serve(
        clouds,
        operation(status="failed", error="No valid host was found."),
        plan(*keys, skipped=0),
        child(*(step(key, "done") for key in keys), status="completed"),
    )
    out = run("dr", "operation", "cleanup", operation()["id"]).out.splitlines()
    assert [line for line in out if line.endswith("... done")] == [
        "Deleting server nova-web... done",
        "Unmanaging volume cinder-vol-web... done",
        "Discarding the copy of volume cinder-vol-web... done",
        "Starting server nova-web... done",
    ]
    assert out[-1] == "✓ Cleanup completed. 1 resource deleted, 3 taken back, 0 failures."


def test_texts_of_clouds_do_not_steer_the_terminal(clouds, run):
    serve(
        clouds,
        partial(),
        plan(WS1),
        child(step(WS1, "failed", error="bad\nthing \x1b[2J"), status="completed"),
    )
    out = run("dr", "operation", "cleanup", partial()["id"]).out
    assert "Deleting volume cinder-vol-data-ws1... failed: bad thing \\x1b[2J\n" in out


def test_scripts_get_the_outcomes_and_the_report_goes_to_stderr(clouds, run):
    keys = [WS1, "delete_source_volume:vol-log"]
    serve(
        clouds,
        partial(),
        plan(*keys),
        child(
            step(WS1, "failed", error="Cinder timeout after 300s"),
            step(keys[1], "done"),
            status="completed",
        ),
    )
    result = run("dr", "operation", "cleanup", partial()["id"], "-f", "json")
    assert result.code == 1
    assert result.json == [
        {
            "Operation": partial()["id"],
            "Step": WS1,
            "Type": "volume",
            "ID": "cinder-vol-data-ws1",
            "Site": "site-a",
            "Result": "failed",
            "Error": "Cinder timeout after 300s",
        },
        {
            "Operation": partial()["id"],
            "Step": keys[1],
            "Type": "volume",
            "ID": "cinder-vol-log",
            "Site": "site-a",
            "Result": "done",
            "Error": "",
        },
    ]
    assert result.err.startswith("Retrying cleanup for operation op-7a3f2c11-0002-")
    assert "Cleanup completed. 1 resource deleted, 1 failure.\n" in result.err


def test_each_line_is_printed_as_it_happens():
    out = io.StringIO()
    report = CleanupReport(out, "op-1", plan(WS1))
    seen = []
    for look in (
        child(step(WS1, observed=None)),
        child(step(WS1, observed="in-use")),
        child(step(WS1)),
        child(step(WS1, "done"), status="completed"),
    ):
        report.update(look)
        seen.append(out.getvalue().splitlines()[2:])
    assert [lines[-1] for lines in seen] == [
        "Checking volume status on site-a...",
        "Checking volume status on site-a...",
        "Deleting volume cinder-vol-data-ws1...",
        "Deleting volume cinder-vol-data-ws1... done",
    ]


def test_a_terminal_without_the_mark_gets_the_line_without_it():
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    report = CleanupReport(out, "op-1", plan(WS1, retained=[WS1]))
    report.update(child(step(WS1, "done"), status="completed"))
    report.close()
    assert raw.getvalue().decode("ascii").splitlines() == [
        "Retrying cleanup for operation op-1...",
        "Volumes retained by configuration - processing now:",
        "Deleting volume cinder-vol-data-ws1... done",
        "Cleanup completed. 1 resource deleted, 0 failures.",
    ]


def nothing_left(clouds, parent, site="a"):
    url = clouds.url(f"operations/{parent['id']}", site)
    clouds.mock.get(url, json={"operation": parent})
    clouds.mock.post(f"{url}/cleanup", json={"operation": None, "cleanup": plan(skipped=9)})


def test_nothing_left(clouds, run):
    nothing_left(clouds, operation())
    result = run("dr", "operation", "cleanup", operation()["id"])
    assert result.code == 0
    assert result.out == (
        "Nothing to clean up: operation op-7a3f2c11-0001-4b22-a918-000000000001 left nothing "
        "behind.\n"
    )


@pytest.mark.parametrize(
    ("message", "code", "advice"),
    [
        (
            "Remote site unreachable — metadata sync required",
            "PRT-PEER-UNREACHABLE",
            "openstack protector protection-group sync-force prod-web-app",
        ),
        (
            "Operation not in completed state: the operation must be completed or failed, it is "
            "running",
            "PRT-OPERATION-NOT-ENDED",
            "openstack dr operation show op-",
        ),
        ("Operation op-2 is cleaning up already", "PRT-BEING-CLEANED-UP", ""),
        ("metadata sync required, says a sentence alone", "PRT-BUSY", ""),
    ],
)
def test_refusals_carry_the_servers_words_and_print_nothing_else(
    clouds, run, message, code, advice
):
    url = clouds.url(f"operations/{partial()['id']}")
    clouds.mock.get(url, json={"operation": partial()})
    clouds.mock.post(
        f"{url}/cleanup",
        status_code=409,
        json=fault("conflictingRequest", 409, message, code),
        headers={"X-OpenStack-Request-ID": "req-7"},
    )
    result = run("dr", "operation", "cleanup", partial()["id"])
    assert result.code == 1
    assert result.out == ""
    refusal = f"{message} (Request-ID: req-7) (HTTP 409)"
    assert result.err.startswith(refusal)
    assert advice in result.err
    assert advice or result.err == f"{refusal}\n"


def test_the_operations_home_is_found(clouds, run):
    clouds.mock.get(clouds.url(f"operations/{partial()['id']}"), status_code=404, json=NOT_FOUND)
    serve(
        clouds,
        partial(home_site="site-b"),
        plan(LEFT_2),
        child(step(WS1, "done", resource_id="cinder-vol-abc123"), status="completed"),
        site="b",
    )
    assert run("dr", "operation", "cleanup", partial()["id"], both=True).out == EXAMPLE_2


def test_a_whole_group(clouds, run):
    older = operation(id="op-older", created_at="2025-11-01T00:00:00Z")
    left = partial(created_at="2025-11-02T00:00:00Z")
    running = operation(id="op-running", status="running", leftovers=1)
    earlier = operation(id="op-cleanup", operation_type="cleanup", leftovers=1)
    clouds.mock.get(clouds.url("operations"), json={"operations": [running, left, older, earlier]})
    clouds.mock.get(clouds.url("operations", "b"), status_code=404, json=NOT_FOUND)
    nothing_left(clouds, older)
    serve(
        clouds,
        left,
        plan(LEFT_2),
        child(step(WS1, "done", resource_id="cinder-vol-abc123"), status="completed"),
    )
    result = run("dr", "operation", "cleanup", "--protection-group", "prod-web-app", both=True)
    assert result == type(result)(0, EXAMPLE_2, "")
    history = clouds.mock.request_history
    posts = [r.path for r in history if r.method == "POST" and "8788" in r.url]
    assert posts == [
        f"/v1/{PROJECT['a']}/operations/{record['id']}/cleanup" for record in (older, left)
    ]
    lists = [r.qs for r in history if r.path.endswith("/operations")]
    assert lists == [{"protection_group": ["prod-web-app"], "leftovers": ["true"]}] * 2


def test_a_whole_group_with_nothing_left(clouds, run):
    clouds.mock.get(clouds.url("operations"), json={"operations": []})
    result = run("dr", "operation", "cleanup", "--protection-group", GROUP_ID)
    assert result.code == 0
    assert result.out.startswith("Nothing to clean up: no ended operation of protection group")


def test_something_left_in_a_group_is_exit_code_1(clouds, run):
    clouds.mock.get(clouds.url("operations"), json={"operations": [partial()]})
    serve(clouds, partial(), plan(WS1), child(step(WS1, "failed", error="x"), status="completed"))
    result = run("dr", "operation", "cleanup", "--protection-group", "prod-web-app")
    assert result.code == 1
    assert result.out.endswith("Cleanup completed. 0 resources deleted, 1 failure.\n")


def test_a_group_that_nobody_knows(clouds, run):
    text = "No protection group or operation of one is named 'prod'."
    for site in ("a", "b"):
        clouds.mock.get(
            clouds.url("operations", site),
            status_code=404,
            json=fault("itemNotFound", 404, text),
        )
    result = run("dr", "operation", "cleanup", "--protection-group", "prod", both=True)
    assert result == type(result)(1, "", f"{text} (HTTP 404)\n")


def test_a_group_when_the_first_site_is_dead(clouds, run):
    clouds.mock.get(
        clouds.url("operations"), exc=requests.exceptions.ConnectionError("Connection refused")
    )
    copy = operation(id="op-copy", leftovers=2)
    there = [copy, partial(home_site="site-b")]
    clouds.mock.get(clouds.url("operations", "b"), json={"operations": there})
    serve(
        clouds,
        partial(home_site="site-b"),
        plan(LEFT_2),
        child(step(WS1, "done", resource_id="cinder-vol-abc123"), status="completed"),
        site="b",
    )
    result = run("dr", "operation", "cleanup", "--protection-group", "prod-web-app", both=True)
    assert (result.code, result.out) == (1, EXAMPLE_2)
    assert result.err.splitlines() == [
        "Cannot reach protector at http://protector-a:8788 (cloud 'site-a'): Connection refused. "
        "What was started there is shown as cloud 'site-b' knows it.",
        "Operation op-copy is left out: it was started on site-a, which did not answer or is not "
        "named with --secondary-cloud.",
    ]


def test_a_copy_cannot_be_cleaned_up(clouds, run):
    clouds.dead("a")
    url = clouds.url(f"operations/{partial()['id']}", "b")
    clouds.mock.get(url, json={"operation": partial()})
    result = run("dr", "operation", "cleanup", partial()["id"], both=True)
    assert result.code == 1
    assert result.err.splitlines()[-1] == (
        f"Operation {partial()['id']} was started on site-a, which alone can go on with it, and no "
        "protector of site-a was reached. Name its cloud with --os-cloud or --secondary-cloud "
        "(OS_SECONDARY_CLOUD), or try again when it is back."
    )
    assert clouds.bodies("POST", f"{url}/cleanup") == []


def test_in_a_group_a_refusal_stops_no_other(clouds, run):
    refused = operation(id="op-refused", created_at="2025-11-01T00:00:00Z")
    clouds.mock.get(clouds.url("operations"), json={"operations": [partial(), refused]})
    clouds.mock.post(
        clouds.url("operations/op-refused/cleanup"),
        status_code=409,
        json=fault("conflictingRequest", 409, "Operation op-2 is cleaning up already"),
    )
    serve(
        clouds,
        partial(),
        plan(LEFT_2),
        child(step(WS1, "done", resource_id="cinder-vol-abc123"), status="completed"),
    )
    result = run("dr", "operation", "cleanup", "--protection-group", "prod-web-app")
    assert result.code == 1
    assert result.out == EXAMPLE_2
    assert "Operation op-refused was not cleaned up: Operation op-2 is cleaning" in result.err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["op-1", "--operation-id", "op-1"],
        ["op-1", "--protection-group", "g"],
        ["--operation-id", "op-1", "--protection-group", "g"],
        ["op-1", "op-2"],
    ],
)
def test_exactly_one_of_the_three(clouds, run, arguments):
    result = run("dr", "operation", "cleanup", *arguments)
    assert result.code == 2
    assert result.out == ""


def test_ctrl_c_leaves_the_work_running_and_says_so(clouds, run, monkeypatch):
    serve(clouds, partial(), plan(WS1), child(step(WS1)))

    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("protectorclient.osc.wait.time.sleep", interrupt)
    result = run("dr", "operation", "cleanup", partial()["id"])
    assert result.code == 130
    assert result.out.endswith("Deleting volume cinder-vol-data-ws1...\n")
    assert result.err == (
        f"\nInterrupted. Operation {CHILD} goes on on the server; watch it with: "
        f"openstack dr operation show {CHILD}\n"
    )


def test_a_restarting_server_does_not_end_the_wait(clouds, run):
    serve(clouds, partial(), plan(LEFT_2))
    done = child(step(WS1, "done", resource_id="cinder-vol-abc123"), status="completed")
    clouds.mock.get(
        clouds.url(f"operations/{CHILD}"),
        [
            {"exc": requests.exceptions.ConnectionError("Connection refused")},
            {"status_code": 503, "json": fault("serviceUnavailable", 503, "later")},
            {"json": {"operation": done}},
        ],
    )
    assert run("dr", "operation", "cleanup", partial()["id"]).out == EXAMPLE_2


def test_a_server_that_stays_away_ends_the_wait_but_not_the_work(clouds, run, monkeypatch):
    monkeypatch.setattr("protectorclient.osc.wait.PATIENCE", 2)
    serve(clouds, partial(), plan(WS1))
    clouds.mock.get(
        clouds.url(f"operations/{CHILD}"),
        exc=requests.exceptions.ConnectionError("Connection refused"),
    )
    result = run("dr", "operation", "cleanup", partial()["id"])
    assert result.code == 1
    assert f"Operation {CHILD} goes on on the server" in result.err


DRY_RUN = """\
Plan of the cleanup of operation op-7a3f2c11-0002-4b22-a918-000000000002: 3 resources. \
Nothing was changed.
Skipping already-cleaned resources (8 skipped)
delete_source_vm:db-server
  server nova-db-server (db-server) on site-a, project 11111111111111111111111111111111
  why it is left: its deletion failed on 2025-11-03T14:07:40Z: Nova timeout after 300s [PRT-TIMEOUT]
  by hand: openstack --os-cloud site-a server delete nova-db-server
delete_source_volume:vol-data-ws1
  volume cinder-vol-abc123 (vol-data-ws1), 10 GiB on site-a, project \
11111111111111111111111111111111
  why it is left: retained by configuration on 2025-11-03T14:07:40Z
  by hand: openstack --os-cloud site-a volume delete cinder-vol-abc123
undo:stop_source_vms:web
  server nova-web (web) on site-a, project 11111111111111111111111111111111
  why it is left: the failed operation could not take it back: Nova: 503
  by hand: openstack --os-cloud site-a server start nova-web
To clean up: openstack dr operation cleanup op-7a3f2c11-0002-4b22-a918-000000000002
A command by hand is not guarded: look first that nothing uses the resource, with \
'openstack server show' or 'openstack volume show'.
"""


def dry(clouds, *left, parent=None, site="a", **changes):
    parent = parent or partial(home_site=f"site-{site}")
    url = clouds.url(f"operations/{parent['id']}", site)
    clouds.mock.get(url, json={"operation": parent})
    answer = {"operation": None, "cleanup": {**plan(*left), **changes}}
    clouds.mock.post(f"{url}/cleanup", json=answer)
    return f"{url}/cleanup"


def three():
    plain = {"error": None, "error_code": None, "since": None}
    return (
        leftover("delete_source_vm:db-server", error="Nova timeout after 300s"),
        leftover(
            WS1,
            resource_id="cinder-vol-abc123",
            reason="retained",
            command="openstack --os-cloud site-a volume delete cinder-vol-abc123",
            error="retained by configuration",
            error_code="PRT-KEPT",
        ),
        leftover(
            "undo:stop_source_vms:web",
            reason="not_taken_back",
            command="openstack --os-cloud site-a server start nova-web",
            **{**plain, "error": "Nova: 503"},
        ),
    )


@pytest.mark.parametrize("both", [False, True])
def test_dry_run_prints_the_plan_and_asks_one_protector_only(clouds, run, both):
    """The other site is dead: nothing of it is recorded, so that any request to it would fail."""
    url = dry(clouds, *three())
    result = run("dr", "operation", "cleanup", partial()["id"], "--dry-run", both=both)
    assert result == type(result)(0, DRY_RUN, "")
    assert clouds.bodies("POST", url) == [{"cleanup": {"dry_run": True}}]
    asked = {r.hostname for r in clouds.mock.request_history}
    assert asked == {"keystone-a", "protector-a"}


def test_dry_run_when_the_site_that_failed_is_wholly_dead(clouds, run):
    clouds.dead("a")
    dry(clouds, *three(), site="b")
    result = run("dr", "operation", "cleanup", partial()["id"], "--dry-run", both=True)
    assert (result.code, result.out) == (0, DRY_RUN)
    assert result.err == (
        "Cannot reach Keystone of cloud 'site-a': Connection refused. Looking on cloud 'site-b'.\n"
    )


def test_dry_run_for_scripts(clouds, run):
    dry(clouds, *three())
    words = ["dr", "operation", "cleanup", "--operation-id", partial()["id"], "--dry-run"]
    result = run(*words, "-f", "json")
    assert (result.code, result.err) == (0, "")
    assert result.json[1] == {
        "Operation": partial()["id"],
        "Step": WS1,
        "Type": "volume",
        "ID": "cinder-vol-abc123",
        "Name": "vol-data-ws1",
        "Size": 10,
        "Site": "site-a",
        "Project": PROJECT["a"],
        "Reason": "retained",
        "Error": "retained by configuration",
        "Since": "2025-11-03T14:07:40Z",
        "Command": "openstack --os-cloud site-a volume delete cinder-vol-abc123",
    }
    commands = run(*words, "-f", "value", "-c", "Command").out.splitlines()
    assert commands == [entry["command"] for entry in three()]
    assert "| delete_source_vm:db-server " in run(*words, "-c", "Step").out


def test_dry_run_tells_of_what_was_kept(clouds, run):
    error = "kept: snapshot s-1 stands on it; delete that first"
    dry(clouds, leftover(WS1, error=error, error_code="PRT-KEPT", command="# kept: see above"))
    lines = run("dr", "operation", "cleanup", partial()["id"], "--dry-run").out.splitlines()
    assert lines[4:6] == [
        "  why it is left: it was kept on 2025-11-03T14:07:40Z: snapshot s-1 stands on it; delete "
        "that first [PRT-KEPT]",
        "  by hand: # kept: see above",
    ]


SERVER = "delete_source_vm:web"


def test_a_server_that_runs_is_named_to_the_server(clouds, run):
    also = {**plan(SERVER), "delete_running": [SERVER]}
    url = serve(clouds, partial(), also, child(step(SERVER, "done"), status="completed"))
    words = ["dr", "operation", "cleanup", partial()["id"]]
    result = run(*words, "--delete-running", "web", "--delete-running", "nova-db")
    assert result.code == 0
    asked = {"cleanup": {"delete_running": ["web", "nova-db"]}}
    assert clouds.bodies("POST", f"{url}/cleanup") == [asked]


def test_dry_run_says_which_servers_go_though_they_run(clouds, run):
    url = dry(clouds, SERVER, WS1, delete_running=[SERVER])
    words = ["dr", "operation", "cleanup", partial()["id"], "--dry-run", "--delete-running", "web"]
    lines = run(*words).out.splitlines()
    assert clouds.bodies("POST", url) == [
        {"cleanup": {"dry_run": True, "delete_running": ["web"]}},
    ]
    lost = "  it is deleted though it runs: what it has written since it was started is lost"
    assert lines.index(lost) < lines.index(WS1)
    assert lines.count(lost) == 1
    assert (
        f"To clean up: openstack dr operation cleanup {partial()['id']} "
        "--delete-running nova-web" in lines
    )


def test_running_servers_are_not_named_for_a_whole_group(clouds, run):
    words = ["--protection-group", "prod-web-app", "--delete-running", "web"]
    result = run("dr", "operation", "cleanup", *words)
    assert result.code == 1
    assert "give the operation instead of --protection-group" in result.err
    assert clouds.mock.call_count == 0


def test_dry_run_of_nothing(clouds, run):
    dry(clouds)
    result = run("dr", "operation", "cleanup", partial()["id"], "--dry-run")
    assert result.code == 0
    assert result.out.startswith("Nothing to clean up: operation op-7a3f2c11-0002-")
    assert run("dr", "operation", "cleanup", partial()["id"], "--dry-run", "-f", "json").json == []


def test_dry_run_of_a_group(clouds, run):
    first = partial(created_at="2025-11-01T00:00:00Z")
    second = operation(created_at="2025-11-02T00:00:00Z")
    clouds.mock.get(clouds.url("operations"), json={"operations": [second, first]})
    dry(clouds, *three(), parent=first)
    dry(clouds, WS1, parent=second)
    words = ["protector", "operation", "cleanup", "--protection-group", "prod-web-app", "--dry-run"]
    heads = [line for line in run(*words).out.splitlines() if line.startswith("Plan of")]
    assert [line.split()[6].rstrip(":") for line in heads] == [first["id"], second["id"]]
    assert heads[1].endswith(": 1 resource. Nothing was changed.")
    rows = run(*words, "-f", "json").json
    assert [row["Operation"] for row in rows] == [first["id"]] * 3 + [second["id"]]


def test_dry_run_of_a_group_leaves_out_what_cannot_be_cleaned_up(clouds, run):
    first = partial(created_at="2025-11-01T00:00:00Z")
    second = operation(created_at="2025-11-02T00:00:00Z")
    clouds.mock.get(clouds.url("operations"), json={"operations": [second, first]})
    text = "Operation op-7 left servers stopped on site-a, and the group has changed since."
    clouds.mock.post(
        dry(clouds, parent=first), status_code=409, json=fault("conflictingRequest", 409, text)
    )
    dry(clouds, WS1, parent=second)
    words = ["dr", "operation", "cleanup", "--protection-group", "prod-web-app", "--dry-run"]
    result = run(*words)
    assert result.code == 1
    assert result.out.startswith(f"Plan of the cleanup of operation {second['id']}: 1 resource.")
    assert result.err == f"Operation {first['id']} cannot be cleaned up: {text} (HTTP 409)\n"


def test_dry_run_of_one_that_runs_is_refused(clouds, run):
    clouds.mock.post(
        dry(clouds),
        status_code=409,
        json=fault(
            "conflictingRequest",
            409,
            "Operation not in completed state: the operation must be completed or failed, it is "
            "running",
            "PRT-OPERATION-NOT-ENDED",
        ),
    )
    result = run("dr", "operation", "cleanup", partial()["id"], "--dry-run")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Operation not in completed state: the operation must be")


@pytest.mark.parametrize("name", ["", ".", ".."])
@pytest.mark.parametrize(
    "words", [("cleanup",), ("cleanup", "--dry-run"), ("cleanup", "--operation-id"), ("show",)]
)
def test_an_id_that_cannot_be_in_a_path_is_refused_unasked(clouds, run, words, name):
    """Such as that of an empty shell variable."""
    result = run("dr", "operation", *words, name)
    assert (result.code, result.out) == (1, "")
    assert result.err == f"'{name}' is not a name or an ID.\n"
    assert not [sent for sent in clouds.mock.request_history if "8788" in sent.url]


def test_a_cleanup_that_no_engine_begins_with_says_where_to_look(clouds, run):
    parent = partial()
    queued = child(phase="queued", home_site="site-a")
    looks = [queued] * 20 + [child(step(WS1, "done"), status="completed")]
    serve(clouds, parent, plan(WS1), *looks)
    result = run("dr", "operation", "cleanup", parent["id"])
    assert result.code == 0
    assert result.err == (
        f"Cleanup operation {CHILD} is still queued: no engine has begun with it. Check that "
        "openstack-protector-engine runs on site-a.\n"
    )


FLOATING = {
    "step": "release_floating_ip:203.0.113.10",
    "resource_id": "fip-1",
    "address": "203.0.113.10",
    "server": "web-server-1",
    "site": "site-a",
    "project_id": PROJECT["a"],
    "command": "openstack --os-cloud site-a floating ip delete 203.0.113.10",
}


def with_floating_ip(cleanup):
    return {
        **cleanup,
        "steps": [*cleanup["steps"], FLOATING["step"]],
        "floating_ips": [FLOATING],
    }


def test_floating_ips_are_released_only_on_request(clouds, run):
    release = step(
        FLOATING["step"], resource_type="floating_ip", resource_id="fip-1", observed="leads nowhere"
    )
    url = serve(
        clouds,
        partial(),
        with_floating_ip(plan(LEFT_2)),
        child(step(WS1, "done", resource_id="cinder-vol-abc123"), release),
        child(
            step(WS1, "done", resource_id="cinder-vol-abc123"),
            {**release, "state": "done"},
            status="completed",
        ),
    )
    result = run("dr", "operation", "cleanup", partial()["id"], "--release-floating-ips")
    assert result.code == 0, result
    assert (
        "Retrying: release_floating_ip:203.0.113.10\n"
        "Checking floating IP status on site-a... leads nowhere\n"
        "Releasing floating IP 203.0.113.10... done\n"
        "\u2713 Cleanup completed. 1 resource deleted, 1 floating IP released, 0 failures.\n"
    ) in result.out
    assert clouds.bodies("POST", f"{url}/cleanup") == [{"cleanup": {"release_floating_ips": True}}]


def test_a_dry_run_lists_the_floating_ips_with_their_addresses(clouds, run):
    url = clouds.url(f"operations/{partial()['id']}")
    clouds.mock.get(url, json={"operation": partial()})
    answer = {"operation": None, "cleanup": with_floating_ip(plan())}
    clouds.mock.post(f"{url}/cleanup", json=answer)
    command = ["dr", "operation", "cleanup", partial()["id"], "--release-floating-ips", "--dry-run"]
    result = run(*command)
    assert result.code == 0, result
    for text in [
        "1 resource. Nothing was changed.",
        "floating IP fip-1 (203.0.113.10) of web-server-1 on site-a",
        "another project may get the address then",
        "by hand: openstack --os-cloud site-a floating ip delete 203.0.113.10",
        f"dr operation cleanup {partial()['id']} --release-floating-ips",
    ]:
        assert text in result.out, result.out
    rows = run(*command, "-f", "value", "-c", "Type", "-c", "ID", "-c", "Name")
    assert rows.out == "floating_ip fip-1 203.0.113.10\n"
    body = {"cleanup": {"dry_run": True, "release_floating_ips": True}}
    assert clouds.bodies("POST", f"{url}/cleanup")[-1] == body


def test_what_becomes_a_replica_again_is_not_called_deleted(clouds, run):
    key = "resync_volume:web-boot"
    resync = step(key, resource_type="volume", resource_id="cinder-vol-1", observed=None)
    listed = {**plan(LEFT_2), "steps": [WS1, key]}
    serve(
        clouds,
        partial(),
        listed,
        child(step(WS1, "done", resource_id="cinder-vol-abc123"), resync),
        child(
            step(WS1, "done", resource_id="cinder-vol-abc123"),
            {**resync, "state": "done"},
            status="completed",
        ),
    )
    result = run("dr", "operation", "cleanup", partial()["id"])
    assert (
        "Retrying: resync_volume:web-boot\n"
        "Resynchronising volume cinder-vol-1... done\n"
        "\u2713 Cleanup completed. 1 resource deleted, 1 volume resynchronised, 0 failures.\n"
    ) in result.out


def test_floating_ips_of_a_whole_group_are_not_released(clouds, run):
    result = run(
        "dr", "operation", "cleanup", "--protection-group", "web", "--release-floating-ips"
    )
    assert result.code == 1
    assert "give the operation" in result.err
