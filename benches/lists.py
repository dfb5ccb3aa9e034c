# SPDX-License-Identifier: Apache-2.0
"""How long lists of many groups and operations take, what they cost in memory, and who waits meanwhile.

    benches/lists.py --bin target/release --database sqlite
    benches/lists.py --bin target/release --database mysql://user:password@127.0.0.1:3306/bench

Starts a simulated cloud and protector-api on a database that `fill_database` (an example of
protector-store) has filled, asks for pages one after the other, and then thirty at a time while
somebody asks for the health check, and somebody else for a list of another project.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import http.client
import json
import pathlib
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass

GROUPS, OPERATIONS = 2000, 10000
GONE = "group-9"
"""A group that was deleted: only its operations know its name."""

LISTS = {
    "groups, 50 a page": "protection-groups?limit=50",
    "groups, 1000 a page": "protection-groups?limit=1000",
    "operations, 50 a page": "operations?limit=50",
    "operations, 1000 a page": "operations?limit=1000",
    "operations of a group": "operations?protection_group=group-7",
    "operations of a deleted group": f"operations?protection_group={GONE}",
    "operations of no group": "operations?protection_group=nowhere",
    "failed over, 50 a page": "operations?operation_type=failover&limit=50",
    "completed, 50 a page": "operations?status=completed&limit=50",
    "with leftovers, 50 a page": "operations?leftovers=true&limit=50",
}


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@dataclass
class Caller:
    """Somebody who reads one project."""

    project: str
    token: str


@dataclass
class Service:
    """protector-api on a filled database."""

    port: int
    tenant: Caller
    other: Caller
    pid: int

    def ask(self, path: str, caller: Caller) -> tuple[int, float, bytes]:
        """Status, seconds and body of an answer."""
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"X-Auth-Token": caller.token})
            answer = connection.getresponse()
            body = answer.read()
        return answer.status, time.monotonic() - began, body

    def list(self, query: str, caller: Caller | None = None) -> tuple[int, float, bytes]:
        """The same of one of a project's lists, the tenant's if nobody else is named."""
        caller = caller or self.tenant
        return self.ask(f"/v1/{caller.project}/{query}", caller)

    def memory(self, what: str) -> float:
        """``VmRSS`` or ``VmHWM`` in megabytes."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) / 1024
        return 0.0


def log_in(port: int, name: str) -> Caller:
    """A tenant of the simulated cloud."""
    domain = {"name": "Default"}
    password = {"user": {"name": name, "password": name, "domain": domain}}
    scope = {"project": {"name": name, "domain": domain}}
    identity = {"methods": ["password"], "password": password}
    body = json.dumps({"auth": {"identity": identity, "scope": scope}})
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with contextlib.closing(connection):
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/identity/v3/auth/tokens", body, headers)
        answer = connection.getresponse()
        project = json.loads(answer.read())["token"]["project"]["id"]
        return Caller(project, answer.headers["X-Subject-Token"])


def until_answered(port: int, path: str) -> None:
    """Waits until a service listens."""
    for _ in range(600):
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
            with contextlib.closing(connection):
                connection.request("GET", path)
                connection.getresponse().read()
                return
        time.sleep(0.1)
    raise SystemExit(f"port {port} does not answer")


