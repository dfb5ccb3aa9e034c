# SPDX-License-Identifier: Apache-2.0
"""Two clouds made of recorded answers, and the ``openstack`` command run against them."""

from __future__ import annotations

import io
import json
import logging
import re
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import requests_mock
import yaml
from keystoneauth1 import fixture
from openstackclient import shell
from osc_lib import clientmanager

PROJECT = {
    "a": "11111111111111111111111111111111",
    "b": "22222222222222222222222222222222",
}
"""The tenant's project on each cloud."""

PROTECTOR = {"a": "http://protector-a:8788", "b": "http://protector-b:8788"}

GROUP_ID = "0d9f3c1e-2b1c-4f0a-9d57-3b8f3e1f7c10"


@dataclass
class Result:
    """What a user gets."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Clouds:
    """The recorded answers of both clouds."""

    def __init__(self, mock: Any) -> None:
        self.mock = mock
        self.endpoints = {"a": PROTECTOR["a"], "b": PROTECTOR["b"] + "/v1/" + PROJECT["b"]}
        for site in ("a", "b"):
            self.sign_in(site)

    def sign_in(self, site: str) -> None:
        keystone = f"http://keystone-{site}:5000/v3"
        token = fixture.V3Token(
            user_name="demo", project_id=PROJECT[site], project_domain_id="default"
        )
        for kind, url in (
            ("protector", self.endpoints[site]),
            ("identity", keystone),
            ("compute", f"http://nova-{site}:8774/v2.1"),
            ("network", f"http://neutron-{site}:9696"),
        ):
            if url:
                token.add_service(kind).add_standard_endpoints(public=url, region="RegionOne")
        self.mock.get(keystone, json={"version": fixture.V3Discovery(keystone)})
        self.mock.post(
            f"{keystone}/auth/tokens", json=token, headers={"X-Subject-Token": f"token-{site}"}
        )

    def unscoped(self) -> Any:
        """A token that is for no project."""
        token = fixture.V3Token(user_name="demo")
        services = (("protector", self.endpoints["a"]), ("identity", "http://keystone-a:5000/v3"))
        for kind, url in services:
            token.add_service(kind).add_standard_endpoints(public=url, region="RegionOne")
        return token

    def dead(self, site: str) -> None:
        """Nothing answers on the site any more."""
        refused = requests.exceptions.ConnectionError("[Errno 111] Connection refused")
        self.mock.register_uri(
            requests_mock.ANY, re.compile(f"^http://[a-z]+-{site}:"), exc=refused
        )

    def admin(self, path: str, site: str = "a") -> str:
        return f"{PROTECTOR[site]}/v1/admin/{path}"

    def url(self, path: str, site: str = "a") -> str:
        return f"{PROTECTOR[site]}/v1/{PROJECT[site]}/{path}"

    def bodies(self, method: str, url: str) -> list[Any]:
        """What the command sent there."""
        return [
            request.json()
            for request in self.mock.request_history
            if request.method == method and request.url.split("?")[0] == url
        ]


@pytest.fixture
def clouds(requests_mock: Any) -> Clouds:
    return Clouds(requests_mock)


@pytest.fixture(autouse=True)
def surroundings(tmp_path: Any, monkeypatch: Any) -> None:
    config = {
        "clouds": {
            f"site-{site}": {
                "auth": {
                    "auth_url": f"http://keystone-{site}:5000/v3",
                    "username": "demo",
                    "password": "secret",
                    "project_id": PROJECT[site],
                    "user_domain_id": "default",
                },
                "region_name": "RegionOne",
                "identity_api_version": "3",
            }
            for site in ("a", "b")
        }
    }
    path = tmp_path / "clouds.yaml"
    path.write_text(yaml.safe_dump(config))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(path))
    monkeypatch.setenv("OS_CLOUD", "site-a")
    monkeypatch.delenv("OS_SECONDARY_CLOUD", raising=False)
    monkeypatch.setenv("COLUMNS", "200")


class Typed(io.StringIO):
    """A terminal at which somebody has typed this."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def type_in(monkeypatch: Any) -> Any:
    """Type an answer at a terminal."""
    return lambda text: monkeypatch.setattr("sys.stdin", Typed(text))


@pytest.fixture
def run(capsys: Any, monkeypatch: Any) -> Any:
    """Run ``openstack …`` as a user does; polls do not wait."""
    monkeypatch.setattr("protectorclient.osc.wait.INTERVAL", 0)

    def go(*argv: str, both: bool = False) -> Result:
        logging.getLogger().handlers.clear()
        # The command keeps its clients in the class, for the one run that a process has.
        for kept in vars(clientmanager.ClientManager).values():
            if isinstance(kept, clientmanager.ClientCache):
                kept._handle = None
        capsys.readouterr()
        options = ["--secondary-cloud", "site-b"] if both else []
        try:
            code = shell.OpenStackShell().run([*options, *argv])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return go


def operation(**changes: Any) -> dict[str, Any]:
    """Example 1's record."""
    record = {
        "id": "op-7a3f2c11-0001-4b22-a918-000000000001",
        "operation_type": "failover",
        "status": "completed",
        "progress": 100,
        "source_site": "site-a",
        "target_site": "site-b",
        "started_at": "2025-11-03T14:00:00Z",
        "completed_at": "2025-11-03T14:07:42Z",
        "steps_completed": [
            "promote_volumes",
            "manage_volumes",
            "recreate_vms",
            "delete_source_vm:web-server-1",
            "delete_source_vm:web-server-2",
            "delete_source_volume:vol-boot-ws1",
            "delete_source_volume:vol-data-ws1",
            "delete_source_volume:vol-boot-ws2",
            "delete_source_volume:vol-data-ws2",
        ],
        "steps_failed": [],
        "error": None,
        "error_code": None,
        "protection_group_id": GROUP_ID,
        "protection_group": "prod-web-app",
        "parent_operation_id": None,
        "phase": None,
        "created_at": "2025-11-03T13:59:59Z",
        "request_id": "req-1",
        "home_site": "site-a",
        "leftovers": 0,
    }
    return {**record, **changes}


def preview(**changes: Any) -> dict[str, Any]:
    """What an unplanned failover of Example 1's group would do."""
    record = {
        "operation_type": "failover",
        "type": "unplanned",
        "source_site": "site-a",
        "target_site": "site-b",
        "recovery_point": {
            "id": "rp-17",
            "taken_at": "2025-11-03T13:47:56Z",
            "age_seconds": 723,
        },
        "members": [
            {
                "name": "web-server-1",
                "server_id": "nova-ws1",
                "volumes": [{"name": "vol-boot-ws1", "id": "cinder-boot", "size_gib": 10}],
                "networks": {"net-a": "net-b"},
                "flavor": "m1.small",
            },
            {
                "name": "web-server-2",
                "server_id": "nova-ws2",
                "volumes": [{"name": "", "id": "cinder-data", "size_gib": 20}],
                "networks": {},
                "flavor": "m1.small",
            },
        ],
        "steps": ["check_target", "promote_volumes", "recreate_vms"],
        "retain_source_volumes": False,
        "warnings": [],
    }
    return {**record, **changes}


def fault(key: str, code: int, message: str, error_code: str = "PRT-BUSY") -> dict[str, Any]:
    return {key: {"code": code, "error_code": error_code, "message": message}}


NOT_FOUND = fault("itemNotFound", 404, "Operation could not be found.")
