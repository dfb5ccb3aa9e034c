# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tests.conftest import PROJECT, PROTECTOR, fault, operation

WORDS = ["dr", "site", "failover", "site-a"]


def group(name, priority=3):
    return {
        "protection_group_id": f"pg-{name}",
        "name": name,
        "project_id": "p1",
        "priority": priority,
        "target_site": "site-b",
    }


MAIL = {**group("mail"), "project_id": "p2"}

REFUSED = {
    "protection_group_id": "pg-mail",
    "name": "mail",
    "project_id": "p2",
    "reason": "Protection group 'mail' is OUT OF SYNC.",
}


def whole_report(site, groups):
    return {
        "status": "ok",
        "site": f"site-{site}",
        "sites": [],
        "components": [],
        "protection_groups": groups,
    }


def serve(clouds, *groups, refused=(), site="b", lags=None):
    """The site's protector: what it would do, and that it does it."""
    kept = {one["protection_group_id"] for one in refused}

    def answer(request, context):
        found = {"protection_groups": list(groups), "refused": list(refused)}
        if request.json()["failover"].get("dry_run"):
            return {**found, "started": []}
        context.status_code = 202
        started = [
            operation(
                id=f"op-{one['name']}",
                protection_group=one["name"],
                protection_group_id=one["protection_group_id"],
                status="running",
            )
            for one in groups
            if one["protection_group_id"] not in kept
        ]
        return {**found, "started": started}

    url = clouds.admin("sites/site-a/failover", site)
    clouds.mock.post(url, json=answer)
    clouds.mock.get(f"{PROTECTOR[site]}/v1/health", status_code=503, json=fault("x", 503, "busy"))
    if lags is not None:
        report = [{"id": f"pg-{name}", "lag_seconds": lag} for name, lag in lags.items()]
        health = {"health": whole_report(site, report)}
        clouds.mock.get(f"{PROTECTOR[site]}/v1/health", json=health)
    return url


WATCH = "Watch the groups with: openstack dr health show --all-projects\n"


@pytest.mark.parametrize("word", ["dr", "protector"])
def test_unplanned(clouds, run, type_in, word):
    clouds.dead("a")
    url = serve(clouds, group("shop", 1), group("crm"), lags={"shop": 723, "crm": 60})
    type_in("y\n")
    result = run(word, *WORDS[1:], "--unplanned", "-f", "json", both=True)
    assert result.code == 0
    assert result.err == (
        "shop (project p1) to site-b, last replicated 12 min 3 s ago\n"
        "crm (project p1) to site-b, last replicated 1 min ago\n"
        "Fail over 2 groups of site-a and lose the changes of the last 12 min 3 s, at most? [y/N] "
        + WATCH
    )
    assert [
        (row["Priority"], row["Protection Group"], row["Operation"]) for row in result.json
    ] == [
        (1, "shop", "op-shop"),
        (3, "crm", "op-crm"),
    ]
    assert clouds.bodies("POST", url) == [
        {"failover": {"type": "unplanned", "dry_run": True}},
        {"failover": {"type": "unplanned"}},
    ]
    assert [one for one in clouds.mock.request_history if "-a:" in one.url] == []


def test_planned_of_some_projects(clouds, run, type_in):
    url = serve(clouds, group("shop"), site="a")
    type_in("yes\n")
    result = run(*WORDS, "--project", PROJECT["a"], "--project", PROJECT["b"])
    assert result.code == 0
    assert "Fail over 1 group of site-a? [y/N] " in result.err
    sent = {"type": "planned", "projects": [PROJECT["a"], PROJECT["b"]]}
    assert clouds.bodies("POST", url) == [
        {"failover": {**sent, "dry_run": True}},
        {"failover": sent},
    ]


def test_a_project_by_name_is_looked_up_on_the_cloud_that_is_asked(clouds, run):
    clouds.dead("a")
    url = serve(clouds, group("shop"))
    keystone = "http://keystone-b:5000/v3"
    clouds.mock.get(f"{keystone}/projects/shop", status_code=404, json={"error": {"code": 404}})
    found = [{"id": "p1", "name": "shop"}]
    clouds.mock.get(f"{keystone}/projects", json={"projects": found, "links": {}})
    assert run(*WORDS, "--unplanned", "--project", "shop", "--dry-run", both=True).code == 0
    assert clouds.bodies("POST", url)[0]["failover"]["projects"] == ["p1"]


def test_groups_that_are_refused_are_listed_and_make_the_exit_code_1(clouds, run):
    serve(clouds, group("shop"), MAIL, refused=[REFUSED], site="a")
    result = run(*WORDS, "--yes", "-f", "json")
    assert result.code == 1
    assert result.json[1] == {
        "Priority": 3,
        "Protection Group": "mail",
        "Project": "p2",
        "Target": "site-b",
        "Result": "refused",
        "Operation": None,
        "Reason": REFUSED["reason"],
    }
    assert f"mail (project p2) refused: {REFUSED['reason']}\n" in result.err


