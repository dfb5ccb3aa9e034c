# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64

import pytest
import requests

from tests.conftest import GROUP_ID, PROJECT, fault

NET_A, NET_B = "aaaaaaaa-0000-4000-8000-000000000001", "bbbbbbbb-0000-4000-8000-000000000002"
SERVER = "cccccccc-0000-4000-8000-000000000003"

GROUP = {
    "id": GROUP_ID,
    "name": "prod-web-app",
    "description": None,
    "project_id": PROJECT["a"],
    "primary_site": "site-a",
    "secondary_site": "site-b",
    "current_primary_site": "site-a",
    "status": "active",
    "replication_type": "async",
    "network_mapping": {NET_A: NET_B},
    "flavor_mapping": {},
    "member_count": 2,
    "version": 7,
    "sync_status": "IN SYNC",
    "last_replication_at": None,
}

CREATE = [
    *["dr", "protection-group", "create", "prod-web-app", "--primary-site", "site-a"],
    *["--secondary-site", "site-b", "--volume-type", "gold"],
]

ONE = "protection-groups/prod-web-app"


def creating(clouds):
    url = clouds.url("protection-groups")
    clouds.mock.post(url, status_code=201, json={"protection_group": GROUP})
    return url


def test_create(clouds, run):
    url = creating(clouds)
    result = run(*CREATE, "--network-mapping", f"{NET_A}={NET_B}", "--description", "the shop")
    assert result.code == 0
    assert f"| network_mapping      | {NET_A}='{NET_B}'" in result.out
    assert clouds.bodies("POST", url) == [
        {
            "protection_group": {
                "name": "prod-web-app",
                "description": "the shop",
                "primary_site": "site-a",
                "secondary_site": "site-b",
                "replication_type": "async",
                "volume_type": "gold",
                "network_mapping": {NET_A: NET_B},
            }
        }
    ]


def networks(clouds, site, identity):
    clouds.mock.get(
        f"http://neutron-{site}:9696/v2.0/networks/web",
        status_code=404,
        json={"NeutronError": {"type": "NetworkNotFound", "message": "no", "detail": ""}},
    )
    found = [{"id": identity, "name": "web"}] if identity else []
    clouds.mock.get(f"http://neutron-{site}:9696/v2.0/networks", json={"networks": found})
    clouds.mock.get(
        f"http://neutron-{site}:9696/",
        json={
            "versions": [
                {
                    "id": "v2.0",
                    "status": "CURRENT",
                    "links": [{"rel": "self", "href": f"http://neutron-{site}:9696/v2.0/"}],
                }
            ]
        },
    )


def test_networks_by_name_are_looked_up_each_on_its_cloud(clouds, run):
    url = creating(clouds)
    networks(clouds, "a", NET_A)
    networks(clouds, "b", NET_B)
    result = run(*CREATE, "--network-mapping", "web=web", both=True)
    assert result.err == ""
    sent = clouds.bodies("POST", url)[0]["protection_group"]
    assert sent["network_mapping"] == {NET_A: NET_B}


def test_a_network_that_is_not_there(clouds, run):
    networks(clouds, "a", None)
    result = run(*CREATE, "--network-mapping", f"web={NET_B}")
    assert result.code == 1
    assert result.err == "No network 'web' on cloud 'site-a'.\n"


def test_a_network_name_of_the_other_cloud_needs_that_cloud(clouds, run):
    result = run(*CREATE, "--network-mapping", f"{NET_A}=web")
    assert result.code == 1
    assert "network 'web' is a name on the other site's cloud" in result.err


def nova_version(clouds):
    base = "http://nova-a:8774/v2.1"
    version = {
        "id": "v2.1",
        "status": "CURRENT",
        "version": "2.96",
        "min_version": "2.1",
        "links": [{"rel": "self", "href": base}],
    }
    clouds.mock.get(base, json={"version": version})


def test_flavors(clouds, run):
    url = creating(clouds)
    nova_version(clouds)
    clouds.mock.get("http://nova-a:8774/v2.1/flavors/small", json={"flavor": {"id": "1"}})
    result = run(*CREATE, "--flavor-mapping", "small=any.thing")
    assert result.err == ""
    sent = clouds.bodies("POST", url)[0]["protection_group"]
    assert sent["flavor_mapping"] == {"1": "any.thing"}


