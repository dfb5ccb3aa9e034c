# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import requests

from tests.conftest import PROJECT, PROTECTOR, fault

LIST = ["dr", "protection-group", "list"]
EMPTY = {"protection_groups": []}


@pytest.mark.parametrize(
    "endpoint",
    ["", "/", "/v1", "/v1/", "/v1/" + PROJECT["a"], "/v1/" + PROJECT["a"] + "/"],
)
def test_the_service_may_be_registered_in_three_ways(clouds, run, endpoint):
    clouds.endpoints["a"] = PROTECTOR["a"] + endpoint
    clouds.sign_in("a")
    clouds.mock.get(clouds.url("protection-groups"), json=EMPTY)
    result = run(*LIST)
    assert (result.code, result.err) == (0, "")


def test_a_path_before_the_version_stays(clouds, run):
    clouds.endpoints["a"] = "http://api/dr/v1/" + PROJECT["a"]
    clouds.sign_in("a")
    clouds.mock.get(f"http://api/dr/v1/{PROJECT['a']}/protection-groups", json=EMPTY)
    assert run(*LIST).code == 0


def test_a_cloud_without_the_service(clouds, run):
    clouds.endpoints["a"] = ""
    clouds.sign_in("a")
    result = run(*LIST)
    assert result.code == 1
    assert result.err == (
        "Cloud 'site-a' has no service of type 'protector' in its catalogue. Check "
        "`openstack catalog show protector`, the region and the interface.\n"
    )


def test_connection_refused_is_one_clear_line(clouds, run):
    clouds.mock.get(
        clouds.url("protection-groups"),
        exc=requests.exceptions.ConnectionError(
            "HTTPConnectionPool(host='protector-a', port=8788): Max retries exceeded (Caused by "
            "NewConnectionError('Failed to establish: [Errno 111] Connection refused'))"
        ),
    )
    result = run(*LIST)
    assert result.code == 1
    assert result.err == (
        "Cannot reach protector at http://protector-a:8788 (cloud 'site-a'): Connection refused. "
        "Check that openstack-protector-api runs there. When that site is down, ask the other one: "
        "--os-cloud <its cloud>.\n"
    )


def test_a_dead_keystone_is_one_clear_line(clouds, run):
    clouds.dead("a")
    result = run(*LIST)
    assert result == type(result)(
        1,
        "",
        "Cannot reach Keystone of cloud 'site-a': Connection refused. Check auth_url of 'site-a' "
        "in clouds.yaml. When that site is down, ask the other one: --os-cloud <its cloud>.\n",
    )


def test_a_keystone_without_its_database(clouds, run):
    clouds.mock.post(
        "http://keystone-a:5000/v3/auth/tokens", status_code=503, json=fault("error", 503, "later")
    )
    result = run(*LIST)
    assert result.code == 1
    assert result.err.startswith("Keystone of cloud 'site-a' answered 503: ")
    assert len(result.err.splitlines()) == 1


def test_two_dead_sites(clouds, run):
    clouds.dead("a")
    clouds.dead("b")
    result = run("dr", "operation", "show", "op-1", both=True)
    assert result == type(result)(
        1,
        "",
        "Cannot reach Keystone of cloud 'site-a': Connection refused.\n"
        "Cannot reach Keystone of cloud 'site-b': Connection refused. No cloud is left to ask.\n",
    )


def test_no_call_waits_long_for_a_host_that_is_gone(clouds, run):
    clouds.mock.get(clouds.url("protection-groups"), json=EMPTY)
    run(*LIST)
    assert {request.timeout for request in clouds.mock.request_history} == {(10.0, 120.0)}


def test_refused_credentials(clouds, run):
    clouds.mock.post(
        "http://keystone-a:5000/v3/auth/tokens",
        status_code=401,
        json=fault("error", 401, "The request you have made requires authentication."),
    )
    result = run(*LIST)
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert result.err.startswith("Cloud 'site-a' refused the credentials: ")
    assert result.err.endswith("(HTTP 401). Check them in its entry of clouds.yaml.\n")


def test_a_cloud_that_is_not_configured(clouds, run):
    result = run("--os-cloud", "nowhere", *LIST)
    assert (result.code, result.out) == (1, "")
    assert result.err == "Cloud nowhere was not found.\n"


def test_no_cloud_at_all(clouds, run, monkeypatch):
    monkeypatch.delenv("OS_CLOUD")
    result = run(*LIST)
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith("No credentials: ")
    assert result.err.endswith("Name a cloud of clouds.yaml with --os-cloud (OS_CLOUD).\n")


def test_a_token_without_a_project(clouds, run):
    clouds.mock.post(
        "http://keystone-a:5000/v3/auth/tokens",
        json=clouds.unscoped(),
        headers={"X-Subject-Token": "token-a"},
    )
    result = run(*LIST)
    assert result.code == 1
    assert result.err.startswith("The credentials for cloud 'site-a' are not scoped to a project")


def test_no_answer_in_time(clouds, run):
    clouds.mock.get(clouds.url("protection-groups"), exc=requests.exceptions.ReadTimeout("late"))
    assert run(*LIST).err.startswith("No answer in time from protector at http://protector-a:8788")


