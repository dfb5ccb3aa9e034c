# SPDX-License-Identifier: Apache-2.0
"""A site that takes connections and stays silent, as a real host with a hanging service does."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from keystoneauth1 import fixture

from tests.conftest import PROJECT, operation, preview

PATIENCE = 0.5
"""Seconds for which a site is waited for that nothing depends on."""

SOON = 30.0
"""Seconds within which a command must have answered; a time-out of the silent site is over 100."""


class Site:
    """The Keystone and the protector of a site that answers, on one port."""

    def __init__(self, name, operations=()):
        self.name = name
        self.operations = {one["id"]: one for one in operations}
        self.asked = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self):
                site.answer(self)

            do_GET = do_POST = answer  # noqa: N815

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=lambda: self.server.serve_forever(0.01), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def answer(self, request):
        length = int(request.headers.get("Content-Length") or 0)
        body = json.loads(request.rfile.read(length) or b"null")
        path = request.path.split("?")[0]
        status, record, headers = self.record(request.command, path, body)
        content = json.dumps(record).encode()
        request.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    def record(self, method, path, body):
        token = fixture.V3Token(project_id=PROJECT["b"])
        token.add_service("protector").add_standard_endpoints(public=self.url, region="RegionOne")
        if path == "/v3":
            return 200, {"version": fixture.V3Discovery(f"{self.url}/v3")}, {}
        if path.endswith("/auth/tokens"):
            return 201, token, {"X-Subject-Token": "token"}
        self.asked.append((method, path))
        tail = path.rpartition("/")[2]
        if tail == "action" and body.get("failover", {}).get("dry_run"):
            return 200, {"operation": None, "preview": preview()}, {}
        if tail == "action":
            return 202, {"operation": operation(status="running", progress=0)}, {}
        if path == "/v1/health":
            empty = {"sites": [], "components": [], "protection_groups": []}
            return 200, {"health": {"status": "degraded", "site": self.name, **empty}}, {}
        if tail == "operations":
            return 200, {"operations": list(self.operations.values())}, {}
        return 200, {"operation": self.operations[tail]}, {}


class SlowSite(Site):
    """One that answers later than a site that may be dead is waited for."""

    def record(self, method, path, body):
        if method == "GET" and "/operations" in path:
            threading.Event().wait(3 * PATIENCE)
        return super().record(method, path, body)


@pytest.fixture
def silent():
    """A port that takes connections and never answers."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def alive():
    site = Site("site-b", [operation(id="op-b", home_site="site-b"), operation(id="op-a")])
    yield site
    site.close()


@pytest.fixture
def slow():
    site = SlowSite("site-a", [operation(id="op-a")])
    yield site
    site.close()


@pytest.fixture(autouse=True)
def configured(tmp_path, monkeypatch, silent, alive):
    clouds_of(tmp_path, monkeypatch, silent, alive.url)


def clouds_of(tmp_path, monkeypatch, site_a, site_b):
    auth = {"username": "demo", "password": "secret", "user_domain_id": "default"}
    config = {
        name: {
            "auth": {**auth, "auth_url": f"{url}/v3", "project_id": PROJECT[name[-1]]},
            "region_name": "RegionOne",
            "identity_api_version": "3",
        }
        for name, url in (("site-a", site_a), ("site-b", site_b))
    }
    path = tmp_path / "two-sites.yaml"
    path.write_text(yaml.safe_dump({"clouds": config}))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    monkeypatch.setattr("protectorclient.osc.inquiry.HEAD_START", 0.2)
    monkeypatch.setattr("protectorclient.osc.inquiry.PATIENCE", PATIENCE)


def quick(run, *words, **options):
    began = time.monotonic()
    result = run(*words, both=True, **options)
    assert time.monotonic() - began < SOON
    return result


def test_an_unplanned_failover(run, alive):
    result = quick(run, "dr", "failover", "prod-web-app", "--unplanned", "--yes")
    assert result.code == 0
    assert result.err.startswith("Unplanned failover of protection group 'prod-web-app'")
    action = f"/v1/{PROJECT['b']}/protection-groups/prod-web-app/action"
    assert alive.asked == [("POST", action), ("POST", action)]


def test_an_unplanned_failover_when_the_silent_cloud_is_named_second(run, alive, monkeypatch):
    monkeypatch.setenv("OS_CLOUD", "site-b")
    words = ["dr", "failover", "prod-web-app", "--unplanned", "--dry-run"]
    began = time.monotonic()
    assert run("--secondary-cloud", "site-a", *words).code == 0
    assert time.monotonic() - began < SOON


def test_health(run):
    result = quick(run, "dr", "health", "show")
    assert (result.code, result.out) == (0, "Status: degraded (as site-b sees it)\n")
    assert re.fullmatch(
        r"Cloud 'site-a' did not answer within \d s. Looking on cloud 'site-b'.\n", result.err
    )


def test_an_operation_that_the_living_site_has_started(run):
    result = quick(run, "dr", "operation", "show", "op-b", "-f", "value", "-c", "id")
    assert (result.code, result.out) == (0, "op-b\n")


def test_the_copy_of_an_operation_that_the_silent_site_has_started(run):
    result = quick(run, "dr", "operation", "show", "op-a", "-f", "value", "-c", "id")
    assert (result.code, result.out) == (0, "op-a\n")
    assert result.err.splitlines()[1].startswith("This is the copy on cloud 'site-b'")


def test_the_list_of_operations(run):
    result = quick(run, "dr", "operation", "list", "-f", "value", "-c", "ID")
    assert (result.code, sorted(result.out.split())) == (0, ["op-a", "op-b"])
    assert "Cloud 'site-a' did not answer within" in result.err


@pytest.mark.parametrize(
    "words",
    [
        ["retry", "prod-web-app", "--operation-id", "op-a"],
        ["fence", "prod-web-app"],
    ],
)
def test_a_home_that_is_slower_than_its_copy_is_waited_for(
    run, tmp_path, monkeypatch, slow, alive, words
):
    alive.operations.pop("op-b")
    clouds_of(tmp_path, monkeypatch, slow.url, alive.url)
    assert run("dr", *words, both=True).code == 0
    assert [path for method, path in slow.asked if method == "POST"]
    assert [path for method, path in alive.asked if method == "POST"] == []
