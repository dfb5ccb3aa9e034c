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


def plan(*keys, skipped=8, retained=False):
    return {"skipped": skipped, "retained": retained, "steps": list(keys)}


def serve(clouds, parent, cleanup, *looks, site="a"):
    """Record the parent, the answer to its cleanup, and what each look at the cleanup finds."""
    url = clouds.url(f"operations/{parent['id']}", site)
    clouds.mock.get(url, json={"operation": parent})
    started = {**child(), "cleanup": cleanup}
    clouds.mock.post(f"{url}/cleanup", status_code=202, json={"operation": started})
    clouds.mock.get(
        clouds.url(f"operations/{CHILD}", site), [{"json": {"operation": look}} for look in looks]
    )
    return url


WS1 = "delete_source_volume:vol-data-ws1"


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
        plan(WS1),
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
        plan(*keys, skipped=6, retained=True),
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


def test_retained_volumes_beside_failed_servers(clouds, run):
    server, volume = "delete_source_vm:db-server", "delete_source_volume:vol-boot-db"
    failed = [{"step": server, "error": "Nova timeout after 300s", "resource_id": "n"}]
    serve(
        clouds,
        operation(steps_failed=failed),
        plan(server, volume, skipped=3, retained=True),
        child(step(server, "done"), step(volume, "done"), status="completed"),
    )
    out = run("dr", "operation", "cleanup", operation()["id"]).out.splitlines()
    assert out[1:-1] == [
        "Skipping already-cleaned resources (3 skipped)",
        "Retrying: delete_source_vm:db-server",
        "Checking server status on site-a... SHUTOFF",
        "Deleting server nova-db-server... done",
        "Volumes retained by configuration — processing now:",
        "Deleting volume cinder-vol-boot-db... done",
    ]


def test_each_line_is_printed_as_it_happens():
    out = io.StringIO()
    report = CleanupReport(out, "op-1", plan(WS1), {WS1})
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
    report = CleanupReport(out, "op-1", plan(WS1, retained=True), set())
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
    ("message", "advice"),
    [
        (
            "Remote site unreachable — metadata sync required",
            "openstack protector protection-group sync-force prod-web-app",
        ),
        (
            "Operation not in completed state: the operation must be completed or failed, it is "
            "running",
            "openstack dr operation show op-",
        ),
        ("Operation op-2 is cleaning up already", ""),
    ],
)
def test_refusals_carry_the_servers_words_and_print_nothing_else(clouds, run, message, advice):
    url = clouds.url(f"operations/{partial()['id']}")
    clouds.mock.get(url, json={"operation": partial()})
    clouds.mock.post(
        f"{url}/cleanup",
        status_code=409,
        json=fault("conflictingRequest", 409, message),
        headers={"X-OpenStack-Request-ID": "req-7"},
    )
    result = run("dr", "operation", "cleanup", partial()["id"])
    assert result.code == 1
    assert result.out == ""
    assert result.err.startswith(f"{message} (Request-ID: req-7) (HTTP 409)")
    assert advice in result.err


def test_the_operations_home_is_found(clouds, run):
    clouds.mock.get(clouds.url(f"operations/{partial()['id']}"), status_code=404, json=NOT_FOUND)
    serve(
        clouds,
        partial(),
        plan(WS1),
        child(step(WS1, "done", resource_id="cinder-vol-abc123"), status="completed"),
        site="b",
    )
    assert run("dr", "operation", "cleanup", partial()["id"], both=True).out == EXAMPLE_2


def test_a_whole_group(clouds, run):
    left = partial(created_at="2025-11-02T00:00:00Z")
    clean = operation(created_at="2025-11-01T00:00:00Z")
    running = operation(id="op-running", status="running")
    earlier = operation(id="op-cleanup", operation_type="cleanup")
    clouds.mock.get(clouds.url("operations"), json={"operations": [running, left, clean, earlier]})
    clouds.mock.get(clouds.url("operations", "b"), status_code=404, json=NOT_FOUND)
    nothing_left(clouds, clean)
    serve(
        clouds,
        left,
        plan(WS1),
        child(step(WS1, "done", resource_id="cinder-vol-abc123"), status="completed"),
    )
    result = run("dr", "operation", "cleanup", "--protection-group", "prod-web-app", both=True)
    assert result == type(result)(0, EXAMPLE_2, "")
    posts = [r.path for r in clouds.mock.request_history if r.method == "POST" and "8788" in r.url]
    assert posts == [
        f"/v1/{PROJECT['a']}/operations/{record['id']}/cleanup" for record in (clean, left)
    ]


def test_a_whole_group_with_nothing_left(clouds, run):
    clouds.mock.get(clouds.url("operations"), json={"operations": [operation()]})
    nothing_left(clouds, operation())
    result = run("dr", "operation", "cleanup", "--protection-group", GROUP_ID)
    assert result.code == 0
    assert result.out.startswith("Nothing to clean up: no ended operation of protection group")


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
        plan(WS1),
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

    monkeypatch.setattr("protectorclient.osc.waiting.time.sleep", interrupt)
    result = run("dr", "operation", "cleanup", partial()["id"])
    assert result.code == 130
    assert result.out.endswith("Deleting volume cinder-vol-data-ws1...\n")
    assert result.err == (
        f"\nInterrupted. Operation {CHILD} goes on on the server; watch it with: "
        f"openstack dr operation show {CHILD}\n"
    )


def test_a_restarting_server_does_not_end_the_wait(clouds, run):
    serve(clouds, partial(), plan(WS1))
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
    monkeypatch.setattr("protectorclient.osc.waiting.PATIENCE", 2)
    serve(clouds, partial(), plan(WS1))
    clouds.mock.get(
        clouds.url(f"operations/{CHILD}"),
        exc=requests.exceptions.ConnectionError("Connection refused"),
    )
    result = run("dr", "operation", "cleanup", partial()["id"])
    assert result.code == 1
    assert f"Operation {CHILD} goes on on the server" in result.err
