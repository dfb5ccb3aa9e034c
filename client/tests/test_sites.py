# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from tests.conftest import PROJECT, fault

SITE = {
    "id": "5a1e0000-0000-4000-8000-00000000000a",
    "name": "site-a",
    "description": None,
    "auth_url": "http://keystone-a:5000/v3",
    "region_name": None,
    "interface": "public",
    "username": "protector",
    "status": "active",
    "local": True,
    "key_fingerprint": "SHA256:S7Bvjk46dxXSAdVz0KpCN2LlXavWGiwCJ4+lbMbSlOA",
}

CREATE = [
    "dr",
    "site",
    "create",
    "site-a",
    "--auth-url",
    SITE["auth_url"],
    "--username",
    "protector",
]

CONFLICT = fault("conflictingRequest", 409, "site.name: a site named 'site-a' is there already.")


def test_create_on_both_protectors_under_one_id(clouds, run):
    for site in ("a", "b"):
        clouds.mock.post(clouds.admin("sites", site), status_code=201, json={"site": SITE})
    result = run(*CREATE, "--password", "pw", "-f", "json", both=True)
    assert result.json == SITE
    fields = {
        "name": "site-a",
        "auth_url": SITE["auth_url"],
        "username": "protector",
        "password": "pw",
    }
    assert clouds.bodies("POST", clouds.admin("sites")) == [{"site": fields}]
    assert clouds.bodies("POST", clouds.admin("sites", "b")) == [
        {"site": {"id": SITE["id"], **fields}}
    ]


def test_create_without_another_cloud(clouds, run):
    clouds.mock.post(clouds.admin("sites"), status_code=201, json={"site": SITE})
    out = run(*CREATE, "--password", "pw").out
    assert "| name            | site-a " in out
    assert "pw" not in out


def test_the_password_is_asked_for(clouds, run, monkeypatch):
    monkeypatch.setattr("protectorclient.osc.arguments.getpass.getpass", lambda _prompt: "typed")
    clouds.mock.post(clouds.admin("sites"), status_code=201, json={"site": SITE})
    assert run(*CREATE).code == 0
    assert clouds.bodies("POST", clouds.admin("sites"))[0]["site"]["password"] == "typed"


def test_create_goes_on_where_an_interrupted_run_stopped(clouds, run):
    clouds.mock.post(clouds.admin("sites"), status_code=409, json=CONFLICT)
    clouds.mock.get(clouds.admin("sites/site-a"), json={"site": SITE})
    clouds.mock.post(clouds.admin("sites", "b"), status_code=201, json={"site": SITE})
    result = run(*CREATE, "--password", "pw", both=True)
    assert result.code == 0
    assert "is registered on cloud 'site-a' already" in result.err
    assert clouds.bodies("POST", clouds.admin("sites", "b"))[0]["site"]["id"] == SITE["id"]


def test_another_site_of_that_name_is_a_conflict(clouds, run):
    clouds.mock.post(clouds.admin("sites"), status_code=409, json=CONFLICT)
    other = {**SITE, "auth_url": "http://elsewhere"}
    clouds.mock.get(clouds.admin("sites/site-a"), json={"site": other})
    result = run(*CREATE, "--password", "pw", both=True)
    assert result.code == 1
    assert "there already" in result.err
    assert clouds.bodies("POST", clouds.admin("sites", "b")) == []


def test_half_a_registration_is_said(clouds, run):
    clouds.mock.post(clouds.admin("sites"), status_code=201, json={"site": SITE})
    denied = fault("forbidden", 403, "Policy doesn't allow admin_required to be performed.")
    clouds.mock.post(clouds.admin("sites", "b"), status_code=403, json=denied)
    result = run(*CREATE, "--password", "pw", both=True)
    assert result.code == 1
    assert f"is registered on cloud 'site-a' as {SITE['id']}, but not on cloud 'site-b'" in (
        result.err
    )
    assert "admin_required" in result.err


def test_list(clouds, run):
    clouds.mock.get(clouds.admin("sites"), json={"sites": [SITE]})
    assert "| site-a | active | True  |" in run("dr", "site", "list").out
    assert run("protector", "site", "list", "-f", "json").json[0]["ID"] == SITE["id"]


