# SPDX-License-Identifier: Apache-2.0
"""Records of operations that both sites have."""

from __future__ import annotations

import pytest

from tests.conftest import NOT_FOUND, fault, operation

ID = operation()["id"]


def has(clouds, site, **changes):
    clouds.mock.get(clouds.url(f"operations/{ID}", site), json={"operation": operation(**changes)})


def show(run, *more, both=True):
    return run("dr", "operation", "show", ID, "-f", "json", *more, both=both)


def test_the_home_is_enough(clouds, run):
    has(clouds, "a")
    clouds.dead("b")
    result = show(run)
    assert (result.code, result.err) == (0, "")
    assert [one for one in clouds.mock.request_history if "-b:" in one.url] == []


def test_the_homes_record_is_preferred_to_a_copy(clouds, run):
    has(clouds, "a", home_site="site-b", status="running", progress=40)
    has(clouds, "b", home_site="site-b")
    result = show(run)
    assert (result.json["status"], result.err) == ("completed", "")


def test_a_copy_is_said_to_be_one_when_the_home_is_dead(clouds, run):
    has(clouds, "a", home_site="site-b", status="running", progress=40)
    clouds.dead("b")
    result = show(run)
    assert (result.code, result.json["progress"]) == (0, 40)
    assert result.err == (
        "This is the copy on cloud 'site-a', which may be behind: the operation was started on "
        "site-b, which did not answer with its record.\n"
    )


def test_a_copy_is_said_to_be_one_when_no_other_cloud_is_named(clouds, run):
    has(clouds, "a", home_site="site-b")
    result = show(run, both=False)
    assert result.code == 0
    assert result.err == (
        "This is the copy on cloud 'site-a', which may be behind: the operation was started on "
        "site-b; name that site's cloud with --secondary-cloud (OS_SECONDARY_CLOUD) to see its "
        "record.\n"
    )


def test_clouds_that_are_not_named_as_sites_show_the_record_that_got_further(clouds, run):
    sites = {"source_site": "east", "target_site": "west", "home_site": "west"}
    has(clouds, "a", status="running", progress=40, **sites)
    has(clouds, "b", status="running", progress=70, **sites)
    result = show(run)
    assert (result.json["progress"], result.err) == (70, "")


@pytest.mark.parametrize("status", [403, 500])
def test_a_site_that_is_half_alive_does_not_keep_the_other_from_answering(clouds, run, status):
    clouds.mock.get(
        clouds.url(f"operations/{ID}"), status_code=status, json=fault("x", status, "Not now.")
    )
    has(clouds, "b", home_site="site-b")
    result = show(run)
    assert result.code == 0
    assert result.err == f"Not now. (HTTP {status}) Looking on cloud 'site-b'.\n"


def lists(clouds, site, *records):
    clouds.mock.get(clouds.url("operations", site), json={"operations": list(records)})


def record(number, home, **changes):
    return operation(
        id=f"op-{number}", created_at=f"2025-11-0{number}T00:00:00Z", home_site=home, **changes
    )


def listed(run, *more, both=True):
    return run("dr", "operation", "list", "--long", "-f", "json", *more, both=both)


def test_a_list_has_each_operation_once_as_its_home_has_it(clouds, run):
    lists(
        clouds,
        "a",
        record(3, "site-b", status="running", progress=10),
        record(2, "site-a"),
    )
    lists(clouds, "b", record(4, "site-b"), record(3, "site-b"), record(2, "site-a", progress=5))
    result = listed(run)
    assert result.err == ""
    assert [(row["ID"], row["Progress"], row["Home Site"]) for row in result.json] == [
        ("op-4", 100, "site-b"),
        ("op-3", 100, "site-b"),
        ("op-2", 100, "site-a"),
    ]
    assert [row["ID"] for row in listed(run, "--limit", "2").json] == ["op-4", "op-3"]