def test_qos_policies_are_mapped_by_name_or_id(clouds, run):
    url = creating(clouds)
    words = ["--qos-policy-mapping", "gold=silver", "--qos-policy-mapping", f"{NET_A}={NET_B}"]
    assert run(*CREATE, *words).err == ""
    sent = clouds.bodies("POST", url)[0]["protection_group"]
    assert sent["qos_policy_mapping"] == {"gold": "silver", NET_A: NET_B}
    group = clouds.url(ONE)
    clouds.mock.put(group, json={"protection_group": GROUP})
    assert run("dr", "protection-group", "set", "prod-web-app", *words[:2]).code == 0
    sent = clouds.bodies("PUT", group)[0]["protection_group"]
    assert sent == {"qos_policy_mapping": {"gold": "silver"}}


def test_server_groups_and_volume_types_are_mapped_by_id(clouds, run):
    url = creating(clouds)
    words = ["--server-group-mapping", f"{NET_A}={NET_B}", "--volume-type-mapping", "t1=t2"]
    assert run(*CREATE, *words).err == ""
    sent = clouds.bodies("POST", url)[0]["protection_group"]
    assert sent["server_group_mapping"] == {NET_A: NET_B}
    assert sent["volume_type_mapping"] == {"t1": "t2"}
    group = clouds.url(ONE)
    clouds.mock.put(group, json={"protection_group": GROUP})
    result = run("dr", "protection-group", "set", "prod-web-app", *words[:2])
    assert result.code == 0
    sent = clouds.bodies("PUT", group)[0]["protection_group"]
    assert sent == {"server_group_mapping": {NET_A: NET_B}}


def test_a_refusal_names_field_and_request(clouds, run):
    clouds.mock.post(
        clouds.url("protection-groups"),
        status_code=400,
        json=fault("badRequest", 400, "protection_group.primary_site: no site 'site-x'."),
        headers={"X-OpenStack-Request-ID": "req-9"},
    )
    result = run(*CREATE)
    assert result.code == 1
    assert result.out == ""
    assert result.err == (
        "protection_group.primary_site: no site 'site-x'. (Request-ID: req-9) (HTTP 400)\n"
    )


def test_list(clouds, run):
    clouds.mock.get(clouds.url("protection-groups"), json={"protection_groups": [GROUP]})
    out = run("dr", "protection-group", "list", "--status", "active", "--limit", "5").out
    assert "| prod-web-app | active | site-a       | site-b         |" in out
    assert clouds.mock.last_request.qs == {"status": ["active"], "limit": ["5"]}
    row = run("protector", "protection-group", "list", "--long", "-f", "json").json[0]
    assert row["Sync Status"] == "IN SYNC"
    assert row["Members"] == 2


def test_show(clouds, run):
    clouds.mock.get(clouds.url(ONE), json={"protection_group": GROUP})
    shown = run("dr", "protection-group", "show", "prod-web-app", "-f", "json").json
    assert shown == GROUP


@pytest.mark.parametrize(
    ("status", "command"),
    [
        ("split_brain", "openstack dr fence prod-web-app"),
        ("failed_over_partial", "openstack dr retry prod-web-app"),
    ],
)
def test_show_of_a_group_that_needs_somebody_names_the_command(clouds, run, status, command):
    clouds.mock.get(clouds.url(ONE), json={"protection_group": {**GROUP, "status": status}})
    words = ["dr", "protection-group", "show", "prod-web-app"]
    assert run(*words).err.endswith(f": {command}\n")
    assert run(*words, "-f", "json").err == ""


def test_set(clouds, run):
    clouds.mock.put(clouds.url(ONE), json={"protection_group": GROUP})
    words = ["dr", "protection-group", "set", "prod-web-app", "--name", "shop"]
    assert run(*words, "-f", "json").json == GROUP
    assert clouds.bodies("PUT", clouds.url(ONE)) == [{"protection_group": {"name": "shop"}}]
    assert "If-Match" not in clouds.mock.last_request.headers
    assert "Nothing to change" in run("dr", "protection-group", "set", "prod-web-app").err