def test_list_as_one_who_is_no_administrator(clouds, run):
    outline = {name: SITE[name] for name in ("id", "name", "description", "status", "local")}
    clouds.mock.get(clouds.admin("sites"), json={"sites": [outline]})
    assert run("dr", "site", "list", "-f", "json").json[0]["Auth URL"] is None


def test_show(clouds, run):
    clouds.mock.get(clouds.admin("sites/site-a"), json={"site": SITE})
    assert run("dr", "site", "show", "site-a", "-f", "json").json == SITE
    table = run("dr", "site", "show", "site-a").out
    assert f"| key_fingerprint | {SITE['key_fingerprint']} |" in table


def test_set(clouds, run):
    for site in ("a", "b"):
        clouds.mock.put(clouds.admin("sites/site-a", site), json={"site": SITE})
    words = ["dr", "site", "set", "site-a", "--description", "north", "-f", "json"]
    assert run(*words, both=True).json == SITE
    for site in ("a", "b"):
        sent = clouds.bodies("PUT", clouds.admin("sites/site-a", site))
        assert sent == [{"site": {"description": "north"}}]
    assert "Nothing to change" in run("dr", "site", "set", "site-a").err


def test_the_key_of_a_site_is_pinned_where_it_is_asked_for(clouds, run):
    clouds.mock.put(clouds.admin("sites/site-a"), json={"site": SITE})
    key = SITE["key_fingerprint"]
    words = ["dr", "site", "set", "site-a"]
    assert run(*words, "--peer-key", key, both=True).code == 0
    assert run(*words, "--forget-peer-key", both=True).code == 0
    assert clouds.bodies("PUT", clouds.admin("sites/site-a")) == [
        {"site": {"peer_key": key}},
        {"site": {"peer_key": None}},
    ]
    assert clouds.bodies("PUT", clouds.admin("sites/site-a", "b")) == []
    refused = run(*words, "--peer-key", key, "--description", "north")
    assert "go alone" in refused.err
    assert run(*words, "--peer-key", key, "--forget-peer-key").code == 2


def test_a_change_that_needs_the_password_says_how_to_give_it(clouds, run):
    why = "site.password: is needed; give it anew, with 'openstack dr site set --password -'."
    path = clouds.admin("sites/site-a")
    clouds.mock.put(path, status_code=400, json=fault("badRequest", 400, why))
    result = run("dr", "site", "set", "site-a", "--auth-url", "https://elsewhere")
    assert result.code == 1
    assert "with 'openstack dr site set --password -'" in result.err


def test_half_a_change_of_a_registration_is_said(clouds, run):
    clouds.mock.put(clouds.admin("sites/site-a"), json={"site": SITE})
    clouds.mock.put(clouds.admin("sites/site-a", "b"), status_code=500, text="boom")
    result = run("dr", "site", "set", "site-a", "--description", "north", both=True)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "Site 'site-a' is changed on cloud 'site-a', but not on cloud 'site-b': boom (HTTP 500). "
        "Run the same command again when that is mended.\n"
    )


def test_delete(clouds, run):
    clouds.mock.delete(clouds.admin("sites/site-a"), status_code=204)
    for site in ("a", "b"):
        clouds.mock.delete(
            clouds.admin("sites/gone", site),
            status_code=404,
            json=fault("itemNotFound", 404, "No site."),
        )
    clouds.mock.delete(
        clouds.admin("sites/site-a", "b"), status_code=404, json=fault("itemNotFound", 404, "No.")
    )
    result = run("dr", "site", "delete", "gone", "site-a", both=True)
    assert result.code == 1
    assert "Failed to delete 'gone': No site. (HTTP 404)" in result.err
    assert "Cloud 'site-b' had no site 'site-a'." in result.err
    assert "1 of 2 failed to delete." in result.err