def fill(
    arguments: argparse.Namespace, url: str, keys: pathlib.Path, tenant: Caller, other: Caller
) -> None:
    """Makes groups and operations of two projects."""
    sizes = [str(arguments.groups), str(arguments.operations)]
    command = [arguments.fill, url, str(keys), tenant.project, other.project, *sizes]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def serving(arguments: argparse.Namespace, home: pathlib.Path) -> Iterator[Service]:
    """A cloud and protector-api, until the block ends."""
    programs = arguments.bin
    cloud, api = free_port(), free_port()
    sqlite = home / "protector.sqlite"
    url = f"sqlite://{sqlite}" if arguments.database == "sqlite" else arguments.database
    (home / "policy.yaml").touch()
    (home / "protector.conf").write_text(f"""
[DEFAULT]
site_name = site-a
state_path = {home}
[api]
bind_host = 127.0.0.1
bind_port = {api}
[database]
connection = {url.replace("sqlite://", "sqlite:///") if arguments.database == "sqlite" else url}
[keystone_authtoken]
auth_url = http://127.0.0.1:{cloud}/identity/v3
username = protector
password = protector
project_name = service
interface = public
[oslo_policy]
policy_file = {home}/policy.yaml
[secrets]
key_repository = {home}/keys
[storage]
enabled_arrays = array-a, array-b
mock_catalogue = {home}/catalogue.sqlite
[array-a]
driver = MockStorageDriver
directory = {home}/array-a
[array-b]
driver = MockStorageDriver
directory = {home}/array-b
""")
    log = (home / "log").open("w")
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> int:
        started.append(subprocess.Popen(command, stdout=log, stderr=log))
        return started[-1].pid

    try:
        start(f"{programs}/protector-simcloud", "--cloud", f"site-a,127.0.0.1:{cloud}")
        until_answered(cloud, "/identity/v3")
        tenant, other = log_in(cloud, "demo"), log_in(cloud, "other")
        config = ["--config-file", f"{home}/protector.conf"]
        subprocess.run(
            [f"{programs}/protector-manage", *config, "keys", "setup"], check=True, stdout=log
        )
        began = time.monotonic()
        fill(arguments, url, home / "keys", tenant, other)
        print(f"filled in {time.monotonic() - began:.0f} s")
        pid = start(f"{programs}/protector-api", *config)
        until_answered(api, "/healthcheck")
        yield Service(api, tenant, other, pid)
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def percentile(seconds: list[float], share: float) -> float:
    """In milliseconds."""
    ordered = sorted(seconds)
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def one_after_the_other(service: Service, rounds: int) -> None:
    """Prints what each list takes while nobody else asks."""
    print(f"{'list':32} {'p50':>9} {'p99':>9}   size")
    for name, query in LISTS.items():
        took, size = [], 0
        for _ in range(rounds):
            status, seconds, body = service.list(query)
            assert status in (200, 404), (status, body)
            took.append(seconds)
            size = len(body)
            if sum(took) > 60:
                break
        print(
            f"{name:32} {percentile(took, 0.5):6.1f} ms {percentile(took, 0.99):6.1f} ms   {size / 1024:.0f} KiB"
        )
    print(f"memory: {service.memory('VmRSS'):.0f} MB now, {service.memory('VmHWM'):.0f} MB at most")


def told(seconds: list[float]) -> str:
    """What is printed of how long something took."""
    return f"p50 {percentile(seconds, 0.5):.0f} ms, p99 {percentile(seconds, 0.99):.0f} ms, at most {1000 * max(seconds):.0f} ms"


def thirty_at_once(service: Service, name: str) -> None:
    """Prints what others wait while thirty ask for one list."""
    query = LISTS[name]
    meanwhile: dict[str, list[float]] = {"the health check": [], "another project's list": []}
    refused = 0
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        reading = [pool.submit(service.list, query) for _ in range(90)]
        while not all(one.done() for one in reading):
            asked = [
                service.ask("/healthcheck", service.other),
                service.list("operations?limit=50", service.other),
            ]
            for waits, (status, seconds, _) in zip(meanwhile.values(), asked, strict=True):
                waits.append(seconds)
                refused += status != 200
            time.sleep(0.02)
        answers = [one.result() for one in reading]
    bad = sum(status != 200 for status, *_ in answers)
    print(
        f"30 readers of '{name}': {told([seconds for _, seconds, _ in answers])}, {bad} of {len(answers)} refused"
    )
    for what, waits in meanwhile.items():
        print(f"    {what} meanwhile: {told(waits)} ({len(waits)} times)")
    print(f"    refused to others: {refused}")


def main() -> None:
    """Measures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bin", default="target/release", help="where the programs are")
    parser.add_argument("--fill", default="target/release/examples/fill_database")
    parser.add_argument(
        "--database", default="sqlite", help="'sqlite', or the URL of an empty database"
    )
    parser.add_argument("--groups", type=int, default=GROUPS)
    parser.add_argument("--operations", type=int, default=OPERATIONS)
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, serving(arguments, pathlib.Path(home)) as service:
        one_after_the_other(service, arguments.rounds)
        for name in (
            "operations, 50 a page",
            "operations, 1000 a page",
            "operations of a deleted group",
        ):
            thirty_at_once(service, name)
        print(
            f"memory: {service.memory('VmRSS'):.0f} MB now, {service.memory('VmHWM'):.0f} MB at most"
        )


if __name__ == "__main__":
    main()