def test_delete(clouds, run):
    clouds.mock.delete(
        clouds.url(ONE),
        status_code=409,
        json=fault("conflictingRequest", 409, "Operation op-1 is running."),
    )
    result = run("dr", "protection-group", "delete", "prod-web-app")
    assert result.code == 1
    assert "Operation op-1 is running." in result.err


def test_names_are_escaped_in_paths(clouds, run):
    url = clouds.url("protection-groups/B%C3%BCro%20S%C3%BCd%2F1")
    clouds.mock.get(url, json={"protection_group": GROUP})
    assert run("dr", "protection-group", "show", "Büro Süd/1").code == 0
    assert clouds.mock.last_request.url == url


SYNC = {
    "status": "IN SYNC",
    "sites": [
        {"site": "site-a", "version": 7, "local": True},
        {"site": "site-b", "version": 7},
    ],
    "last_push": {"at": "2025-11-03T14:00:00Z", "result": "OK", "error": None},
}


def test_sync_status(clouds, run):
    clouds.mock.get(clouds.url(f"{ONE}/sync-status"), json={"sync_status": SYNC})
    words = ["protector", "protection-group", "sync-status", "prod-web-app"]
    assert run(*words).out == (
        "Sync Status: IN SYNC\n"
        "site-a: metadata version 7 (this site)\n"
        "site-b: metadata version 7\n"
        "Last push: OK at 2025-11-03T14:00:00Z\n"
    )
    assert run(*words, "-f", "json").json == SYNC


def test_sync_force_without_the_peer(clouds, run):
    lost = {
        "status": "UNREACHABLE",
        "sites": [{"site": "site-a", "version": 8, "local": True}, {"site": "site-b"}],
        "last_push": {"at": "2025-11-03T14:00:00Z", "result": "FAILED", "error": "timed out"},
    }
    clouds.mock.post(clouds.url(f"{ONE}/sync-force"), status_code=202, json={"sync_status": lost})
    result = run("dr", "protection-group", "sync-force", "prod-web-app")
    assert result.code == 1
    assert result.out.splitlines() == [
        "Sync Status: UNREACHABLE",
        "site-a: metadata version 8 (this site)",
        "site-b: version unknown",
        "Last push: FAILED at 2025-11-03T14:00:00Z: timed out",
    ]


CONFLICT = {
    **SYNC,
    "status": "OUT OF SYNC",
    "differs": ["member web-1: only on site-a", "description"],
    "conflict": {
        "local": {"version": 8, "digest": "aa", "changed_at": "2025-11-03T14:00:00Z"},
        "remote": {"version": 9, "digest": "bb", "changed_at": "2025-11-03T14:05:00Z"},
        "detected_at": "2025-11-03T14:06:00Z",
    },
}


def test_a_conflict_says_who_changed_what_and_how_it_ends(clouds, run):
    clouds.mock.get(clouds.url(f"{ONE}/sync-status"), json={"sync_status": CONFLICT})
    words = ["dr", "protection-group", "sync-status", "prod-web-app"]
    result = run(*words)
    assert result.out.splitlines()[4:] == [
        "Differs: member web-1: only on site-a",
        "Differs: description",
        "Conflict: both sites changed the group, found at 2025-11-03T14:06:00Z.",
        "  site-a: version 8, changed at 2025-11-03T14:00:00Z",
        "  site-b: version 9, changed at 2025-11-03T14:05:00Z",
    ]
    assert result.err == (
        "Nothing starts and nothing can be changed until one site's view counts.\n"
        "To keep the one of site-a and lose the other: openstack --os-cloud site-a dr "
        "protection-group sync-force prod-web-app\n"
        "To keep the one of site-b and lose the other: openstack --os-cloud site-b dr "
        "protection-group sync-force prod-web-app\n"
    )
    as_json = run(*words, "-f", "json")
    assert (as_json.json, as_json.err) == (CONFLICT, "")