@pytest.mark.parametrize(
    ("words", "path", "noun"),
    [
        (["site", "delete", "x"], "sites/x", "site"),
        (["tenant", "mapping", "delete", "x"], "tenant-mappings/x", "mapping"),
    ],
)
def test_a_deletion_that_got_half_way_can_be_repeated(clouds, run, words, path, noun):
    there = [{"status_code": 503, "text": "down"}, {"status_code": 204}]
    missing = {"status_code": 404, "json": fault("itemNotFound", 404, "None.")}
    clouds.mock.delete(clouds.admin(path), [{"status_code": 204}, missing])
    clouds.mock.delete(clouds.admin(path, "b"), there)
    first = run("dr", *words, both=True)
    assert (first.code, first.err.splitlines()[0]) == (1, "Failed to delete 'x': down (HTTP 503)")
    second = run("dr", *words, both=True)
    assert (second.code, second.err) == (0, f"Cloud 'site-a' had no {noun} 'x'.\n")


@pytest.mark.parametrize(("valid", "code"), [(True, 0), (False, 1)])
def test_validate(clouds, run, valid, code):
    checks = [
        {"name": "keystone", "ok": True, "detail": "signed in", "fix": None},
        {"name": "compute", "ok": valid, "detail": "2.96", "fix": None if valid else "Open 8774."},
    ]
    clouds.mock.post(
        clouds.admin("sites/site-a/validate"),
        json={"validation": {"site": "site-a", "valid": valid, "checks": checks}},
    )
    result = run("dr", "site", "validate", "site-a")
    assert result.code == code
    assert "| keystone | True" in result.out
    assert ("| Open 8774. |" in result.out) is not valid
    rows = run("dr", "site", "validate", "site-a", "-f", "json").json
    assert [row["Fix"] for row in rows] == [None, checks[1]["fix"]]


def test_list_volume_types(clouds, run):
    kinds = [
        {"id": "1", "name": "gold", "replication_type": "async", "eligible": True, "reason": None},
        {
            "id": "2",
            "name": "plain",
            "replication_type": None,
            "eligible": False,
            "reason": "not replicated",
        },
    ]
    clouds.mock.get(clouds.admin("sites/site-a/volume-types"), json={"volume_types": kinds})
    words = ["dr", "site", "list-volume-types", "site-a", "-f", "json"]
    assert [kind["Reason"] for kind in run(*words).json] == [None, "not replicated"]
    assert clouds.mock.last_request.qs == {}
    clouds.mock.get(
        clouds.admin("sites/site-a/volume-types") + "?eligible=true",
        json={"volume_types": kinds[:1]},
    )
    options = ["--eligible", "--sort", "name:desc", "--limit", "5", "--marker", "0"]
    assert [kind["Name"] for kind in run(*words, *options).json] == ["gold"]
    assert clouds.mock.last_request.qs == {
        "eligible": ["true"],
        "sort_dir": ["desc"],
        "limit": ["5"],
        "marker": ["0"],
    }


def test_list_of_more_sites_than_a_page_has(clouds, run):
    url = clouds.admin("sites")
    more = {"sites": [SITE], "sites_links": [{"rel": "next", "href": "x"}]}
    clouds.mock.get(url, json=more)
    clouds.mock.get(f"{url}?marker={SITE['id']}", json={"sites": [{**SITE, "id": "2"}]})
    rows = run("dr", "site", "list", "--sort", "status:desc", "-f", "json").json
    assert [row["ID"] for row in rows] == [SITE["id"], "2"]
    assert clouds.mock.last_request.qs == {
        "sort_key": ["status"],
        "sort_dir": ["desc"],
        "marker": [SITE["id"]],
    }


MAPPING = {
    "id": "7a000000-0000-4000-8000-000000000001",
    "primary_site": "site-a",
    "primary_project_id": PROJECT["a"],
    "secondary_site": "site-b",
    "secondary_project_id": PROJECT["b"],
}


def mapping_words(primary, secondary):
    return [
        *["dr", "tenant", "mapping", "create", "--primary-site", "site-a"],
        *["--primary-project", primary, "--secondary-site", "site-b"],
        *["--secondary-project", secondary, "-f", "json"],
    ]


def test_tenant_mapping_is_made_on_both_protectors(clouds, run):
    url = "tenant-mappings"
    for site in ("a", "b"):
        clouds.mock.post(clouds.admin(url, site), status_code=201, json={"tenant_mapping": MAPPING})
    assert run(*mapping_words(PROJECT["a"], PROJECT["b"]), both=True).json == MAPPING
    fields = {name: value for name, value in MAPPING.items() if name != "id"}
    assert clouds.bodies("POST", clouds.admin(url)) == [{"tenant_mapping": fields}]
    assert clouds.bodies("POST", clouds.admin(url, "b")) == [{"tenant_mapping": MAPPING}]


