# SPDX-License-Identifier: Apache-2.0
"""The worst day: one of the two clouds is gone."""

from __future__ import annotations

import pytest

from tests.conftest import fault, operation, preview

ACTION = "protection-groups/prod-web-app/action"
NET_A, NET_B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
ID = operation()["id"]

UNPLANNED = ["dr", "failover", "prod-web-app", "--unplanned"]

WHAT_IS_LOST = """\
Unplanned failover of protection group 'prod-web-app' from site-a to site-b: 2 VMs.
Recovery point: 2025-11-03T13:47:56Z, 12 min 3 s old.
Changes made after it are lost. site-a is not asked, and VMs that still run there are not stopped.
"""

QUESTION = "Fail over and lose the changes of the last 12 min 3 s? [y/N] "

WATCH = f"Watch it with: openstack dr operation show {ID}\n"


def survivor(clouds, site="b", **changes):
    """The site that is left answers a preview, and starts the operation."""

    def answer(request, context):
        if request.json().get("failover", {}).get("dry_run"):
            return {"operation": None, "preview": preview(**changes)}
        context.status_code = 202
        running = {"status": "running", "progress": 0, "steps_completed": []}
        return {"operation": operation(home_site=f"site-{site}", **running)}

    clouds.mock.post(clouds.url(ACTION, site), json=answer)
    return clouds.url(ACTION, site)


def asked(clouds, site):
    return [one for one in clouds.mock.request_history if f"-{site}:" in one.url]


@pytest.mark.parametrize(
    "words",
    [
        UNPLANNED,
        ["dr", "failover", "prod-web-app", "--type", "unplanned"],
        ["protector", "failover", "prod-web-app", "--unplanned"],
        ["dr", "protection-group", "action", "prod-web-app", "--action", "failover", "--unplanned"],
    ],
)
def test_it_says_what_is_lost_asks_and_starts_on_the_site_that_is_left(clouds, run, type_in, words):
    clouds.dead("a")
    url = survivor(clouds)
    type_in("y\n")
    result = run(*words, "-f", "json", both=True)
    assert (result.code, result.err) == (0, WHAT_IS_LOST + QUESTION + WATCH)
    assert result.json["operation_id"] == ID
    assert clouds.bodies("POST", url) == [
        {"failover": {"type": "unplanned", "dry_run": True}},
        {"failover": {"type": "unplanned"}},
    ]
    assert asked(clouds, "a") == []


@pytest.mark.parametrize("typed", ["n\n", "\n", "", "yess\n"])
def test_anything_but_yes_changes_nothing(clouds, run, type_in, typed):
    clouds.dead("a")
    url = survivor(clouds)
    type_in(typed)
    result = run(*UNPLANNED, both=True)
    assert (result.code, result.out) == (1, "")
    assert result.err == WHAT_IS_LOST + QUESTION + "Not confirmed. Nothing was changed.\n"
    assert len(clouds.bodies("POST", url)) == 1


def test_ctrl_c_at_the_question_changes_nothing(clouds, run, type_in, monkeypatch):
    url = survivor(clouds)
    type_in("")

    def interrupt(_stdin):
        raise KeyboardInterrupt

    monkeypatch.setattr("tests.conftest.Typed.readline", interrupt)
    result = run(*UNPLANNED, both=True)
    assert (result.code, result.out) == (1, "")
    assert result.err.endswith("[y/N] \nNot confirmed. Nothing was changed.\n")
    assert len(clouds.bodies("POST", url)) == 1


def test_without_a_terminal_it_wants_yes_before_any_cloud_is_asked(clouds, run):
    result = run(*UNPLANNED, both=True)
    assert result == type(result)(
        1,
        "",
        "An unplanned failover loses data, so it asks first, and here is no terminal to ask on. "
        "Give --yes to do it without a question, or --dry-run to look only.\n",
    )
    assert clouds.mock.request_history == []