def test_a_list_of_both_sites_is_in_the_order_that_was_asked_for(clouds, run):
    lists(clouds, "a", record(2, "site-a", operation_type="cleanup"), record(5, "site-a"))
    lists(clouds, "b", record(3, "site-b"), record(4, "site-b", operation_type="retry"))
    by_type = listed(run, "--sort", "operation_type:asc")
    assert [row["ID"] for row in by_type.json] == ["op-2", "op-3", "op-5", "op-4"]
    for site in ("a", "b"):
        (asked,) = [
            one for one in clouds.mock.request_history if one.url.startswith(clouds.url("", site))
        ]
        assert asked.qs == {"sort_key": ["operation_type"], "sort_dir": ["asc"]}
    oldest = listed(run, "--sort", "created_at:asc", "--limit", "2")
    assert [row["ID"] for row in oldest.json] == ["op-2", "op-3"]
    assert [row["ID"] for row in listed(run, "--sort", "created_at").json] == [
        "op-5",
        "op-4",
        "op-3",
        "op-2",
    ]


def test_a_type_may_be_written_as_the_table_shows_it(clouds, run):
    lists(clouds, "a", record(2, "site-a", operation_type="test_failover"))
    assert len(listed(run, "--type", "test_failover", both=False).json) == 1
    assert clouds.mock.last_request.qs == {"operation_type": ["test_failover"]}


def test_a_copy_that_its_home_leaves_out_is_left_out(clouds, run):
    lists(clouds, "a", record(3, "site-b", status="running"))
    lists(clouds, "b")
    assert listed(run, "--status", "running").json == []


def test_a_list_when_one_site_is_dead_has_the_copies_and_says_so(clouds, run):
    clouds.dead("a")
    lists(clouds, "b", record(4, "site-b"), record(2, "site-a"))
    result = listed(run)
    assert [row["ID"] for row in result.json] == ["op-4", "op-2"]
    assert (result.code, result.err) == (
        0,
        "Cannot reach Keystone of cloud 'site-a': Connection refused. What was started there is "
        "shown as cloud 'site-b' knows it.\n",
    )


def test_a_group_that_one_site_does_not_know_is_no_reason_to_complain(clouds, run):
    clouds.mock.get(clouds.url("operations"), status_code=404, json=NOT_FOUND)
    lists(clouds, "b", record(4, "site-b"))
    result = listed(run, "--protection-group", "prod-web-app")
    assert ([row["ID"] for row in result.json], result.err) == (["op-4"], "")


def test_a_list_when_both_are_dead(clouds, run):
    clouds.dead("a")
    clouds.dead("b")
    result = listed(run)
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith("No cloud is left to ask.\n")


LOST = {
    "recovery_point": {"id": "rp-17", "taken_at": "2025-11-03T13:47:56Z"},
    "data_loss_seconds": 723,
}


def rows(out):
    cells = (line.split("|") for line in out.splitlines() if line.startswith("|"))
    return {cell[1].strip(): cell[2].strip() for cell in cells if cell[1].strip()}


def test_what_an_unplanned_failover_lost_is_shown(clouds, run):
    has(clouds, "a", **LOST)
    shown = rows(run("dr", "operation", "show", ID).out)
    assert list(shown)[-2:] == ["recovery_point", "data_loss_seconds"]
    assert shown["recovery_point"] == "2025-11-03T13:47:56Z (rp-17)"
    assert shown["data_loss_seconds"] == "723 (12 min 3 s)"
    as_json = show(run).json
    assert {name: as_json[name] for name in LOST} == LOST
    assert rows(run("dr", "operation", "show", ID, "--detail").out)["data_loss_seconds"] == (
        "723 (12 min 3 s)"
    )


DOWN = {"outage_started_at": "2025-11-03T14:00:07Z", "outage_seconds": 723}


def test_what_a_failed_move_cost_is_shown(clouds, run):
    has(clouds, "a", status="failed", error="no host", **DOWN)
    shown = rows(run("dr", "operation", "show", ID).out)
    assert list(shown)[-2:] == ["error", "outage_seconds"]
    assert shown["outage_seconds"] == "723 (12 min 3 s)"


def test_since_when_a_failed_move_has_left_a_server_down_is_shown(clouds, run):
    has(clouds, "a", status="failed", error="no host", outage_started_at="2025-11-03T14:00:07Z")
    shown = rows(run("dr", "operation", "show", ID).out)
    assert shown["outage_started_at"] == "2025-11-03T14:00:07Z"


