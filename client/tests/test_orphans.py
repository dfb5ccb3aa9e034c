# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tests.conftest import fault
from tests.test_cleanup import CHILD, child, leftover, plan, step

OP_1, OP_2 = "op-1", "op-2"

QUOTA = {
    "volumes": {"used": 40, "limit": 100, "orphans": 7},
    "gigabytes": {"used": 900, "limit": -1, "orphans": 210},
    "instances": {"used": 3, "limit": 10, "orphans": 0},
}


def orphan(name, **changes):
    return {
        "resource_type": "volume",
        "resource_id": f"cinder-{name}",
        "name": name,
        "size_gib": 30,
        "site": "site-a",
        "status": "available",
        "seen": "yes",
        "operation_id": OP_1,
        "step": f"delete_source_volume:{name}",
        "protection_group": "prod-web-app",
        "since": "2025-11-03T14:07:40Z",
        "age_seconds": 277_300,
        "reason": "Cinder timeout after 300s",
        "used_by": [],
        "deletable": True,
        "why_not": None,
        **changes,
    }


def stranger(name, **changes):
    """What the cloud shows and the asked site has no record of."""
    why = "its operation op-2 is not in this site's records"
    return orphan(name, **{"deletable": False, "why_not": why, "operation_id": None, **changes})


def site(name, status="OK", **changes):
    return {"site": name, "status": status, "error": None, "quota": QUOTA, **changes}


BOTH_SITES = (site("site-a"), site("site-b", quota=None))


def serve(clouds, *orphans, at="a", sites=BOTH_SITES):
    clouds.mock.get(
        clouds.url("orphans", at), json={"orphans": list(orphans), "sites": list(sites)}
    )


def cleanable(clouds, operation_id, *steps, at="a"):
    """A cleanup of the operation can be started and ends with these steps."""
    url = clouds.url(f"operations/{operation_id}/cleanup", at)
    cleanup = plan(*(leftover(entry["key"]) for entry in steps))
    started = {**child(), "id": f"{CHILD}-{operation_id}", "cleanup": cleanup}
    clouds.mock.post(url, status_code=202, json={"operation": started, "cleanup": cleanup})
    ended = child(*steps, status="completed")
    clouds.mock.get(clouds.url(f"operations/{CHILD}-{operation_id}", at), json={"operation": ended})
    return url


@pytest.mark.parametrize("word", ["dr", "protector"])
def test_list(clouds, run, word):
    server = orphan(
        "web",
        resource_type="server",
        resource_id="nova-web",
        size_gib=None,
        status="ERROR",
        age_seconds=2_410,
        reason="Nova timeout after 300s",
        deletable=False,
        why_not="it is locked",
    )
    serve(clouds, orphan("vol-boot"), server)
    result = run(word, "orphan", "list")
    assert result.code == 0
    header, first, second = (
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in result.out.splitlines()
        if line.startswith("|")
    )
    assert header == [
        "Type",
        "ID",
        "Name",
        "Size",
        "Site",
        "Status",
        "Operation",
        "Age",
        "Reason",
        "Deletable",
    ]
    assert first[3:] == [
        "30",
        "site-a",
        "available",
        "op-1",
        "3 d 5 h",
        "Cinder timeout after 300s",
        "True",
    ]
    assert second[:2] + second[5:8] == ["server", "nova-web", "ERROR", "op-1", "40 min"]
    assert second[-1] == "False"
    assert result.err == (
        "Orphans on site-a hold 7 of the 40 volumes in use (limit 100), 210 of the 900 gigabytes "
        "in use (no limit), 0 of the 3 instances in use (limit 10).\n"
    )


def test_list_for_scripts(clouds, run):
    serve(clouds, orphan("vol-boot", used_by=["nova-9"]))
    result = run("dr", "orphan", "list", "--long", "-f", "json")
    assert result.err == ""
    assert result.json == [
        {
            "Type": "volume",
            "ID": "cinder-vol-boot",
            "Name": "vol-boot",
            "Size": 30,
            "Site": "site-a",
            "Status": "available",
            "Operation": OP_1,
            "Age": 277_300,
            "Reason": "Cinder timeout after 300s",
            "Deletable": True,
            "Used By": ["nova-9"],
            "Why Not Deletable": None,
            "Protection Group": "prod-web-app",
            "Step": "delete_source_volume:vol-boot",
            "Since": "2025-11-03T14:07:40Z",
        }
    ]


