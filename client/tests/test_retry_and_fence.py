# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tests.conftest import NOT_FOUND, fault, operation

ACTION = "protection-groups/prod-web-app/action"
NET_A, NET_B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
ID = operation()["id"]
PARENT = "op-7a3f2c11-0009-4b22-a918-000000000009"


def failed_over(clouds, *sites, home="site-b"):
    """Both sites, or one, know the failover that was started on ``home``."""
    record = operation(id=PARENT, home_site=home)
    for site in sites:
        clouds.mock.get(clouds.url("operations", site), json={"operations": [record]})
        clouds.mock.get(clouds.url(f"operations/{PARENT}", site), json={"operation": record})


def started(clouds, kind, site="b"):
    record = operation(
        operation_type=kind, status="running", progress=0, parent_operation_id=PARENT
    )
    clouds.mock.post(clouds.url(ACTION, site), status_code=202, json={"operation": record})
    return clouds.url(ACTION, site)


WORDS = [
    ("retry", ["dr", "retry", "prod-web-app"]),
    ("retry", ["protector", "retry", "prod-web-app"]),
    ("retry", ["dr", "protection-group", "action", "prod-web-app", "--action", "retry"]),
    ("fence", ["dr", "fence", "prod-web-app"]),
    ("fence", ["dr", "protection-group", "action", "prod-web-app", "--action", "fence"]),
]


@pytest.mark.parametrize(("kind", "words"), WORDS)
def test_it_goes_to_the_home_of_the_failover(clouds, run, kind, words):
    failed_over(clouds, "a", "b")
    url = started(clouds, kind)
    result = run(*words, both=True)
    assert (result.code, result.err) == (0, "")
    assert f"| operation_type   | {kind} " in result.out
    assert clouds.bodies("POST", url) == [{kind: {}}]


@pytest.mark.parametrize(("kind", "words"), WORDS)
def test_the_dead_site_is_not_asked(clouds, run, kind, words):
    clouds.dead("a")
    failed_over(clouds, "b")
    started(clouds, kind)
    result = run(*words, both=True)
    assert (result.code, result.err) == (0, "")
    assert [one for one in clouds.mock.request_history if "-a:" in one.url] == []


def test_an_older_move_of_a_site_does_not_make_it_the_home_of_the_newest(clouds, run, monkeypatch):
    monkeypatch.setenv("OS_CLOUD", "site-b")
    newest = operation(id=PARENT, home_site="site-b", created_at="2026-03-17T12:00:00Z")
    older = operation(operation_type="failback", created_at="2026-03-16T12:00:00Z")
    for site in ("a", "b"):
        url = clouds.url("operations", site)
        clouds.mock.get(f"{url}?operation_type=failover", json={"operations": [newest]})
        clouds.mock.get(f"{url}?operation_type=failback", json={"operations": [older]})
    url = started(clouds, "fence")
    result = run("--secondary-cloud", "site-a", "dr", "fence", "prod-web-app")
    assert (result.code, result.err) == (0, "")
    assert clouds.bodies("POST", url) == [{"fence": {}}]


def test_with_one_cloud_that_one_is_asked(clouds, run):
    url = started(clouds, "retry", "a")
    assert run("dr", "retry", "prod-web-app").code == 0
    assert clouds.bodies("POST", url) == [{"retry": {}}]


def test_retry_of_a_named_failover_with_other_mappings(clouds, run):
    failed_over(clouds, "a", "b")
    url = started(clouds, "retry")
    words = ["--operation-id", PARENT, "--network-mapping", f"{NET_A}={NET_B}"]
    assert run("dr", "retry", "prod-web-app", *words, both=True).code == 0
    assert clouds.bodies("POST", url) == [
        {"retry": {"operation_id": PARENT, "network_mapping": {NET_A: NET_B}}}
    ]


def test_retry_that_may_lose_what_an_original_has_written(clouds, run):
    url = started(clouds, "retry", "a")
    assert run("dr", "retry", "prod-web-app", "--lose-newer-writes").code == 0
    assert clouds.bodies("POST", url) == [{"retry": {"lose_newer_writes": True}}]
    words = ["prod-web-app", "--action", "fence", "--lose-newer-writes"]
    refused = run("dr", "protection-group", "action", *words)
    assert (refused.code, refused.err) == (1, "--lose-newer-writes is for retry, not for fence.\n")


def test_a_network_on_the_source_needs_its_id(clouds, run):
    result = run("dr", "retry", "prod-web-app", "--network-mapping", f"web={NET_B}")
    assert result.code == 1
    assert "'web' is a name, and the source site is not asked." in result.err
    assert clouds.mock.request_history == []


def test_a_home_that_is_not_reached_is_named(clouds, run):
    clouds.dead("b")
    failed_over(clouds, "a")
    result = run("dr", "retry", "prod-web-app", both=True)
    assert result.code == 1
    assert result.err.startswith(f"Operation {PARENT} was started on site-b, which alone can go on")