def test_what_a_move_cost_is_a_detail_of_it(clouds, run):
    has(clouds, "a", **DOWN)
    assert len(show(run).json) == 10
    shown = rows(run("dr", "operation", "show", ID, "--detail").out)
    assert shown["outage_seconds"] == "723 (12 min 3 s)"


def test_a_planned_failover_has_the_ten_rows_only(clouds, run):
    has(clouds, "a", recovery_point=LOST["recovery_point"], data_loss_seconds=None, paused_at=None)
    assert len(show(run).json) == 10


def test_a_retry_shows_the_recovery_point_that_it_took_up(clouds, run):
    has(clouds, "a", operation_type="retry", recovery_point=LOST["recovery_point"])
    assert list(show(run).json)[10:] == ["recovery_point"]


PAUSED = {
    "status": "running",
    "progress": 50,
    "phase": "paused",
    "paused_at": {"message": "Mount the vault"},
}

ABOUT_PAUSE = (
    "The operation is paused: Mount the vault. "
    f"To let it go on: openstack dr operation resume {ID}\n"
)


def test_a_paused_operation_says_how_it_goes_on(clouds, run):
    has(clouds, "a", **PAUSED)
    result = show(run)
    assert (result.json["status"], result.err) == ("running", ABOUT_PAUSE)
    assert len(result.json) == 10


@pytest.mark.parametrize("word", ["dr", "protector"])
def test_resume(clouds, run, word):
    has(clouds, "a", home_site="site-b", **PAUSED)
    has(clouds, "b", home_site="site-b", **PAUSED)
    url = clouds.url(f"operations/{ID}/resume", "b")
    answer = {"operation": operation(status="running", progress=50, phase="recreate_vms")}
    clouds.mock.post(url, status_code=202, json=answer)
    result = run(word, "operation", "resume", ID, both=True)
    assert (result.code, result.err) == (0, "")
    assert "| status           | running " in result.out
    assert clouds.bodies("POST", url) == [{}]


def test_resume_of_one_that_is_not_paused_or_not_there(clouds, run):
    has(clouds, "a")
    text = f"Operation {ID} is not paused: it is completed."
    clouds.mock.post(
        clouds.url(f"operations/{ID}/resume"),
        status_code=409,
        json=fault("conflictingRequest", 409, text),
    )
    assert run("dr", "operation", "resume", ID).err == f"{text} (HTTP 409)\n"
    clouds.mock.get(clouds.url("operations/op-x"), status_code=404, json=NOT_FOUND)
    assert run("dr", "operation", "resume", "op-x").code == 1
    assert run("dr", "operation", "resume").code == 2


@pytest.mark.parametrize("word", ["dr", "protector"])
def test_abort_goes_to_the_home_of_the_operation(clouds, run, word):
    has(clouds, "a", home_site="site-b", **PAUSED)
    has(clouds, "b", home_site="site-b", **PAUSED)
    url = clouds.url(f"operations/{ID}/abort", "b")
    answer = {"operation": operation(status="running", progress=50, phase="rolling_back")}
    clouds.mock.post(url, status_code=202, json=answer)
    result = run(word, "operation", "abort", ID, both=True)
    assert (result.code, result.err) == (0, "")
    assert clouds.bodies("POST", url) == [{"abort": {}}]


def test_abort_says_which_copies_are_discarded_with_what_they_have_written(clouds, run):
    has(clouds, "a", **PAUSED)
    copy = {"member": "web", "server_id": "c-1", "site": "site-b", "fate": "discarded"}
    copies = [
        {**copy, "up_since": "2026-01-01T10:00:00Z"},
        {**copy, "server_id": "c-2", "fate": "kept", "up_since": None},
    ]
    answer = {"operation": operation(status="running", progress=40), "copies": copies}
    clouds.mock.post(clouds.url(f"operations/{ID}/abort"), status_code=202, json=answer)
    said = run("dr", "operation", "abort", ID).err
    assert (
        "The copy c-1 of web on site-b, up since 2026-01-01T10:00:00Z, is discarded, with all that "
        "it has written.\n"
    ) in said
    assert "c-2 of web on site-b, not seen up yet, stays: an earlier operation has made it." in said