def test_yes_asks_nothing_but_still_says_what_is_lost(clouds, run):
    clouds.dead("a")
    survivor(clouds)
    result = run(*UNPLANNED, "--yes", both=True)
    assert (result.code, result.err) == (0, WHAT_IS_LOST + WATCH)
    assert f"| operation_id     | {ID}" in result.out


def test_turning_to_the_site_that_is_left_asks_that_one_only(clouds, run, monkeypatch):
    monkeypatch.setenv("OS_SECONDARY_CLOUD", "site-b")
    clouds.dead("a")
    survivor(clouds)
    assert run("--os-cloud", "site-b", *UNPLANNED, "--yes").code == 0
    assert asked(clouds, "a") == []


def test_when_the_secondary_cloud_is_the_dead_one_the_first_is_asked(clouds, run):
    clouds.dead("b")
    survivor(clouds, "a", source_site="site-b", target_site="site-a")
    result = run(*UNPLANNED, "--yes", both=True)
    assert result.code == 0
    assert "from site-b to site-a" in result.err


def test_a_recovery_point_that_nobody_knows_is_said(clouds, run, type_in):
    text = "The array of site-b did not answer within 10 s."
    survivor(clouds, recovery_point=None, warnings=[text])
    type_in("no\n")
    result = run(*UNPLANNED, both=True)
    assert result.err.splitlines()[1] == "Recovery point: not known."
    assert f"Warning: {text}" in result.err
    assert "lose all changes since a recovery point of unknown age? [y/N]" in result.err


def test_a_refusal_is_in_the_servers_words_and_nothing_is_asked(clouds, run, type_in):
    clouds.dead("a")
    text = "Protection group 'prod-web-app' is failed_over: a failover starts from active."
    clouds.mock.post(
        clouds.url(ACTION, "b"), status_code=409, json=fault("conflictingRequest", 409, text)
    )
    type_in("y\n")
    result = run(*UNPLANNED, both=True)
    assert result == type(result)(1, "", f"{text} (HTTP 409)\n")


def test_the_site_on_which_the_group_runs_is_not_taken_for_the_one_that_is_left(clouds, run):
    clouds.dead("b")
    url = survivor(clouds, "a")
    result = run(*UNPLANNED, "--yes", both=True)
    assert result == type(result)(
        1,
        "",
        "Protection group 'prod-web-app' runs on site-a: an unplanned failover is started on "
        "site-b.\n",
    )
    assert len(clouds.bodies("POST", url)) == 1


def test_two_refusals_are_both_said(clouds, run):
    for site, text in (("a", "Ask site-b."), ("b", "No recovery point is on site-b.")):
        clouds.mock.post(
            clouds.url(ACTION, site), status_code=409, json=fault("conflictingRequest", 409, text)
        )
    result = run(*UNPLANNED, "--yes", both=True)
    assert result.code == 1
    assert result.err == (
        "Cloud 'site-b': No recovery point is on site-b. (HTTP 409)\n"
        "Cloud 'site-a': Ask site-b. (HTTP 409)\n"
    )


def test_a_group_that_the_site_does_not_know(clouds, run):
    clouds.dead("a")
    text = "Protection group 'prod-web-app' could not be found."
    clouds.mock.post(
        clouds.url(ACTION, "b"), status_code=404, json=fault("itemNotFound", 404, text)
    )
    result = run(*UNPLANNED, "--yes", both=True)
    assert result.code == 1
    assert result.err.startswith(f"{text} (HTTP 404) Asked: cloud 'site-b' (project 2222")


def test_one_dead_cloud_and_no_other_named(clouds, run):
    clouds.dead("a")
    result = run(*UNPLANNED, "--yes")
    assert result.code == 1
    assert result.err == (
        "Cannot reach Keystone of cloud 'site-a': Connection refused. Check auth_url of 'site-a' "
        "in clouds.yaml. When that site is down, ask the other one: --os-cloud <its cloud>.\n"
    )