def test_when_all_are_refused_nothing_is_started(clouds, run):
    url = serve(clouds, MAIL, refused=[REFUSED], site="a")
    result = run(*WORDS, "--yes")
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith("No group can be failed over. Nothing was changed.\n")
    assert len(clouds.bodies("POST", url)) == 1


def test_a_site_without_groups(clouds, run):
    serve(clouds, site="a")
    result = run(*WORDS, "--yes")
    assert result == type(result)(
        1, "", "No protection group runs on site-a: nothing to fail over.\n"
    )


def test_no_changes_nothing(clouds, run, type_in):
    url = serve(clouds, group("shop"), site="a")
    type_in("n\n")
    result = run(*WORDS, "--unplanned")
    assert (result.code, result.out) == (1, "")
    assert (
        "and lose all changes since their last recovery points? [y/N] Not confirmed." in result.err
    )
    assert len(clouds.bodies("POST", url)) == 1


def test_without_a_terminal(clouds, run):
    result = run(*WORDS)
    assert result.code == 1
    assert result.err.startswith("A site failover moves all groups of a site, so it asks first,")
    assert clouds.mock.request_history == []


def test_dry_run(clouds, run):
    groups = [group("shop"), MAIL]
    url = serve(clouds, *groups, refused=[REFUSED], lags={"shop": 723}, site="a")
    result = run(*WORDS, "--unplanned", "--dry-run", "-f", "json")
    assert (result.code, result.err) == (1, "")
    assert [(row["Result"], row["Lag"]) for row in result.json] == [
        ("would start", 723),
        ("refused", None),
    ]
    assert "12 min 3 s |\n" in run(*WORDS, "--unplanned", "--dry-run").out
    assert "Lag" not in run(*WORDS, "--dry-run").out
    assert all(body["failover"]["dry_run"] for body in clouds.bodies("POST", url))


def test_the_site_that_is_lost_is_not_asked_even_when_it_is_named_second(clouds, run, monkeypatch):
    monkeypatch.setenv("OS_CLOUD", "site-b")
    url = serve(clouds, group("shop"))
    words = ["--secondary-cloud", "site-a", *WORDS, "--unplanned", "--yes"]
    assert run(*words).code == 0
    assert len(clouds.bodies("POST", url)) == 2
    assert [one for one in clouds.mock.request_history if "-a:" in one.url] == []


def health(clouds, *looks, site="a"):
    answers = [
        {
            "json": {
                "health": {
                    "status": "ok",
                    "site": f"site-{site}",
                    "sites": [],
                    "components": [],
                    "protection_groups": [
                        {"id": f"pg-{name}", "status": status} for name, status in look.items()
                    ],
                }
            }
        }
        for look in looks
    ]
    clouds.mock.get(f"{PROTECTOR[site]}/v1/health", answers)


def test_wait(clouds, run):
    serve(clouds, group("shop"), group("crm"), site="a")
    health(
        clouds,
        {"shop": "failing_over", "crm": "failing_over"},
        {"shop": "failed_over", "crm": "failing_over"},
        {"shop": "failed_over", "crm": "failed_over"},
    )
    result = run(*WORDS, "--yes", "--wait")
    assert result.code == 0
    assert result.err.splitlines()[-3:] == [
        "0 of 2 groups have ended",
        "1 of 2 groups have ended",
        "2 of 2 groups have ended",
    ]
    assert clouds.mock.last_request.qs == {"all_projects": ["true"]}


def test_a_wait_that_ends_badly_for_one(clouds, run):
    serve(clouds, group("shop"), group("crm"), site="a")
    health(clouds, {"shop": "failed_over_partial", "crm": "active"})
    result = run(*WORDS, "--yes", "--wait")
    assert result.code == 1
    assert result.err.splitlines()[-2:] == [
        "'shop' is failed_over_partial: openstack dr operation list --protection-group shop",
        "'crm' is active: openstack dr operation list --protection-group crm",
    ]


def test_ctrl_c_during_the_wait(clouds, run, monkeypatch):
    serve(clouds, group("shop"), site="a")
    health(clouds, {"shop": "failing_over"})

    def interrupt(_seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr("protectorclient.osc.v1.site_failover.time.sleep", interrupt)
    result = run(*WORDS, "--yes", "--wait")
    assert result.code == 130
    assert "The failovers go on on the server" in result.err


def test_a_refusal(clouds, run):
    text = "Policy does not allow protector:sites:failover."
    url = clouds.admin("sites/site-a/failover")
    clouds.mock.post(url, status_code=403, json=fault("forbidden", 403, text))
    assert run(*WORDS, "--dry-run").err == f"{text} (HTTP 403)\n"


def test_a_dead_site(clouds, run):
    clouds.dead("a")
    result = run(*WORDS, "--yes")
    assert result.code == 1
    assert result.err.startswith("Cannot reach Keystone of cloud 'site-a': Connection refused.")


@pytest.mark.parametrize("words", [[], ["site-a", "--type", "sudden"], ["site-a", "site-b"]])
def test_wrong_arguments(clouds, run, words):
    assert run("dr", "site", "failover", *words).code == 2