def test_list_of_one_site_and_group(clouds, run):
    serve(clouds)
    assert run("dr", "orphan", "list", "--site", "site-a", "--protection-group", "web").code == 0
    assert clouds.mock.last_request.qs == {"site": ["site-a"], "protection_group": ["web"]}


def test_each_resource_is_listed_once_as_the_site_with_its_record_knows_it(clouds, run):
    serve(clouds, orphan("vol-a"), stranger("vol-b"), stranger("vol-c"))
    serve(clouds, stranger("vol-a"), orphan("vol-b", operation_id=OP_2), stranger("vol-c"), at="b")
    rows = run("dr", "orphan", "list", "-f", "json", both=True).json
    assert [(row["Name"], row["Deletable"]) for row in rows] == [
        ("vol-a", True),
        ("vol-b", True),
        ("vol-c", False),
    ]


def test_what_the_site_with_the_record_does_not_call_an_orphan_is_none(clouds, run):
    """The copies of a test failover that was started on site-a, and is up on site-b."""
    project = {"project_id": "p-b"}
    copy = stranger("vol-copy", site="site-b")
    serve(clouds, sites=[site("site-b", **project)])
    serve(clouds, copy, at="b", sites=[site("site-b", **project)])
    assert run("dr", "orphan", "list", "-f", "json", both=True).json == []
    # One that could not look there, or looked into another project, knows nothing of it.
    for blind in (site("site-b", "UNREACHABLE", quota=None), site("site-b", project_id="p-c")):
        serve(clouds, sites=[blind])
        rows = run("dr", "orphan", "list", "-f", "json", both=True).json
        assert [row["Name"] for row in rows] == ["vol-copy"]


def test_an_unseen_resource_has_an_unknown_status_and_the_seen_account_wins(clouds, run):
    unseen = {"status": None, "seen": "unknown", "deletable": False}
    serve(
        clouds,
        orphan("vol-a", **unseen),
        orphan("vol-b", **unseen),
        sites=[site("site-a", "UNREACHABLE", error="Cinder: 503", quota=None)],
    )
    serve(clouds, stranger("vol-b"), at="b")
    alone = run("dr", "orphan", "list", "-f", "json")
    assert [row["Status"] for row in alone.json] == ["unknown", "unknown"]
    assert alone.code == 1
    assert alone.err == (
        "Site site-a could not be looked at: Cinder: 503. What is listed there is from records.\n"
    )
    both = run("dr", "orphan", "list", "-f", "json", both=True)
    assert [row["Status"] for row in both.json] == ["unknown", "available"]
    assert (both.code, both.err) == (0, "")


def test_a_dead_protector_leaves_a_list_that_says_so(clouds, run):
    serve(clouds, orphan("vol-a"))
    clouds.dead("b")
    result = run("dr", "orphan", "list", "-f", "json", both=True)
    assert [row["Name"] for row in result.json] == ["vol-a"]
    assert result.code == 1
    assert result.err == (
        "Cannot reach Keystone of cloud 'site-b': Connection refused. What operations that were "
        "started there left may be missing.\n"
    )


def test_no_protector_is_an_error(clouds, run):
    clouds.dead("a")
    result = run("dr", "orphan", "list")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("Cannot reach Keystone of cloud 'site-a': Connection refused.")


def test_a_group_that_one_site_does_not_know(clouds, run):
    serve(clouds, orphan("vol-a"))
    unknown = fault("itemNotFound", 404, "No protection group is named 'web'.")
    clouds.mock.get(clouds.url("orphans", "b"), status_code=404, json=unknown)
    result = run("dr", "orphan", "list", "--protection-group", "web", "-f", "json", both=True)
    assert (result.code, len(result.json), result.err) == (0, 1, "")


def test_delete_cleans_up_by_operation_where_it_is_recorded(clouds, run):
    serve(clouds, orphan("vol-a"), stranger("vol-b"), orphan("vol-c"))
    serve(clouds, stranger("vol-a"), orphan("vol-b", operation_id=OP_2), at="b")
    names = {name: f"delete_source_volume:vol-{name}" for name in "abc"}
    first = cleanable(clouds, OP_1, step(names["a"], "done"), step(names["c"], "done"))
    second = cleanable(clouds, OP_2, step(names["b"], "done"), at="b")
    ids = ["cinder-vol-a", "cinder-vol-b", "cinder-vol-c", "cinder-vol-a"]
    result = run("dr", "orphan", "delete", *ids, both=True)
    assert (result.code, result.err) == (0, "")
    assert clouds.bodies("POST", first) == [
        {"cleanup": {"resources": ["cinder-vol-a", "cinder-vol-c"]}}
    ]
    assert clouds.bodies("POST", second) == [{"cleanup": {"resources": ["cinder-vol-b"]}}]
    lines = result.out.splitlines()
    assert lines[0] == "Retrying cleanup for operation op-1..."
    assert "Deleting volume cinder-vol-c... done" in lines
    assert lines[-1] == "✓ Cleanup completed. 1 resource deleted, 0 failures."