def test_out_of_sync_names_the_remedy(clouds, run):
    behind = {**SYNC, "status": "OUT OF SYNC", "differs": ["network_mapping"], "conflict": None}
    clouds.mock.get(clouds.url(f"{ONE}/sync-status"), json={"sync_status": behind})
    result = run("dr", "protection-group", "sync-status", "prod-web-app")
    assert result.out.splitlines()[-1] == "Differs: network_mapping"
    assert result.err == (
        "To push this site's view: openstack dr protection-group sync-force prod-web-app\n"
    )


def test_sync_force_that_is_refused(clouds, run):
    text = "Operation op-1 moves the group on site-b."
    clouds.mock.post(
        clouds.url(f"{ONE}/sync-force"), status_code=409, json=fault("conflict", 409, text)
    )
    result = run("dr", "protection-group", "sync-force", "prod-web-app")
    assert result == type(result)(1, "", f"{text} (HTTP 409)\n")


def test_fidelity(clouds, run):
    url = creating(clouds)
    assert run(*CREATE, "--fidelity", "strict").code == 0
    assert clouds.bodies("POST", url)[0]["protection_group"]["fidelity"] == "strict"
    clouds.mock.put(clouds.url(ONE), json={"protection_group": {**GROUP, "fidelity": "told"}})
    result = run("dr", "protection-group", "set", "prod-web-app", "--fidelity", "told")
    assert clouds.bodies("PUT", clouds.url(ONE)) == [{"protection_group": {"fidelity": "told"}}]
    assert "| fidelity " in result.out


def test_priority(clouds, run):
    url = creating(clouds)
    assert run(*CREATE, "--priority", "1").code == 0
    assert clouds.bodies("POST", url)[0]["protection_group"]["priority"] == 1
    clouds.mock.put(clouds.url(ONE), json={"protection_group": GROUP})
    assert run("dr", "protection-group", "set", "prod-web-app", "--priority", "5").code == 0
    assert clouds.bodies("PUT", clouds.url(ONE)) == [{"protection_group": {"priority": 5}}]
    clouds.mock.get(clouds.url("protection-groups"), json={"protection_groups": [GROUP]})
    words = ["dr", "protection-group", "list", "--sort", "priority", "--long", "-f", "json"]
    assert "Priority" in run(*words).json[0]
    assert clouds.mock.last_request.qs == {"sort_key": ["priority"]}
    run("dr", "protection-group", "list", "--sort", "updated_at:desc", "--limit", "2")
    assert clouds.mock.last_request.qs == {
        "sort_key": ["updated_at"],
        "sort_dir": ["desc"],
        "limit": ["2"],
    }


def test_an_order_that_is_none_names_those_that_there_are(clouds, run):
    words = ["dr", "protection-group", "list", "--sort"]
    assert (
        "argument --sort: 'size' is no key; give name, status, priority, created_at or updated_at"
        in run(*words, "size").err
    )
    assert "argument --sort: 'down' is no direction; give asc or desc" in (
        run(*words, "name:down").err
    )
    assert run(*words, "name:").code == 2
    assert clouds.mock.request_history == []


MEMBER = {
    "id": "dddddddd-0000-4000-8000-000000000004",
    "name": "web-server-1",
    "server_id": SERVER,
    "status": "protected",
    "flavor": {"id": "1", "name": "m1.small", "vcpus": 1, "ram": 2048},
    "networks": [{"network_id": NET_A, "fixed_ips": ["10.0.0.5"]}],
    "volumes": [{"id": "v1", "name": "vol-boot-ws1", "size": 10, "device": "/dev/vda"}],
}


def nova(clouds, *servers):
    nova_version(clouds)
    base = "http://nova-a:8774/v2.1/servers"
    clouds.mock.get(f"{base}/web-server-1", status_code=404, json={"itemNotFound": {"code": 404}})
    clouds.mock.get(base, json={"servers": list(servers)})
    clouds.mock.get(f"{base}/detail", json={"servers": list(servers)})