def test_broken_tls(clouds, run):
    clouds.mock.get(
        clouds.url("protection-groups"),
        exc=requests.exceptions.SSLError("certificate verify failed: self-signed certificate"),
    )
    assert "certificate verify failed: self-signed certificate" in run(*LIST).err


@pytest.mark.parametrize(
    ("status", "key", "message"),
    [
        (400, "badRequest", "limit: must be at least 1."),
        (403, "forbidden", "The token is for another project."),
        (404, "itemNotFound", "Protection group 'x' could not be found."),
        (409, "conflictingRequest", "Operation op-1 is running."),
        (413, "overLimit", "The body is larger than 114688 bytes."),
        (500, "serviceFault", "The server has either erred or cannot do it."),
        (503, "serviceUnavailable", "The database is away."),
    ],
)
def test_the_servers_words_and_request_id_are_shown(clouds, run, status, key, message):
    clouds.mock.get(
        clouds.url("protection-groups"),
        status_code=status,
        json=fault(key, status, message),
        headers={"X-OpenStack-Request-ID": "req-5"},
    )
    result = run(*LIST)
    assert result.code == 1
    assert result.err == f"{message} (Request-ID: req-5) (HTTP {status})\n"
    assert result.out == ""


def test_an_error_of_something_in_between(clouds, run):
    clouds.mock.get(
        clouds.url("protection-groups"), status_code=502, text="<html>\n Bad  Gateway</html>"
    )
    assert run(*LIST).err == "<html> Bad Gateway</html> (HTTP 502)\n"


def test_an_answer_of_something_else(clouds, run):
    clouds.mock.get(clouds.url("protection-groups"), text="hello")
    assert "is it a protector endpoint?" in run(*LIST).err


def too_new(clouds):
    def answer(request, context):
        if request.headers["OpenStack-API-Version"] == "protector 1.1":
            return EMPTY
        context.status_code = 406
        return fault("notAcceptable", 406, "Version 1.2 is not supported: 1.0 to 1.1 are.")

    clouds.mock.get(clouds.url("protection-groups"), json=answer)
    clouds.mock.get(
        PROTECTOR["a"] + "/",
        status_code=300,
        json={"versions": [{"id": "v1", "version": "1.1", "min_version": "1.0"}]},
    )


def test_an_older_service_is_spoken_to_in_its_version(clouds, run):
    too_new(clouds)
    assert run(*LIST).code == 0


def test_a_version_that_the_user_named_is_not_changed(clouds, run):
    too_new(clouds)
    result = run("--os-protector-api-version", "1.2", *LIST)
    assert result.code == 1
    assert "Version 1.2 is not supported: 1.0 to 1.1 are." in result.err
    assert run("--os-protector-api-version", "1.1", *LIST).code == 0


def test_what_is_no_version(clouds, run):
    result = run("--os-protector-api-version", "two", *LIST)
    assert result.code == 1
    assert "'two' is not a version" in result.err


def test_the_token_is_renewed_when_it_has_expired(clouds, run):
    clouds.mock.get(
        clouds.url("protection-groups"),
        [{"status_code": 401, "json": {"error": {"code": 401, "message": "x"}}}, {"json": EMPTY}],
    )
    assert run(*LIST).code == 0


def test_a_second_cloud_that_is_not_configured(clouds, run):
    result = run("--secondary-cloud", "nowhere", "dr", "operation", "cleanup", "op-1")
    assert result.code == 1
    assert result.err.startswith("--secondary-cloud (OS_SECONDARY_CLOUD) 'nowhere': ")


def test_the_second_cloud_must_be_another(clouds, run):
    result = run("--secondary-cloud", "site-a", *LIST)
    assert result.code == 1
    assert "is the same cloud as --os-cloud" in result.err


def test_turning_to_the_second_cloud_makes_the_first_the_other(clouds, run, monkeypatch):
    monkeypatch.setenv("OS_SECONDARY_CLOUD", "site-b")
    for site in ("a", "b"):
        clouds.mock.get(
            clouds.url("operations/op-1", site), status_code=404, json=fault("x", 404, "No.")
        )
    result = run("--os-cloud", "site-b", "dr", "operation", "show", "op-1")
    assert result.err == (
        "No. (HTTP 404) Asked: cloud 'site-b' (project 22222222222222222222222222222222) and cloud "
        "'site-a' (project 11111111111111111111111111111111).\n"
    )


def test_a_second_keystone_that_is_down(clouds, run):
    clouds.mock.get("http://keystone-b:5000/v3", exc=requests.exceptions.ConnectionError("refused"))
    clouds.mock.post(
        "http://keystone-b:5000/v3/auth/tokens",
        exc=requests.exceptions.ConnectionError("[Errno 111] Connection refused"),
    )
    clouds.mock.get(clouds.url("operations/op-1"), status_code=404, json=fault("x", 404, "No."))
    result = run("dr", "operation", "show", "op-1", both=True)
    assert result.code == 1
    assert "Keystone of cloud 'site-b'" in result.err
    assert "Connection refused" in result.err