def test_abort_when_the_target_is_lost_goes_to_the_site_that_is_left(clouds, run):
    clouds.dead("b")
    url = clouds.url(f"operations/{ID}/abort")
    answer = {"operation": operation(operation_type="abort", status="running", progress=0)}
    clouds.mock.post(url, status_code=202, json=answer)
    result = run("dr", "operation", "abort", ID, "--target-is-lost", both=True)
    assert result.code == 0, result.err
    assert clouds.bodies("POST", url) == [{"abort": {"target_is_lost": True}}]


def test_abort_of_one_that_has_moved_the_group(clouds, run):
    has(clouds, "a", **PAUSED)
    text = f"Operation {ID} has moved protection group prod-web-app to site-b"
    clouds.mock.post(
        clouds.url(f"operations/{ID}/abort"),
        status_code=409,
        json=fault("conflictingRequest", 409, text),
    )
    assert run("dr", "operation", "abort", ID).err == f"{text} (HTTP 409)\n"
    assert run("dr", "operation", "abort").code == 2


@pytest.mark.parametrize("word", ["dr", "protector"])
def test_adopt_goes_to_the_home_of_the_failed_operation(clouds, run, word):
    has(clouds, "a", home_site="site-b", status="failed")
    has(clouds, "b", home_site="site-b", status="failed")
    url = clouds.url(f"operations/{ID}/adopt", "b")
    answer = {"operation": operation(status="running", progress=0)}
    clouds.mock.post(url, status_code=202, json=answer)
    result = run(word, "operation", "adopt", ID, both=True)
    assert (result.code, result.err) == (0, "")
    assert clouds.bodies("POST", url) == [{"adopt": {}}]


def test_adopt_when_the_source_is_lost_goes_to_the_site_that_is_left(clouds, run):
    clouds.dead("b")
    url = clouds.url(f"operations/{ID}/adopt")
    clouds.mock.post(url, status_code=202, json={"operation": operation(status="running")})
    result = run("dr", "operation", "adopt", ID, "--source-is-lost", both=True)
    assert result.code == 0, result.err
    assert clouds.bodies("POST", url) == [{"adopt": {"source_is_lost": True}}]


def test_adopt_maps_by_id_and_only_without_the_source(clouds, run):
    clouds.dead("b")
    url = clouds.url(f"operations/{ID}/adopt")
    clouds.mock.post(url, status_code=202, json={"operation": operation(status="running")})
    here, there = (f"{letter * 8}-0000-4000-8000-000000000001" for letter in "ab")
    words = ["dr", "operation", "adopt", ID, "--network-mapping"]
    result = run(*words, f"{here}={there}", "--source-is-lost", both=True)
    assert result.code == 0, result.err
    mapped = {"source_is_lost": True, "network_mapping": {here: there}}
    assert clouds.bodies("POST", url) == [{"adopt": mapped}]
    assert "are for --source-is-lost" in run(*words, f"{here}={there}").err
    assert "Give IDs" in run(*words, "web=db", "--source-is-lost").err


def test_adopt_of_what_stands_in_the_way(clouds, run):
    has(clouds, "a", status="failed")
    text = "Protection group prod-web-app cannot go forward with what operation has made"
    clouds.mock.post(
        clouds.url(f"operations/{ID}/adopt"),
        status_code=409,
        json=fault("conflictingRequest", 409, text),
    )
    assert run("dr", "operation", "adopt", ID).err == f"{text} (HTTP 409)\n"
    assert run("dr", "operation", "adopt").code == 2


def test_waiting_says_a_pause_once_and_goes_on_waiting(clouds, run):
    has(clouds, "a", **PAUSED)
    clouds.mock.get(
        clouds.url(f"operations/{ID}"),
        [
            {"json": {"operation": operation(**PAUSED)}},
            {"json": {"operation": operation(**PAUSED)}},
            {"json": {"operation": operation(**PAUSED)}},
            {"json": {"operation": operation()}},
        ],
    )
    answer = {"operation": operation(**PAUSED)}
    clouds.mock.post(clouds.url(f"operations/{ID}/resume"), status_code=202, json=answer)
    result = run("dr", "operation", "resume", ID, "--wait")
    assert result.code == 0
    assert result.err.count(ABOUT_PAUSE) == 1
    assert result.err.endswith(f"failover {ID} 100 % completed\n")