def test_member_add_by_name_and_by_id(clouds, run):
    nova(clouds, {"id": SERVER, "name": "web-server-1"})
    clouds.mock.post(clouds.url(f"{ONE}/members"), status_code=201, json={"member": MEMBER})
    result = run("dr", "member", "add", "prod-web-app", "web-server-1", NET_A)
    assert result.err == ""
    assert "| web-server-1 | cccccccc-0000-4000-8000-000000000003 | protected |" in result.out
    assert clouds.bodies("POST", clouds.url(f"{ONE}/members")) == [
        {"member": {"server_id": SERVER}},
        {"member": {"server_id": NET_A}},
    ]


def test_a_nova_that_is_down_is_named(clouds, run):
    nova_version(clouds)
    clouds.mock.get(
        "http://nova-a:8774/v2.1/servers/web-server-1",
        exc=requests.exceptions.ConnectionError("Connection refused"),
    )
    result = run("dr", "member", "add", "prod-web-app", "web-server-1")
    assert result.code == 1
    assert result.err.startswith("server 'web-server-1' could not be looked up on cloud 'site-a': ")


@pytest.mark.parametrize(
    ("servers", "complaint"),
    [
        ([], "No server 'web-server-1' on cloud 'site-a'."),
        (
            [{"id": "1", "name": "web-server-1"}, {"id": "2", "name": "web-server-1"}],
            "More than one server on cloud 'site-a' is named 'web-server-1': give its id.",
        ),
    ],
)
def test_member_add_of_an_unclear_name_adds_nothing(clouds, run, servers, complaint):
    nova(clouds, *servers)
    result = run("dr", "member", "add", "prod-web-app", SERVER, "web-server-1")
    assert result.code == 1
    assert result.err == complaint + "\n"
    assert clouds.bodies("POST", clouds.url(f"{ONE}/members")) == []


def test_member_add_says_how_far_it_came(clouds, run):
    clouds.mock.post(
        clouds.url(f"{ONE}/members"),
        [
            {"status_code": 201, "json": {"member": MEMBER}},
            {"status_code": 400, "json": fault("badRequest", 400, "volume x is not eligible")},
        ],
    )
    result = run("dr", "member", "add", "prod-web-app", SERVER, NET_A)
    assert result.code == 1
    assert result.err == (
        f"Server '{NET_A}' was not added: volume x is not eligible (HTTP 400). "
        "Added before it: web-server-1\n"
    )


def test_member_add_says_what_does_not_come_along(clouds, run):
    warning = "server web-server-1 has a swap disk of 512 MiB: what is on it stays behind."
    member = {**MEMBER, "warnings": [warning]}
    clouds.mock.post(clouds.url(f"{ONE}/members"), status_code=201, json={"member": member})
    result = run("dr", "member", "add", "prod-web-app", SERVER)
    assert result.code == 0
    assert result.err == f"Warning: {warning}\n"
    assert "| web-server-1 |" in result.out


def test_member_add_with_user_data(clouds, run, tmp_path):
    script = tmp_path / "boot.sh"
    script.write_bytes(b"#!/bin/sh\n")
    clouds.mock.post(clouds.url(f"{ONE}/members"), status_code=201, json={"member": MEMBER})
    words = ["dr", "member", "add", "prod-web-app", SERVER, "--user-data"]
    assert run(*words, str(script)).code == 0
    sent = clouds.bodies("POST", clouds.url(f"{ONE}/members"))[0]["member"]["user_data"]
    assert base64.b64decode(sent) == b"#!/bin/sh\n"
    assert "No such file" in run(*words, str(tmp_path / "none")).err


def test_member_set_changes_one_entry_of_the_recovery_plan(clouds, run):
    plan = {"members": {"db": {"priority": 1}}, "pauses": [], "hooks": []}
    clouds.mock.get(clouds.url(f"{ONE}/members/web-server-1"), json={"member": MEMBER})
    clouds.mock.get(clouds.url(ONE), json={"protection_group": {**GROUP, "version": 7}})
    url = clouds.url(f"{ONE}/recovery-plan")
    clouds.mock.get(url, json={"recovery_plan": plan})
    clouds.mock.put(url, json={"recovery_plan": plan})
    words = ["dr", "member", "set", "prod-web-app", "web-server-1", "--user-data"]
    assert run(*words, "omit").code == 0
    assert clouds.mock.last_request.headers["If-Match"] == '"7"'
    sent = clouds.bodies("PUT", url)[0]["recovery_plan"]["members"]
    assert sent == {"db": {"priority": 1}, "web-server-1": {"user_data": "omit"}}


