# SPDX-License-Identifier: Apache-2.0
"""Protects every server of the first cloud, fails the group over, and reports time, CPU and memory."""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import bound
from keystoneauth1 import loading, session
from protectorclient.v1.client import Client
from protectorclient.v1.transport import Transport

CLEANUP = ("delete_source_vm", "delete_source_volume")
AIM_RATIO = 1.2
AIM_RSS_MB = 60

HEALTH_CHECK_SECONDS = 5.0
"""As failover-100-vms.sh configures the engine; part of the bound, since every copy waits that long."""


class Engine:
    """The engine's process, as the kernel sees it."""

    def __init__(self, pid: int) -> None:
        self._proc = pathlib.Path(f"/proc/{pid}")

    def cpu_seconds(self) -> float:
        """User and system time since its start."""
        fields = (self._proc / "stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_rss_mb(self) -> float:
        """The most memory that was resident."""
        for line in (self._proc / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        return 0.0


def login(port: int) -> session.Session:
    """A session of the tenant on the first cloud."""
    plugin = loading.get_plugin_loader("v3password").load_from_options(
        auth_url=f"http://127.0.0.1:{port}/identity/v3",
        username="demo",
        password="demo",
        project_name="demo",
        user_domain_name="Default",
        project_domain_name="Default",
    )
    return session.Session(auth=plugin)


def names_and_ids(cloud: session.Session, service: str, path: str, key: str) -> dict[str, str]:
    """Name to id of all resources of one kind."""
    answer = cloud.get(path, endpoint_filter={"service_type": service, "interface": "public"})
    return {entry["name"]: entry["id"] for entry in answer.json()[key]}


def protect(protector: Client, cloud: session.Session, other: session.Session) -> int:
    """Makes the group of all servers; how many there are."""
    network = names_and_ids(cloud, "network", "/v2.0/networks", "networks")["demo-net"]
    copy = names_and_ids(other, "network", "/v2.0/networks", "networks")["demo-net"]
    protector.protection_groups.create(
        {
            "name": "fleet",
            "primary_site": "site-a",
            "secondary_site": "site-b",
            "replication_type": "async",
            "volume_type": "replicated",
            "network_mapping": {network: copy},
        }
    )
    protector.policies.create(
        "fleet",
        {
            "primary_fa_url": "mock://array-a",
            "secondary_fa_url": "mock://array-b",
            "rpo_minutes": 15,
        },
    )
    servers = names_and_ids(cloud, "compute", "/servers?limit=1000", "servers")

    def add(server: str) -> None:
        protector.members.create("fleet", {"server_id": server})

    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(add, servers.values()))
    return len(servers)


def run(protector: Client, patience: float) -> dict[str, Any]:
    """Fails the group over and waits; the ended operation with its steps."""
    started = protector.protection_groups.action("fleet", "failover", {"type": "planned"})
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        time.sleep(2)
        operation = protector.operations.get(started["id"])
        if operation["status"] not in ("pending", "running"):
            return dict(protector.operations.get(started["id"], detail=True))
    sys.exit(f"the failover has not ended after {patience:.0f} s")


def when(text: str) -> float:
    """An API's time as seconds."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def spans(operation: dict[str, Any]) -> dict[str, float]:
    """Seconds from a phase's first begin to its last end; the two cleanup phases as one."""
    begins: dict[str, float] = {}
    ends: dict[str, float] = {}
    for step in operation["steps"]:
        phase = "cleanup" if step["phase"] in CLEANUP else step["phase"]
        begins[phase] = min(begins.get(phase, float("inf")), when(step["started_at"]))
        ends[phase] = max(ends.get(phase, 0.0), when(step["finished_at"]))
    return {phase: ends[phase] - begins[phase] for phase in begins}


def admin(port: int, site: str, what: str) -> Any:
    """What the simulation says of one of its clouds."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/_admin/clouds/{site}/{what}") as answer:
        return json.load(answer)


def main() -> int:
    """Run the benchmark; 1 when the failover did not complete cleanly."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--vms", type=int, required=True)
    parser.add_argument("--demo-dir", type=pathlib.Path, required=True)
    parser.add_argument("--cloud-port", type=int, required=True)
    parser.add_argument("--other-cloud-port", type=int, required=True)
    given = parser.parse_args()

    engine = Engine(int((given.demo_dir / "pid/protector-engine-site-a").read_text()))
    cloud, other = login(given.cloud_port), login(given.other_cloud_port)
    protector = Client(Transport(cloud, cloud="site-a"))
    begun = time.monotonic()
    members = protect(protector, cloud, other)
    print(f"{members} VMs protected in {time.monotonic() - begun:.1f} s; failing over", flush=True)

    cpu = engine.cpu_seconds()
    operation = run(protector, patience=600)
    cpu = engine.cpu_seconds() - cpu
    (given.demo_dir / "operation.json").write_text(json.dumps(operation, indent=1))
    latency = admin(given.cloud_port, "site-a", "latency")
    latency["health_check"] = HEALTH_CHECK_SECONDS
    return report(operation, members, bound.phases(members, latency), cpu, engine, given.demo_dir)


def report(
    operation: dict[str, Any],
    members: int,
    bounds: dict[str, float],
    cpu: float,
    engine: Engine,
    demo_dir: pathlib.Path,
) -> int:
    """Print the figures."""
    print(f"{'phase':24}{'seconds':>9}{'bound':>9}{'ratio':>8}")
    for phase, seconds in spans(operation).items():
        limit = bounds.get(phase)
        known = f"{limit:9.2f}{seconds / limit:8.2f}" if limit else f"{'-':>9}{'-':>8}"
        print(f"{phase:24}{seconds:9.2f}{known}")
    total = when(operation["completed_at"]) - when(operation["started_at"])
    limit = sum(bounds.values())
    print(f"{'total':24}{total:9.2f}{limit:9.2f}{total / limit:8.2f}   (aim: {AIM_RATIO})")
    database = sum(path.stat().st_size for path in (demo_dir / "site-a").glob("*.sqlite*"))
    print(f"engine CPU            {cpu:9.2f} s ({100 * cpu / total:.1f} % of one core)")
    print(f"engine peak resident  {engine.peak_rss_mb():9.1f} MB   (aim: below {AIM_RSS_MB})")
    print(f"database              {database / 1e6:9.2f} MB, {len(operation['steps'])} steps")
    failed = operation["steps_failed"]
    print(f"status {operation['status']}, {members} VMs, {len(failed)} steps failed")
    return 0 if operation["status"] == "completed" and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