def test_names_on_the_dead_site_are_refused_before_anything_is_asked(clouds, run):
    result = run(*UNPLANNED, "--yes", "--network-mapping", f"web={NET_B}", both=True)
    assert result.code == 1
    assert result.err == (
        f"--network-mapping web={NET_B}: 'web' is a name, and the source site is not asked. Give "
        "the network's id; `openstack dr member show` lists the ids.\n"
    )
    assert clouds.mock.request_history == []


def test_names_on_the_target_are_looked_up_there(clouds, run):
    clouds.dead("a")
    url = survivor(clouds)
    base = "http://neutron-b:9696"
    link = [{"rel": "self", "href": f"{base}/v2.0/"}]
    version = {"id": "v2.0", "status": "CURRENT", "links": link}
    clouds.mock.get(f"{base}/", json={"versions": [version]})
    clouds.mock.get(f"{base}/v2.0/networks/web", status_code=404, json={})
    clouds.mock.get(f"{base}/v2.0/networks", json={"networks": [{"id": NET_B, "name": "web"}]})
    result = run(*UNPLANNED, "--yes", "--network-mapping", f"{NET_A}=web", both=True)
    assert result.code == 0
    sent = {"type": "unplanned", "network_mapping": {NET_A: NET_B}}
    assert clouds.bodies("POST", url)[1] == {"failover": sent}


BACK = ["dr", "failback", "prod-web-app", "--unplanned"]


def survivor_of_the_second(clouds, verb):
    """The primary site is left, and the group ran on the other one."""

    def answer(request, context):
        if request.json()[verb].get("dry_run"):
            shown = preview(operation_type="failback", source_site="site-b", target_site="site-a")
            return {"operation": None, "preview": shown}
        context.status_code = 202
        running = {"status": "running", "operation_type": "failback"}
        return {"operation": operation(home_site="site-a", **running)}

    clouds.dead("b")
    clouds.mock.post(clouds.url(ACTION, "a"), json=answer)
    return clouds.url(ACTION, "a")


@pytest.mark.parametrize(("words", "verb"), [(UNPLANNED, "failover"), (BACK, "failback")])
def test_when_the_second_site_is_lost_it_goes_back_to_the_first(clouds, run, words, verb):
    url = survivor_of_the_second(clouds, verb)
    result = run(*words, "--yes", both=True)
    assert result.code == 0
    assert result.err.startswith(
        "Unplanned failback of protection group 'prod-web-app' from site-b to site-a"
    )
    assert clouds.bodies("POST", url)[1] == {verb: {"type": "unplanned"}}


def test_names_on_the_second_site_are_refused_when_that_is_lost(clouds, run):
    result = run(*BACK, "--yes", "--network-mapping", f"{NET_A}=web", both=True)
    assert result.code == 1
    assert f"--network-mapping {NET_A}=web: 'web' is a name" in result.err
    assert clouds.mock.request_history == []


def looks(clouds, *records):
    clouds.mock.get(
        clouds.url(f"operations/{ID}", "b"), [{"json": {"operation": one}} for one in records]
    )


LOST = {
    "home_site": "site-b",
    "recovery_point": {"id": "rp-17", "taken_at": "2025-11-03T13:47:56Z"},
    "data_loss_seconds": 723,
}


def group(clouds, status):
    url = clouds.url("protection-groups/prod-web-app", "b")
    clouds.mock.get(url, json={"protection_group": {"name": "prod-web-app", "status": status}})


def test_after_the_wait_the_loss_and_the_next_commands_are_said(clouds, run):
    clouds.dead("a")
    survivor(clouds)
    looks(clouds, operation(leftovers=2, **LOST))
    group(clouds, "failed_over")
    result = run(*UNPLANNED, "--yes", "--wait", both=True)
    assert result.code == 0
    assert result.err.splitlines()[-2:] == [
        "Changes made after 2025-11-03T13:47:56Z are lost: 12 min 3 s.",
        "VMs and volumes on site-a were left as they are. When it is back, stop its VMs first: "
        f"openstack dr fence prod-web-app; then: openstack dr operation cleanup {ID}",
    ]
    assert asked(clouds, "a") == []


