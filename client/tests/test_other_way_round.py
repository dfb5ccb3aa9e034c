# SPDX-License-Identifier: Apache-2.0
"""Commands sent to the site that is not the group's primary one."""

from __future__ import annotations

import pytest

from tests.conftest import fault, operation

GROUP = "protection-groups/prod-web-app"
NET = {
    "a": "aaaaaaaa-0000-4000-8000-000000000001",
    "b": "bbbbbbbb-0000-4000-8000-000000000002",
}
TEST = "op-7a3f2c11-0009-4b22-a918-000000000009"


def networks(clouds, **names):
    """One network on each site, under these names."""
    for site, name in names.items():
        base = f"http://neutron-{site}:9696"
        version = {
            "id": "v2.0",
            "status": "CURRENT",
            "links": [{"rel": "self", "href": f"{base}/v2.0/"}],
        }
        clouds.mock.get(base, json={"versions": [version]})
        clouds.mock.get(f"{base}/", json={"versions": [version]})
        clouds.mock.get(f"{base}/v2.0/networks/{name}", status_code=404, json={})
        clouds.mock.get(
            f"{base}/v2.0/networks", json={"networks": [{"id": NET[site], "name": name}]}
        )


def known(clouds):
    group = {"name": "prod-web-app", "primary_site": "site-a", "secondary_site": "site-b"}
    for site in ("a", "b"):
        clouds.mock.get(clouds.url(GROUP, site), json={"protection_group": group})


def started(clouds, site, kind):
    record = operation(operation_type=kind, status="running", progress=0, home_site=f"site-{site}")
    clouds.mock.post(
        clouds.url(f"{GROUP}/action", site), status_code=202, json={"operation": record}
    )


@pytest.mark.parametrize(
    ("command", "kind"),
    [("failover", "failover"), ("failback", "failback"), ("test-failover", "test_failover")],
)
@pytest.mark.parametrize("site", ["a", "b"])
def test_names_are_looked_up_on_the_groups_sites(clouds, run, monkeypatch, command, kind, site):
    monkeypatch.setenv("OS_CLOUD", "site-a")
    monkeypatch.setenv("OS_SECONDARY_CLOUD", "site-b")
    networks(clouds, a="prod", b="standby")
    known(clouds)
    started(clouds, site, kind)
    words = [command, "prod-web-app", "--network-mapping", "prod=standby"]
    result = run("--os-cloud", f"site-{site}", "dr", *words)
    assert (result.code, result.err) == (0, "")
    (body,) = clouds.bodies("POST", clouds.url(f"{GROUP}/action", site))
    assert body[kind]["network_mapping"] == {NET["a"]: NET["b"]}


def test_a_name_on_a_primary_site_without_a_cloud_is_refused(clouds, run, monkeypatch):
    monkeypatch.setenv("OS_CLOUD", "site-b")
    known(clouds)
    result = run("dr", "failback", "prod-web-app", "--network-mapping", "prod=standby")
    assert result.code == 1
    assert "name its cloud with --secondary-cloud" in result.err


@pytest.mark.parametrize(
    "words",
    [
        ["test-cleanup", "prod-web-app"],
        ["protection-group", "action", "prod-web-app", "--action", "test-cleanup"],
    ],
)
def test_a_test_cleanup_goes_to_the_home_of_the_test(clouds, run, words):
    test = operation(id=TEST, operation_type="test_failover", home_site="site-b", status="running")
    for site in ("a", "b"):
        clouds.mock.get(clouds.url(f"operations/{TEST}", site), json={"operation": test})
    started(clouds, "b", "test_cleanup")
    result = run("dr", *words, "--test-operation-id", TEST, both=True)
    assert (result.code, result.err) == (0, "")
    sent = clouds.bodies("POST", clouds.url(f"{GROUP}/action", "b"))
    assert sent == [{"test_cleanup": {"test_operation_id": TEST}}]


SET = ["dr", "protection-group", "set", "prod-web-app", "--network-mapping", "prod=standby"]


def read_at(clouds, version):
    """The group at a version, with networks to look up."""
    networks(clouds, a="prod", b="standby")
    group = {
        "name": "prod-web-app",
        "primary_site": "site-a",
        "secondary_site": "site-b",
        "version": version,
    }
    clouds.mock.get(clouds.url(GROUP), json={"protection_group": group})
    return group


def test_a_mapping_is_set_on_the_group_that_was_read_for_it(clouds, run):
    group = read_at(clouds, 7)
    clouds.mock.put(clouds.url(GROUP), json={"protection_group": group})
    result = run(*SET, both=True)
    assert (result.code, result.err) == (0, "")
    (sent,) = [one for one in clouds.mock.request_history if one.method == "PUT"]
    assert sent.json() == {"protection_group": {"network_mapping": {NET["a"]: NET["b"]}}}
    assert sent.headers["If-Match"] == '"7"'


def test_a_group_that_was_changed_meanwhile_is_not_changed(clouds, run):
    read_at(clouds, 7)
    text = "If-Match: protection group prod-web-app is at version 8, the request is for version 7."
    clouds.mock.put(clouds.url(GROUP), status_code=412, json=fault("preconditionFailed", 412, text))
    result = run(*SET, both=True)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "Protection group 'prod-web-app' was changed by somebody else while its mapping was looked "
        "up. Nothing was changed by this command: look at the group (openstack dr protection-group "
        f"show prod-web-app) and try again. {text} (HTTP 412)\n"
    )
