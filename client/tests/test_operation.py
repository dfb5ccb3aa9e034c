# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import io

import pytest
import requests
import yaml

from protectorclient.osc.columns import StepsCompleted, StepsFailed
from tests.conftest import NOT_FOUND, fault, operation

EXAMPLE_1 = """\
+------------------+-------------------------------------------------------------+
| Field            | Value                                                       |
+------------------+-------------------------------------------------------------+
| id               | op-7a3f2c11-0001-4b22-a918-000000000001                     |
| operation_type   | failover                                                    |
| status           | completed                                                   |
| progress         | 100                                                         |
| source_site      | site-a                                                      |
| target_site      | site-b                                                      |
| started_at       | 2025-11-03T14:00:00Z                                        |
| completed_at     | 2025-11-03T14:07:42Z                                        |
| steps_completed  | ["promote_volumes", "manage_volumes", "recreate_vms",       |
|                  |  "delete_source_vm:web-server-1",                           |
|                  |  "delete_source_vm:web-server-2",                           |
|                  |  "delete_source_volume:vol-boot-ws1",                       |
|                  |  "delete_source_volume:vol-data-ws1",                       |
|                  |  "delete_source_volume:vol-boot-ws2",                       |
|                  |  "delete_source_volume:vol-data-ws2"]                       |
| steps_failed     | []                                                          |
+------------------+-------------------------------------------------------------+
"""

EXAMPLE_2 = """\
| steps_completed  | ["promote_volumes", "manage_volumes", "recreate_vms",       |
|                  |  "delete_source_vm:web-server-1",                           |
|                  |  "delete_source_vm:db-server",                              |
|                  |  "delete_source_volume:vol-boot-ws1",                       |
|                  |  "delete_source_volume:vol-boot-db",                        |
|                  |  "delete_source_volume:vol-data-db"]                        |
| steps_failed     | [{"step": "delete_source_volume:vol-data-ws1",              |
|                  |  "error": "Cinder timeout after 300s",                      |
|                  |  "resource_id": "cinder-vol-abc123"}]                       |
"""

FAILED_STEP = {
    "step": "delete_source_volume:vol-data-ws1",
    "error": "Cinder timeout after 300s",
    "resource_id": "cinder-vol-abc123",
}


def partial(**changes):
    return operation(
        id="op-7a3f2c11-0002-4b22-a918-000000000002",
        steps_completed=[
            "promote_volumes",
            "manage_volumes",
            "recreate_vms",
            "delete_source_vm:web-server-1",
            "delete_source_vm:db-server",
            "delete_source_volume:vol-boot-ws1",
            "delete_source_volume:vol-boot-db",
            "delete_source_volume:vol-data-db",
        ],
        steps_failed=[FAILED_STEP],
        **changes,
    )


@pytest.mark.parametrize("word", ["dr", "protector"])
def test_example_1(clouds, run, word):
    record = operation()
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), json={"operation": record})
    result = run(word, "operation", "show", record["id"])
    assert result.code == 0
    assert result.out == EXAMPLE_1
    sent = clouds.mock.last_request
    assert sent.headers["X-Auth-Token"] == "token-a"
    assert sent.headers["OpenStack-API-Version"] == "protector 1.3"
    assert sent.headers["X-OpenStack-Request-ID"].startswith("req-")


def test_example_2_rows(clouds, run):
    record = partial()
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), json={"operation": record})
    result = run("dr", "operation", "show", record["id"])
    assert EXAMPLE_2 in result.out
    assert "| status           | completed  " in result.out


def test_scripts_get_lists_not_text(clouds, run):
    record = partial()
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), json={"operation": record})
    as_json = run("dr", "operation", "show", record["id"], "-f", "json").json
    assert list(as_json) == [
        "id",
        "operation_type",
        "status",
        "progress",
        "source_site",
        "target_site",
        "started_at",
        "completed_at",
        "steps_completed",
        "steps_failed",
    ]
    assert as_json["steps_failed"] == [FAILED_STEP]
    as_yaml = yaml.safe_load(run("dr", "operation", "show", record["id"], "-f", "yaml").out)
    assert as_yaml["steps_completed"] == record["steps_completed"]
    shell = run("dr", "operation", "show", record["id"], "-f", "shell").out
    assert 'status="completed"' in shell
    value = run("dr", "operation", "show", record["id"], "-f", "value", "-c", "steps_failed").out
    assert value == f"{[FAILED_STEP]}\n"