def test_after_the_wait_missing_vms_are_said_and_are_no_success(clouds, run):
    survivor(clouds)
    failed = {"step": "recreate_vms:web-2", "error": "No valid host.", "resource_id": None}
    looks(clouds, operation(steps_failed=[failed], **LOST))
    group(clouds, "failed_over_partial")
    result = run(*UNPLANNED, "--yes", "--wait", both=True)
    assert result.code == 1
    assert '"step": "recreate_vms:web-2"' in result.out
    assert result.err.splitlines()[-1] == (
        "Not all VMs were recovered: steps_failed says why. When that is mended: "
        "openstack dr retry prod-web-app"
    )


PLAN = """\
Unplanned failover of protection group 'prod-web-app' from site-a to site-b: 2 VMs. Nothing was \
changed.
Recovery point: 2025-11-03T13:47:56Z, 12 min 3 s old.
web-server-1 (nova-ws1), flavor m1.small
  volume vol-boot-ws1, 10 GiB (cinder-boot)
  network net-a -> net-b
web-server-2 (nova-ws2), flavor m1.small
  volume cinder-data, 20 GiB (cinder-data)
Steps:
  check_target
  promote_volumes
  recreate_vms
VMs and volumes on site-a are left as they are.
To start it: openstack dr failover prod-web-app --unplanned
"""


def test_a_dry_run_shows_the_plan_and_asks_nothing(clouds, run):
    clouds.dead("a")
    url = survivor(clouds)
    result = run(*UNPLANNED, "--dry-run", both=True)
    assert result == type(result)(0, PLAN, "")
    assert len(clouds.bodies("POST", url)) == 1
    assert run(*UNPLANNED, "--dry-run", "-f", "json", both=True).json == preview()
    point = run(*UNPLANNED, "--dry-run", "-f", "value", "-c", "target_site", both=True).out
    assert point == "site-b\n"


ATTRIBUTES = {
    "kept": 14,
    "changed": [
        {
            "field": "card 1 addresses",
            "what": "10.0.1.5",
            "copy": "another one",
            "why": "10.0.1.5 is in use there",
        }
    ],
    "lost": [{"field": "key pair", "what": "alice", "why": "its public key could not be read"}],
    "unknown": [{"field": "what is not on record", "what": None, "why": "site-a is not asked"}],
    "refused": [],
}

BECOMES = """\
What becomes of each VM:
web-server-1: 14 kept, 1 changed, 1 lost, 1 unknown
  changed: card 1 addresses: 10.0.1.5 -> another one (10.0.1.5 is in use there)
  lost: key pair: alice (its public key could not be read)
  unknown: what is not on record (site-a is not asked)
web-server-2: 15 kept
"""


def test_a_dry_run_shows_what_becomes_of_each_vm_after_the_plan(clouds, run):
    clouds.dead("a")
    plan = preview()
    plan["members"][0]["attributes"] = ATTRIBUTES
    same = {"kept": 15, "changed": [], "lost": [], "unknown": [], "refused": []}
    plan["members"][1]["attributes"] = same
    survivor(clouds, members=plan["members"])
    result = run(*UNPLANNED, "--dry-run", both=True)
    assert result == type(result)(0, PLAN + BECOMES, "")
    assert run(*UNPLANNED, "--dry-run", "-f", "json", both=True).json == plan


def planned(clouds, verb, **changes):
    plan = preview(
        operation_type=verb,
        type="planned" if verb == "failover" else None,
        recovery_point=None,
        **changes,
    )
    clouds.mock.post(clouds.url(ACTION), json={"operation": None, "preview": plan})