def test_member_list_show_remove(clouds, run):
    clouds.mock.get(clouds.url(f"{ONE}/members"), json={"members": [MEMBER]})
    one = clouds.url(f"{ONE}/members/web-server-1")
    clouds.mock.get(one, json={"member": MEMBER})
    clouds.mock.delete(one, status_code=204)
    row = run("dr", "member", "list", "prod-web-app", "-f", "json").json[0]
    assert clouds.mock.last_request.qs == {}
    run("dr", "member", "list", "prod-web-app", "--sort", "status", "--limit", "1", "--marker", "m")
    assert clouds.mock.last_request.qs == {
        "sort_key": ["status"],
        "limit": ["1"],
        "marker": ["m"],
    }
    assert row["Volumes"] == ["vol-boot-ws1"]
    assert row["Flavor"] == "m1.small"
    shown = run("dr", "member", "show", "prod-web-app", "web-server-1", "-f", "json").json
    assert shown == MEMBER
    assert "10.0.0.5" in run("dr", "member", "show", "prod-web-app", "web-server-1").out
    assert run("dr", "member", "remove", "prod-web-app", "web-server-1").code == 0
    assert clouds.mock.last_request.qs == {}
    words = ["prod-web-app", "web-server-1", "--give-up"]
    assert run("dr", "member", "remove", *words).code == 0
    assert clouds.mock.last_request.qs == {"give_up": ["true"]}


def compared(field, recorded, now, copy, outcome, why=None):
    return {
        "field": field,
        "recorded": recorded,
        "now": now,
        "copy": copy,
        "outcome": outcome,
        "why": why,
    }


COMPARISON = {
    "name": "web-server-1",
    "source_site": "site-a",
    "target_site": "site-b",
    "attributes": [
        compared("name", "web-server-1", "shop", "shop", "kept", "changed since it was recorded"),
        compared("tags", "none", "none", "none", "kept"),
        compared("card 1 network", "net-a", "net-a", "net-b", "changed", "by mapping"),
        compared("floating IP", None, "203.0.113.7", None, "lost", "it belongs to its site"),
    ],
}


def test_member_show_compares(clouds, run):
    url = clouds.url(f"{ONE}/members/web-server-1/comparison")
    clouds.mock.get(url, json={"comparison": COMPARISON})
    words = ["dr", "member", "show", "prod-web-app", "web-server-1", "--compare"]
    table = run(*words).out
    heads = [head.strip() for head in table.splitlines()[1].strip("|").split("|")]
    assert heads == ["Field", "Recorded", "Now", "Copy", "Why"]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert ["tags", "none", "none", "none", "kept"] in cells
    assert ["card 1 network", "net-a", "net-a", "net-b", "changed: by mapping"] in cells
    assert run(*words, "-f", "json").json[3] == {
        "Field": "floating IP",
        "Recorded": None,
        "Now": "203.0.113.7",
        "Copy": None,
        "Why": "lost: it belongs to its site",
    }
    some = run(*words, "-c", "Field", "-c", "Why", "-f", "json").json
    assert some[1] == {"Field": "tags", "Why": "kept"}
    refused = run(*words, "-f", "shell")
    assert (refused.code, "give -f json" in refused.err) == (1, True)


POLICY = {
    "primary_fa_url": "https://fa-a",
    "secondary_fa_url": "mock://array-b",
    "primary_fa_api_token": "***",
    "secondary_fa_api_token": None,
    "rpo_minutes": 15,
}