def test_a_failed_operation_says_why_in_a_last_row(clouds, run):
    record = operation(status="failed", error="No valid host was found.", completed_at=None)
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), json={"operation": record})
    lines = run("dr", "operation", "show", record["id"]).out.splitlines()
    assert lines[-2].split("|")[1].strip() == "error"
    assert "No valid host was found." in lines[-2]


def test_a_narrow_table_shrinks(clouds, run):
    record = partial()
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), json={"operation": record})
    out = run("dr", "operation", "show", record["id"], "--max-width", "70").out
    assert max(len(line) for line in out.splitlines()) <= 70
    assert "delete_source_volume:vol-data-ws1" in out


def test_phases_that_do_not_fit_on_a_line_go_on_the_next():
    shown = StepsCompleted([f"phase_number_{n}_x" for n in range(5)] + ["a:b", "last"])
    lines = shown.human_readable().splitlines()
    assert all(len(line) <= 59 for line in lines)
    assert lines[-2:] == [' "a:b",', ' "last"]']


def test_several_failures_and_odd_texts():
    shown = StepsFailed([FAILED_STEP, {"step": "x", "error": "zwölf\nZeilen", "resource_id": None}])
    assert shown.human_readable().splitlines()[2:] == [
        ' "resource_id": "cinder-vol-abc123"},',
        ' {"step": "x",',
        ' "error": "zwölf\\nZeilen",',
        ' "resource_id": null}]',
    ]


def test_it_is_looked_for_on_the_other_site(clouds, run):
    record = operation()
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), status_code=404, json=NOT_FOUND)
    clouds.mock.get(clouds.url(f"operations/{record['id']}", "b"), json={"operation": record})
    assert run("dr", "operation", "show", record["id"], both=True).out == EXAMPLE_1
    alone = run("dr", "operation", "show", record["id"])
    assert alone.code == 1
    assert alone.err == (
        "Operation could not be found. (HTTP 404) Asked: cloud 'site-a' (project "
        "11111111111111111111111111111111). If it was started on the other site, name that site's "
        "cloud with --secondary-cloud (OS_SECONDARY_CLOUD).\n"
    )


def test_one_that_no_site_knows_may_be_of_another_project(clouds, run):
    for site in ("a", "b"):
        clouds.mock.get(clouds.url("operations/op-1", site), status_code=404, json=NOT_FOUND)
    result = run("dr", "operation", "show", "op-1", both=True)
    assert result == type(result)(
        1,
        "",
        "Operation could not be found. (HTTP 404) Asked: cloud 'site-a' (project "
        "11111111111111111111111111111111) and cloud 'site-b' (project "
        "22222222222222222222222222222222).\n",
    )


def test_one_that_the_first_does_not_know_while_the_second_is_dead(clouds, run):
    clouds.mock.get(clouds.url("operations/op-1"), status_code=404, json=NOT_FOUND)
    clouds.dead("b")
    result = run("dr", "operation", "show", "op-1", both=True)
    assert result.code == 1
    assert result.err == (
        "Operation could not be found. (HTTP 404) Asked: cloud 'site-a' (project "
        "11111111111111111111111111111111). Cannot reach Keystone of cloud 'site-b': Connection "
        "refused.\n"
    )


def test_the_other_cloud_may_come_from_the_environment(clouds, run, monkeypatch):
    monkeypatch.setenv("OS_SECONDARY_CLOUD", "site-b")
    record = operation()
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), status_code=404, json=NOT_FOUND)
    clouds.mock.get(clouds.url(f"operations/{record['id']}", "b"), json={"operation": record})
    assert run("dr", "operation", "show", record["id"]).out == EXAMPLE_1


def test_a_dead_protector_is_said_and_the_other_asked(clouds, run):
    record = operation()
    clouds.mock.get(
        clouds.url(f"operations/{record['id']}"),
        exc=requests.exceptions.ConnectionError("[Errno 111] Connection refused"),
    )
    clouds.mock.get(clouds.url(f"operations/{record['id']}", "b"), json={"operation": record})
    result = run("dr", "operation", "show", record["id"], both=True)
    assert result.out == EXAMPLE_1
    assert result.err == (
        "Cannot reach protector at http://protector-a:8788 (cloud 'site-a'): Connection refused. "
        "Looking on cloud 'site-b'.\n"
        "This is the copy on cloud 'site-b', which may be behind: the operation was started on "
        "site-a, which did not answer with its record.\n"
    )