def test_a_dry_run_of_a_planned_failover(clouds, run):
    planned(clouds, "failover", warnings=["site-b: 1 of 10 instances is left of the quota"])
    words = ["dr", "failover", "prod-web-app", "--dry-run", "--network-mapping", f"{NET_A}={NET_B}"]
    lines = run(*words).out.splitlines()
    assert lines[0].startswith("Planned failover of protection group 'prod-web-app' from site-a ")
    assert lines[-3:] == [
        "VMs and volumes on site-a are deleted once the group runs on the other site.",
        "Warning: site-b: 1 of 10 instances is left of the quota",
        "To start it: openstack dr failover prod-web-app --network-mapping " + f"{NET_A}={NET_B}",
    ]
    assert clouds.bodies("POST", clouds.url(ACTION)) == [
        {"failover": {"type": "planned", "network_mapping": {NET_A: NET_B}, "dry_run": True}}
    ]


def test_a_dry_run_says_what_becomes_of_volumes_that_are_promoted_in_place(clouds, run):
    can = {
        "driver": "CephRbdDriver",
        "promotion": "in_place",
        "way_back": "delta",
        "fences_source": True,
        "linked_deletion": True,
    }
    planned(clouds, "failover", capabilities=can)
    lines = run("dr", "failover", "prod-web-app", "--dry-run").out.splitlines()
    assert lines[-3:-1] == [
        "VMs on site-a are deleted once the group runs on the other site; its volumes stay on "
        "their array, as replicas of what runs there, and Cinder lets go of them.",
        "Arrays (CephRbdDriver): each replica becomes the volume itself, and the volume its "
        "replica; the source takes no writes from then on; the way back sends what was written "
        "since.",
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["failback", "prod-web-app"],
        ["protection-group", "action", "prod-web-app", "--action", "failback"],
    ],
)
def test_a_dry_run_of_a_failback(clouds, run, words):
    planned(clouds, "failback", retain_source_volumes=True)
    result = run("dr", *words, "--dry-run")
    assert result.out.startswith("Failback of protection group 'prod-web-app' from site-a")
    assert "Volumes on site-a are retained; its VMs are deleted.\n" in result.out
    assert result.out.endswith("To start it: openstack dr failback prod-web-app\n")
    assert clouds.bodies("POST", clouds.url(ACTION)) == [{"failback": {"dry_run": True}}]


def test_a_recovery_point_is_asked_for_in_the_dry_run_and_in_what_starts_the_move(clouds, run):
    clouds.dead("a")
    url = survivor(clouds)
    words = [*UNPLANNED, "--recovery-point", "point-1"]
    result = run(*words, "--dry-run", both=True)
    command = "openstack dr failover prod-web-app --unplanned --recovery-point point-1"
    assert f"To start it: {command}\n" in result.out
    assert run(*words, "--yes", both=True).code == 0
    asked = [body["failover"]["recovery_point"] for body in clouds.bodies("POST", url)]
    assert asked == ["point-1"] * 3


def test_a_dry_run_says_with_all_its_options_what_starts_the_move(clouds, run):
    planned(clouds, "failback", retain_source_volumes=True)
    options = ["--retain-source-volumes", "--flavor-mapping", f"{NET_A}={NET_B}"]
    result = run("dr", "failback", "prod-web-app", "--dry-run", *options)
    command = f"openstack dr failback prod-web-app {' '.join(options)}"
    assert result.out.endswith(f"To start it: {command}\n")


def test_a_dry_run_that_is_refused(clouds, run):
    text = "Protection group 'prod-web-app' is OUT OF SYNC."
    clouds.mock.post(
        clouds.url(ACTION), status_code=409, json=fault("conflictingRequest", 409, text)
    )
    result = run("dr", "failback", "prod-web-app", "--dry-run")
    assert result == type(result)(1, "", f"{text} (HTTP 409)\n")