def test_policy_create(clouds, run, monkeypatch):
    monkeypatch.setattr("protectorclient.osc.arguments.getpass.getpass", lambda _prompt: "typed")
    url = clouds.url(f"{ONE}/policy")
    clouds.mock.post(url, status_code=201, json={"policy": POLICY})
    result = run(
        *["dr", "policy", "create", "prod-web-app", "--primary-fa-url", "https://fa-a"],
        *["--secondary-array", "mock://array-b", "--rpo-minutes", "15"],
        *["--primary-fa-api-token", "-"],
    )
    assert "| primary_fa_api_token   | ***  " in result.out
    assert clouds.bodies("POST", url) == [
        {
            "policy": {
                "primary_array": "https://fa-a",
                "secondary_array": "mock://array-b",
                "primary_fa_api_token": "typed",
                "rpo_minutes": 15,
            }
        }
    ]


@pytest.mark.parametrize("words", [["policy", "show"], ["protection-group", "policy-show"]])
def test_policy_show(clouds, run, words):
    clouds.mock.get(clouds.url(f"{ONE}/policy"), json={"policy": POLICY})
    assert run("protector", *words, "prod-web-app", "-f", "json").json == POLICY


def test_policy_show_says_what_the_arrays_can_do(clouds, run):
    capabilities = {
        "driver": "CephRbdDriver",
        "promotion": "in_place",
        "fences_source": True,
        "names_follow": False,
        "notes": ["each write is sent twice", "a boot volume is copied whole"],
    }
    policy = {**POLICY, "capabilities": capabilities}
    clouds.mock.get(clouds.url(f"{ONE}/policy"), json={"policy": policy})
    words = ["dr", "policy", "show", "prod-web-app"]
    assert run(*words, "-f", "json").json == policy
    table = run(*words, "--max-width", "0").out
    for line in (
        "| capabilities           | driver: CephRbdDriver",
        "|                        | fences_source: yes",
        "|                        | names_follow: no",
        "|                        | a boot volume is copied whole",
    ):
        assert line in table


POINTS = [
    {
        "id": "point-2",
        "taken_at": "2026-01-02T03:04:05Z",
        "age_seconds": 60,
        "consistency": "group_when_quiet",
        "for_failover": True,
        "array": "ceph-b",
    },
    {
        "id": "point-1",
        "taken_at": "2026-01-02T02:04:05Z",
        "age_seconds": 3660,
        "consistency": "group_when_quiet",
        "for_failover": False,
        "array": "ceph-b",
    },
]


def test_recovery_point_list(clouds, run):
    clouds.mock.get(clouds.url(f"{ONE}/recovery-points"), json={"recovery_points": POINTS})
    words = ["dr", "recovery-point", "list", "prod-web-app"]
    table = run(*words, "--max-width", "0").out
    assert "| ID      | Taken At             | Age " in table
    assert "| point-1 | 2026-01-02T02:04:05Z | 3660 (1 h 1 min)" in table
    assert run(*words, "-f", "json").json[0] == {
        "ID": "point-2",
        "Taken At": "2026-01-02T03:04:05Z",
        "Age": 60,
        "Consistency": "group_when_quiet",
        "For Failover": True,
        "Array": "ceph-b",
    }


def test_policy_set_and_delete(clouds, run):
    url = clouds.url(f"{ONE}/policy")
    clouds.mock.put(url, json={"policy": POLICY})
    clouds.mock.delete(url, status_code=204)
    words = ["dr", "policy", "set", "prod-web-app", "--rpo-minutes", "30", "-f", "json"]
    assert run(*words).json == POLICY
    assert clouds.bodies("PUT", url) == [{"policy": {"rpo_minutes": 30}}]
    assert "Nothing to change" in run("dr", "policy", "set", "prod-web-app").err
    assert run("dr", "policy", "delete", "prod-web-app").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["protection-group", "create", "x"],
        [*CREATE[1:], "--replication-type", "magic"],
        [*CREATE[1:], "--flavor-mapping", "small"],
        [*CREATE[1:], "--priority", "6"],
        ["protection-group", "set", "prod-web-app", "--priority", "high"],
        [*CREATE[1:], "--fidelity", "loose"],
        ["protection-group", "list", "--status", "dead"],
        ["policy", "set", "prod-web-app", "--rpo-minutes", "0"],
        ["recovery-point", "list"],
        ["member", "add", "prod-web-app"],
        ["protection-group", "sync-status"],
    ],
)
def test_wrong_arguments(clouds, run, words):
    assert run("dr", *words).code == 2