def test_list(clouds, run):
    url = clouds.url("operations")
    clouds.mock.get(url, json={"operations": [partial(), operation(status="running", progress=40)]})
    result = run(
        "dr",
        "operation",
        "list",
        "--protection-group",
        "prod-web-app",
        "--type",
        "test-failover",
        "--status",
        "completed",
    )
    assert clouds.mock.last_request.qs == {
        "protection_group": ["prod-web-app"],
        "operation_type": ["test_failover"],
        "status": ["completed"],
    }
    header = [cell.strip() for cell in result.out.splitlines()[1].strip("|").split("|")]
    assert header == [
        "ID",
        "Type",
        "Status",
        "Progress",
        "Protection Group",
        "Source",
        "Target",
        "Started",
        "Completed",
        "Failed Steps",
    ]
    rows = run("dr", "operation", "list", "-f", "json").json
    assert [row["Failed Steps"] for row in rows] == [1, 0]
    assert rows[1]["Progress"] == 40
    as_csv = run("dr", "operation", "list", "-f", "csv").out
    assert next(csv.DictReader(io.StringIO(as_csv)))["Protection Group"] == "prod-web-app"


def test_list_of_what_left_something(clouds, run):
    clouds.mock.get(clouds.url("operations"), json={"operations": [partial(leftovers=1)]})
    rows = run("dr", "operation", "list", "--leftovers", "-f", "json").json
    assert clouds.mock.last_request.qs == {"leftovers": ["true"]}
    assert "Leftovers" not in rows[0]
    rows = run("dr", "operation", "list", "--long", "-f", "json").json
    assert clouds.mock.last_request.qs == {}
    assert list(rows[0])[-4:] == ["Leftovers", "Phase", "Cleans Up After", "Home Site"]
    assert rows[0]["Leftovers"] == 1


def test_list_of_a_group_that_nobody_knows(clouds, run):
    text = "No protection group or operation of one is named 'prod'."
    clouds.mock.get(
        clouds.url("operations"), status_code=404, json=fault("itemNotFound", 404, text)
    )
    result = run("dr", "operation", "list", "--protection-group", "prod")
    assert result == type(result)(1, "", f"{text} (HTTP 404)\n")


STEPS = [
    {
        "key": "promote_volumes:vol-data-ws1",
        "phase": "promote_volumes",
        "state": "done",
        "site": "site-b",
        "resource_type": "volume",
        "resource_id": "cinder-vol-abc123",
        "started_at": "2025-11-03T14:00:03Z",
        "finished_at": "2025-11-03T14:00:09Z",
        "tries": 1,
        "failed_tries": 0,
        "request_ids": ["req-5"],
        "facts": [],
        "note": None,
        "observed": None,
        "error": None,
        "error_code": None,
        "retained": False,
    },
    {
        "key": "delete_source_volume:vol-data-ws1",
        "phase": "delete_source_volume",
        "state": "failed",
        "site": "site-a",
        "resource_type": "volume",
        "resource_id": "cinder-vol-abc123",
        "started_at": "2025-11-03T14:02:40Z",
        "finished_at": "2025-11-03T14:07:40Z",
        "tries": 4,
        "failed_tries": 3,
        "request_ids": ["req-6", "req-7"],
        "facts": ["twin cinder-vol-xyz on site-b is in-use", "server nova-ws1 is gone"],
        "note": None,
        "observed": "deleting",
        "error": "Cinder timeout after 300s",
        "error_code": "PRT-TIMEOUT",
        "retained": False,
    },
    {
        "key": "delete_source_volume:vol-log",
        "phase": "delete_source_volume",
        "state": "running",
        "site": "site-a",
        "resource_type": "volume",
        "resource_id": "cinder-vol-log",
        "started_at": "2025-11-03T14:02:40Z",
        "finished_at": None,
        "tries": 2,
        "failed_tries": 0,
        "request_ids": [],
        "facts": [],
        "note": "volume cinder-vol-log to be deleted",
        "observed": "deleting",
        "error": None,
        "error_code": None,
        "retained": False,
    },
    {
        "key": "delete_source_volume:vol-old",
        "phase": "delete_source_volume",
        "state": "skipped",
        "site": "site-a",
        "resource_type": "volume",
        "resource_id": "cinder-vol-old",
        "started_at": None,
        "finished_at": None,
        "tries": 0,
        "failed_tries": 0,
        "request_ids": [],
        "facts": [],
        "note": None,
        "observed": None,
        "error": "retained by configuration",
        "error_code": "PRT-KEPT",
        "retained": True,
    },
    {
        "key": "switch_primary",
        "phase": "switch_primary",
        "state": "pending",
        "site": "site-b",
        "resource_type": None,
        "resource_id": None,
        "started_at": None,
        "finished_at": None,
        "tries": 0,
        "failed_tries": 0,
        "request_ids": [],
        "facts": [],
        "note": None,
        "observed": None,
        "error": None,
        "error_code": None,
        "retained": False,
    },
]