def test_the_site_that_is_left_fences_when_the_home_of_the_failover_is_lost(clouds, run):
    clouds.dead("b")
    failed_over(clouds, "a")
    group = {"protection_group": {"name": "prod-web-app", "status": "split_brain"}}
    clouds.mock.get(clouds.url("protection-groups/prod-web-app", "a"), json=group)
    url = clouds.url("protection-groups/prod-web-app/action", "a")
    fencing = {"operation_type": "fence", "status": "running", "home_site": "site-a"}
    clouds.mock.post(url, status_code=202, json={"operation": operation(**fencing)})
    assert run("dr", "fence", "prod-web-app", both=True).code == 0
    assert clouds.bodies("POST", url) == [{"fence": {}}]


def test_a_home_that_is_slow_is_named_with_what_was_asked_instead(clouds, run):
    clouds.dead("b")
    failed_over(clouds, "a")
    group = {"protection_group": {"name": "prod-web-app", "status": "split_brain"}}
    clouds.mock.get(clouds.url("protection-groups/prod-web-app", "a"), json=group)
    text = f"Operation {PARENT} is run by site-b; what is kept here is a copy to be read."
    clouds.mock.post(
        clouds.url(ACTION, "a"), status_code=409, json=fault("conflictingRequest", 409, text)
    )
    result = run("dr", "fence", "prod-web-app", both=True)
    assert (result.code, result.out) == (1, "")
    said = " ".join(result.err.split())
    assert "did not answer in time. Cloud 'site-a' is asked instead." in said
    assert "Nothing was fenced. site-b did not answer in time, and cloud 'site-a', asked" in said
    assert text in said
    assert said.endswith("give it time: openstack --os-cloud site-b dr fence prod-web-app")


def test_a_group_that_was_never_failed_over(clouds, run):
    for site in ("a", "b"):
        clouds.mock.get(clouds.url("operations", site), json={"operations": []})
    result = run("dr", "retry", "prod-web-app", both=True)
    assert result == type(result)(
        1,
        "",
        "Protection group 'prod-web-app' was never failed over: there is nothing to go on with.\n",
    )


def test_a_group_that_nobody_knows(clouds, run):
    for site in ("a", "b"):
        clouds.mock.get(clouds.url("operations", site), status_code=404, json=NOT_FOUND)
    result = run("dr", "retry", "prod-web-app", both=True)
    assert result.err == "Operation could not be found. (HTTP 404)\n"


def test_a_refusal_is_in_the_servers_words(clouds, run):
    failed_over(clouds, "a", "b")
    text = "Protection group 'prod-web-app' is failed_over: no VM is left to recover."
    clouds.mock.post(
        clouds.url(ACTION, "b"), status_code=409, json=fault("conflictingRequest", 409, text)
    )
    result = run("dr", "retry", "prod-web-app", both=True)
    assert result == type(result)(1, "", f"{text} (HTTP 409)\n")


def ended(clouds, record, status="failed_over"):
    clouds.mock.get(clouds.url(f"operations/{ID}", "b"), json={"operation": record})
    url = clouds.url("protection-groups/prod-web-app", "b")
    clouds.mock.get(url, json={"protection_group": {"status": status}})


def test_after_the_wait_a_fence_names_the_cleanup(clouds, run):
    failed_over(clouds, "b")
    started(clouds, "fence")
    ended(clouds, operation(operation_type="fence", parent_operation_id=PARENT))
    result = run("dr", "fence", "prod-web-app", "--wait", both=True)
    assert result.code == 0
    assert result.err.splitlines()[-1] == (
        "The VMs on site-a are stopped. To delete what was left there: "
        f"openstack dr operation cleanup {PARENT}"
    )


def test_a_fence_that_fails_is_exit_code_1(clouds, run):
    failed_over(clouds, "b")
    started(clouds, "fence")
    text = "server web-server-1 on site-a: its compute host does not answer"
    ended(clouds, operation(operation_type="fence", status="failed", error=text))
    result = run("dr", "fence", "prod-web-app", "--wait", both=True)
    assert result.code == 1
    assert f"| error            | {text}" in result.out
    assert "are stopped" not in result.err


@pytest.mark.parametrize(("status", "code"), [("failed_over", 0), ("failed_over_partial", 1)])
def test_after_the_wait_a_retry_says_what_is_still_missing(clouds, run, status, code):
    failed_over(clouds, "b")
    started(clouds, "retry")
    ended(clouds, operation(operation_type="retry"), status)
    result = run("dr", "retry", "prod-web-app", "--wait", both=True)
    assert result.code == code
    assert ("openstack dr retry prod-web-app" in result.err) == bool(code)


@pytest.mark.parametrize("words", [["retry"], ["fence"], ["fence", "x", "--operation-id", "y"]])
def test_wrong_arguments(clouds, run, words):
    assert run("dr", *words).code == 2