def test_tenant_mapping_by_projects_names(clouds, run):
    for site in ("a", "b"):
        found = {"project": {"id": PROJECT[site], "name": "web"}}
        clouds.mock.get(f"http://keystone-{site}:5000/v3/projects/web", json=found)
        clouds.mock.post(
            clouds.admin("tenant-mappings", site),
            status_code=201,
            json={"tenant_mapping": MAPPING},
        )
    assert run(*mapping_words("web", "web"), both=True).code == 0
    sent = clouds.bodies("POST", clouds.admin("tenant-mappings"))[0]["tenant_mapping"]
    assert sent["primary_project_id"] == PROJECT["a"]
    assert sent["secondary_project_id"] == PROJECT["b"]


def test_a_name_on_the_other_cloud_needs_that_cloud(clouds, run):
    result = run(*mapping_words(PROJECT["a"], "web"))
    assert result.code == 1
    assert "project 'web' is a name on the other site's cloud" in result.err
    assert "--secondary-cloud" in result.err


def test_half_a_mapping_is_said(clouds, run):
    clouds.mock.post(
        clouds.admin("tenant-mappings"), status_code=201, json={"tenant_mapping": MAPPING}
    )
    clouds.mock.post(clouds.admin("tenant-mappings", "b"), status_code=500, text="boom")
    result = run(*mapping_words(PROJECT["a"], PROJECT["b"]), both=True)
    assert result.code == 1
    assert "but not on cloud 'site-b': boom (HTTP 500)" in result.err


def test_tenant_mapping_list_show_delete(clouds, run):
    clouds.mock.get(clouds.admin("tenant-mappings"), json={"tenant_mappings": [MAPPING]})
    one = clouds.admin(f"tenant-mappings/{MAPPING['id']}")
    clouds.mock.get(one, json={"tenant_mapping": MAPPING})
    clouds.mock.delete(one, status_code=204)
    assert PROJECT["b"] in run("dr", "tenant", "mapping", "list").out
    run("dr", "tenant", "mapping", "list", "--sort", "created_at:desc", "--limit", "3")
    assert clouds.mock.last_request.qs == {"sort_dir": ["desc"], "limit": ["3"]}
    shown = run("protector", "tenant", "mapping", "show", MAPPING["id"], "-f", "json")
    assert shown.json == MAPPING
    assert run("dr", "tenant", "mapping", "delete", MAPPING["id"]).code == 0
    assert clouds.mock.last_request.qs == {}


def test_deleting_a_tenant_mapping_with_its_roles(clouds, run):
    for site in ("a", "b"):
        one = clouds.admin(f"tenant-mappings/{MAPPING['id']}", site)
        clouds.mock.delete(one, status_code=204)
    words = ["dr", "tenant", "mapping", "delete", MAPPING["id"], "--revoke"]
    assert run(*words, both=True).code == 0
    deletions = [one for one in clouds.mock.request_history if one.method == "DELETE"]
    assert [one.qs for one in deletions] == [{"revoke": ["true"]}] * 2
    needed = "The service user's roles are needed by protection groups prod-web-app."
    clouds.mock.delete(
        clouds.admin(f"tenant-mappings/{MAPPING['id']}"),
        status_code=409,
        json=fault("conflict", 409, needed),
    )
    result = run(*words)
    assert result.code == 1
    assert f"Failed to delete '{MAPPING['id']}': {needed} (HTTP 409)" in result.err


@pytest.mark.parametrize(
    "words",
    [
        ["site", "create", "site-a"],
        ["site", "create", "site-a", "--auth-url", "x", "--username", "y", "--interface", "secret"],
        ["site", "show"],
        ["site", "list", "--sort", "auth_url"],
        ["tenant", "mapping", "list", "--sort", "created_at:up"],
        ["tenant", "mapping", "create", "--primary-site", "site-a"],
    ],
)
def test_wrong_arguments(clouds, run, words):
    assert run("dr", *words).code == 2