def test_delete_says_what_is_left(clouds, run):
    serve(clouds, orphan("vol-a"))
    key = "delete_source_volume:vol-a"
    kept = "kept: volume cinder-vol-a is attached to server nova-9; detach it first"
    cleanable(
        clouds, OP_1, step(key, "failed", observed="in-use", error=kept, error_code="PRT-KEPT")
    )
    result = run("protector", "orphan", "delete", "cinder-vol-a")
    assert result.code == 1
    assert f"Deleting volume cinder-vol-a... {kept}\n" in result.out
    as_json = run("dr", "orphan", "delete", "cinder-vol-a", "-f", "json")
    assert as_json.code == 1
    assert [(row["ID"], row["Result"], row["Error"]) for row in as_json.json] == [
        ("cinder-vol-a", "failed", kept)
    ]


@pytest.mark.parametrize("bad", ["cinder-vol-x", "cinder-vol-b", "cinder-vol-n", "cinder-twice"])
def test_delete_of_one_that_may_not_go_deletes_nothing(clouds, run, bad):
    serve(
        clouds,
        orphan("vol-a"),
        stranger("vol-b"),
        orphan("vol-n", operation_id=None),
        orphan("twice"),
        orphan("twice", site="site-b"),
    )
    result = run("dr", "orphan", "delete", "cinder-vol-a", bad)
    why = {
        "cinder-vol-x": "cinder-vol-x is not in the list of orphans: openstack dr orphan list",
        "cinder-vol-b": "volume cinder-vol-b on site-a is not deletable: its operation op-2 is not "
        "in this site's records",
        "cinder-vol-n": "volume cinder-vol-n on site-a is not deletable: no operation is recorded "
        "that left it",
        "cinder-twice": "cinder-twice is the id of several orphans, on site-a, site-b",
    }
    assert (result.code, result.out) == (1, "")
    assert result.err == f"Nothing was deleted:\n  {why[bad]}\n"
    assert not [r for r in clouds.mock.request_history if r.method == "POST" and "8788" in r.url]


def test_delete_tells_of_all_refusals_and_of_sites_that_did_not_answer(clouds, run):
    serve(clouds, stranger("vol-b"))
    clouds.dead("b")
    result = run("dr", "orphan", "delete", "cinder-vol-x", "cinder-vol-b", both=True)
    assert result.code == 1
    assert [line.split()[0] for line in result.err.splitlines()] == [
        "Nothing",
        "cinder-vol-x",
        "volume",
        "Cannot",
    ]


def test_a_refusal_of_one_operation_stops_no_other(clouds, run):
    serve(clouds, orphan("vol-a"), orphan("vol-b", operation_id=OP_2))
    clouds.mock.post(
        clouds.url(f"operations/{OP_1}/cleanup"),
        status_code=409,
        json=fault("conflictingRequest", 409, "Operation op-1 is being cleaned up by op-9."),
    )
    cleanable(clouds, OP_2, step("delete_source_volume:vol-b", "done"))
    result = run("dr", "orphan", "delete", "cinder-vol-a", "cinder-vol-b")
    assert result.code == 1
    assert result.out.endswith("✓ Cleanup completed. 1 resource deleted, 0 failures.\n")
    assert "Operation op-1 was not cleaned up: Operation op-1 is being cleaned up" in result.err


def test_one_that_went_away_meanwhile_is_said(clouds, run):
    serve(clouds, orphan("vol-a"))
    clouds.mock.post(
        clouds.url(f"operations/{OP_1}/cleanup"), json={"operation": None, "cleanup": plan()}
    )
    result = run("dr", "orphan", "delete", "cinder-vol-a")
    assert (result.code, result.out) == (0, "Nothing to clean up: cinder-vol-a: gone already.\n")


def test_wrong_arguments(clouds, run):
    assert run("dr", "orphan", "delete").code == 2
    assert run("dr", "orphan", "list", "more").code == 2
