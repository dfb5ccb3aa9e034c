# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tests.conftest import GROUP_ID, PROTECTOR, fault

OK = dict.fromkeys(("identity", "compute", "volume", "network", "protector"), "ok")
DOWN = "Cannot connect to http://site-b: Connection refused"

GROUP = {
    "id": GROUP_ID,
    "name": "prod-web-app",
    "status": "active",
    "sync_status": "IN SYNC",
    "last_replication_at": "2025-11-03T13:47:56Z",
    "lag_seconds": 723,
    "rpo_minutes": 15,
    "rpo_met": True,
    "failover_ready": True,
    "split_brain": False,
}


def report(**changes):
    return {
        "status": "ok",
        "site": "site-a",
        "sites": [
            {"name": "site-a", "reachable": True, "error": None, "services": OK},
            {"name": "site-b", "reachable": True, "error": None, "services": OK},
        ],
        "components": [
            {"name": "protector-api", "status": "ok", "detail": "1.2"},
            {"name": "storage", "status": "ok", "detail": None},
        ],
        "protection_groups": [GROUP],
        **changes,
    }


def serve(clouds, at="a", **changes):
    clouds.mock.get(f"{PROTECTOR[at]}/v1/health", json={"health": report(**changes)})


HEALTHY = """\
Status: ok (as site-a sees it)

Sites
+--------+-----------+----------+---------+--------+---------+-----------+
| Site   | Reachable | Identity | Compute | Volume | Network | Protector |
+--------+-----------+----------+---------+--------+---------+-----------+
| site-a | True      | ok       | ok      | ok     | ok      | ok        |
| site-b | True      | ok       | ok      | ok     | ok      | ok        |
+--------+-----------+----------+---------+--------+---------+-----------+

Components
+---------------+--------+--------+
| Component     | Status | Detail |
+---------------+--------+--------+
| protector-api | ok     | 1.2    |
| storage       | ok     | None   |
+---------------+--------+--------+

Protection groups
"""


@pytest.mark.parametrize("word", ["dr", "protector"])
def test_all_is_well(clouds, run, word):
    serve(clouds)
    result = run(word, "health", "show")
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(HEALTHY)
    row = "| 2025-11-03T13:47:56Z | 12 min 3 s | 15 min | True    | True           |"
    assert f"| prod-web-app | active | IN SYNC     {row}" in result.out
    assert clouds.mock.last_request.qs == {}


def test_scripts_get_the_report(clouds, run):
    serve(clouds)
    assert run("dr", "health", "show", "-f", "json").json == report()
    assert run("dr", "health", "show", "-f", "value", "-c", "status").out == "ok\n"


def test_all_projects(clouds, run):
    serve(clouds)
    run("dr", "health", "show", "--all-projects")
    assert clouds.mock.last_request.qs == {"all_projects": ["true"]}


def test_what_is_broken_is_told_in_full_with_what_can_be_done(clouds, run):
    broken = {**OK, "compute": "Nova: 503 Service Unavailable\nnot now", "volume": "refused"}
    serve(
        clouds,
        status="error",
        sites=[
            {"name": "site-a", "reachable": True, "error": None, "services": broken},
            {
                "name": "site-b",
                "reachable": False,
                "error": DOWN,
                "services": dict.fromkeys(OK, DOWN),
            },
        ],
        protection_groups=[
            {**GROUP, "failover_ready": False},
            {**GROUP, "name": "db", "status": "split_brain", "split_brain": True},
            {**GROUP, "name": "gone", "status": "failed_over", "failover_ready": False},
        ],
    )
    result = run("dr", "health", "show")
    assert result.code == 1
    assert "| site-a | True      | ok       | error   | error  | ok" in result.out
    assert result.err.splitlines() == [
        "site-a, compute: Nova: 503 Service Unavailable not now",
        "site-a, volume: refused",
        f"site-b: {DOWN}",
        "'prod-web-app' is not ready to fail over; to see why: "
        "openstack dr protection-group check prod-web-app",
        "VMs of 'db' run on both sites; to stop those on the site that was left: "
        "openstack dr fence db",
    ]


def test_degraded_is_no_failure(clouds, run):
    serve(clouds, status="degraded", protection_groups=[])
    result = run("dr", "health", "show")
    assert result.code == 0
    assert "Protection groups" not in result.out