STEP_LINES = """\
done        promote_volumes:vol-data-ws1
            2025-11-03T14:00:03Z to 2025-11-03T14:00:09Z (6 s), 1 try
            volume cinder-vol-abc123 on site-b
            requests: req-5
failed      delete_source_volume:vol-data-ws1
            2025-11-03T14:02:40Z to 2025-11-03T14:07:40Z (300 s), 4 tries, 3 failed
            volume cinder-vol-abc123 on site-a, last seen deleting
            fact: twin cinder-vol-xyz on site-b is in-use
            fact: server nova-ws1 is gone
            error: Cinder timeout after 300s [PRT-TIMEOUT]
            requests: req-6, req-7
running     delete_source_volume:vol-log
            since 2025-11-03T14:02:40Z, 2 tries
            volume cinder-vol-log on site-a, last seen deleting
            waits for: volume cinder-vol-log to be deleted
skipped     delete_source_volume:vol-old
            volume cinder-vol-old on site-a
            reason: retained by configuration [PRT-KEPT]
pending     switch_primary
            on site-b
"""


def test_detail_adds_the_rest_of_the_record_and_the_steps(clouds, run):
    record = partial(leftovers=1, steps=STEPS)
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), json={"operation": record})
    result = run("dr", "operation", "show", record["id"], "--detail")
    assert clouds.mock.last_request.qs == {"detail": ["true"]}
    table, _, steps = result.out.partition("\n\n")
    assert steps == STEP_LINES
    assert '"error": "Cinder timeout after 300s",' in table
    names = [line.split("|")[1].strip() for line in table.splitlines() if line[0] == "|"]
    assert [name for name in names if name][11:] == [
        "error",
        "error_code",
        "protection_group_id",
        "protection_group",
        "parent_operation_id",
        "phase",
        "created_at",
        "request_id",
        "home_site",
        "leftovers",
    ]


def test_detail_for_scripts(clouds, run):
    record = partial(leftovers=1, steps=STEPS)
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), json={"operation": record})
    assert run("dr", "operation", "show", record["id"], "--detail", "-f", "json").json == record
    words = ["dr", "operation", "show", record["id"], "--detail", "-c", "steps"]
    assert "fact: server nova-ws1 is gone" in run(*words).out
    assert yaml.safe_load(run(*words, "-f", "yaml").out) == {"steps": STEPS}


def test_a_test_whose_vms_are_up_is_running(clouds, run):
    record = operation(
        operation_type="test_failover", status="running", phase="awaiting_cleanup", progress=100
    )
    clouds.mock.get(clouds.url(f"operations/{record['id']}"), json={"operation": record})
    assert "| status           | running  " in run("dr", "operation", "show", record["id"]).out
    shown = run("dr", "operation", "show", record["id"], "--detail", "-f", "json").json
    assert shown["phase"] == "awaiting_cleanup"


def test_list_follows_pages(clouds, run):
    url = clouds.url("operations")
    clouds.mock.get(
        url,
        [
            {
                "json": {
                    "operations": [operation(id="op-1")],
                    "operations_links": [{"rel": "next", "href": f"{url}?marker=op-1"}],
                }
            },
            {"json": {"operations": [operation(id="op-2")]}},
        ],
    )
    rows = run("dr", "operation", "list", "-f", "json").json
    assert [row["ID"] for row in rows] == ["op-1", "op-2"]
    assert clouds.mock.last_request.qs == {"marker": ["op-1"]}


@pytest.mark.parametrize("arguments", [["--limit", "0"], ["--limit", "many"], ["--status", "done"]])
def test_wrong_arguments_of_list(run, clouds, arguments):
    result = run("dr", "operation", "list", *arguments)
    assert result.code == 2
    assert arguments[0] in result.err