def test_a_service_without_details(clouds, run):
    brief = {name: GROUP[name] for name in ("id", "name", "status", "sync_status")}
    serve(
        clouds,
        components=[{"name": "database", "status": "ok"}],
        protection_groups=[{**brief, "failover_ready": True}],
    )
    result = run("--os-protector-api-version", "1.1", "dr", "health", "show")
    assert result.code == 0
    assert "| Component | Status |\n" in result.out


def test_the_other_protector_reports_when_the_first_is_dead(clouds, run):
    clouds.dead("a")
    serve(clouds, "b", site="site-b", status="degraded")
    result = run("dr", "health", "show", both=True)
    assert result.code == 0
    assert result.out.startswith("Status: degraded (as site-b sees it)\n")
    assert result.err == (
        "Cannot reach Keystone of cloud 'site-a': Connection refused. Looking on cloud 'site-b'.\n"
    )


def test_one_that_answers_is_enough(clouds, run):
    serve(clouds)
    clouds.dead("b")
    assert run("dr", "health", "show", both=True).err == ""
    assert [one for one in clouds.mock.request_history if "-b:" in one.url] == []


def test_a_refusal(clouds, run):
    text = "Policy does not allow protector:health:show."
    clouds.mock.get(
        f"{PROTECTOR['a']}/v1/health", status_code=403, json=fault("forbidden", 403, text)
    )
    result = run("dr", "health", "show")
    assert result == type(result)(1, "", f"{text} (HTTP 403)\n")


def test_wrong_arguments(clouds, run):
    assert run("dr", "health", "show", "prod-web-app").code == 2


CHECK = "protection-groups/prod-web-app/check"

FINDINGS = [
    {"check": "site_reachable", "status": "ok", "subject": "site-b", "message": "ok", "fix": None},
    {
        "check": "quota",
        "status": "error",
        "subject": "site-b",
        "message": "4 cores are needed, 2 are free.",
        "fix": "Ask for 2 more cores on site-b.",
    },
    {
        "check": "member",
        "status": "warning",
        "subject": "web-server-1",
        "message": "volume new-vol is attached and not protected.",
        "fix": "Remove and add the member.",
    },
]


def checked(clouds, *findings, ready, site="a"):
    found = {"ready": ready, "checked_at": "2025-11-03T14:00:00Z", "findings": list(findings)}
    clouds.mock.get(clouds.url(CHECK, site), json={"check": found})


@pytest.mark.parametrize("word", ["dr", "protector"])
def test_a_group_that_is_not_ready(clouds, run, word):
    checked(clouds, *FINDINGS, ready=False)
    result = run(word, "protection-group", "check", "prod-web-app")
    assert result.code == 1
    header = [cell.strip() for cell in result.out.splitlines()[1].strip("|").split("|")]
    assert header == ["Check", "Status", "Subject", "Message", "Fix"]
    assert "| quota          | error   | site-b       | 4 cores are needed, 2 are" in result.out
    assert result.err == "Not ready at 2025-11-03T14:00:00Z: 1 error and 1 warning.\n"


def test_a_group_that_is_ready(clouds, run):
    checked(clouds, FINDINGS[0], FINDINGS[2], ready=True)
    result = run("dr", "protection-group", "check", "prod-web-app", "-f", "json")
    assert (result.code, result.err) == (
        0,
        "Ready at 2025-11-03T14:00:00Z: 0 errors and 1 warning.\n",
    )
    assert result.json[0] == {
        "Check": "site_reachable",
        "Status": "ok",
        "Subject": "site-b",
        "Message": "ok",
        "Fix": None,
    }


def test_problems_only(clouds, run):
    checked(clouds, *FINDINGS, ready=False)
    words = ["dr", "protection-group", "check", "prod-web-app", "--problems", "-f", "json"]
    result = run(*words)
    assert (result.code, [row["Check"] for row in result.json]) == (1, ["quota", "member"])


def test_a_check_by_the_other_protector(clouds, run):
    clouds.dead("a")
    checked(clouds, *FINDINGS, ready=False, site="b")
    result = run("dr", "protection-group", "check", "prod-web-app", both=True)
    assert result.code == 1
    assert result.err.startswith("Cannot reach Keystone of cloud 'site-a': Connection refused.")


def test_a_check_of_a_group_that_nobody_knows(clouds, run):
    text = "Protection group 'prod-web-app' could not be found."
    clouds.mock.get(clouds.url(CHECK), status_code=404, json=fault("itemNotFound", 404, text))
    result = run("dr", "protection-group", "check", "prod-web-app")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"{text} (HTTP 404)")
    assert run("dr", "protection-group", "check").code == 2
