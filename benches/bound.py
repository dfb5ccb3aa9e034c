# SPDX-License-Identifier: Apache-2.0
"""The shortest time that a planned failover can take: latencies of the clouds and limits of the engine."""

from __future__ import annotations

from dataclasses import dataclass

LIMIT = 10
"""Steps that may call one cloud's Nova, or its Cinder, at the same time: the engine's default."""


@dataclass(frozen=True)
class Calls:
    """Calls that one look at a step cannot do without."""

    reads: int = 0
    writes: int = 0

    def seconds(self, latency: dict[str, float]) -> float:
        """How long they take one after the other."""
        return self.reads * latency["read"] + self.writes * latency["write"]


@dataclass(frozen=True)
class Phase:
    """What each line of a phase does: calls, a wait without a permit, calls that see the result.

    A line's first look holds a permit for ``ask``, its last for ``see``. ``per_vm`` lines exist for
    each VM.
    """

    name: str
    per_vm: int
    ask: Calls
    wait: str | None = None
    see: Calls = Calls()

    def line(self, latency: dict[str, float]) -> float:
        """The time of one line that has the cloud to itself."""
        wait = latency[self.wait] if self.wait else 0.0
        return self.ask.seconds(latency) + wait + self.see.seconds(latency)

    def seconds(self, vms: int, latency: dict[str, float]) -> float:
        """No schedule is faster: the permits are all in use, or the line that asks last runs alone."""
        lines = vms * self.per_vm
        ask, see = self.ask.seconds(latency), self.see.seconds(latency)
        work = lines * (ask + see) / LIMIT
        last_asks_at = max(lines / LIMIT - 1, 0) * ask
        return max(work, last_asks_at + self.line(latency))


BEFORE_SWITCH = (
    Phase("check_source", 1, Calls(reads=1)),
    Phase("stop_source_vms", 1, Calls(reads=1, writes=1), "server_stop", Calls(reads=1)),
    Phase("manage_volumes", 2, Calls(writes=1), "manage", Calls(reads=1)),
    # Flavors, subnets and zones of the target are read before a server is asked for. Its ports are not: the fleet's
    # addresses are outside the target's subnet.
    Phase("recreate_vms", 1, Calls(reads=3, writes=1), "server_build", Calls(reads=1)),
    # [engine] health_check_seconds, at its default: a copy must stay healthy that long.
    Phase("confirm_vms", 1, Calls(reads=3), "health_check", Calls(reads=3)),
)
"""Phases that run one after the other. The array's phases make no calls: they count as zero."""

DELETE_SERVER = Phase(
    "delete_source_vm", 1, Calls(reads=2, writes=1), "server_delete", Calls(reads=1)
)
DELETE_VOLUME = Phase(
    "delete_source_volume", 2, Calls(reads=3, writes=1), "volume_delete", Calls(reads=1)
)


def cleanup(vms: int, latency: dict[str, float]) -> float:
    """Both cleanup phases: a volume follows its own server, so they overlap."""
    servers_only = DELETE_SERVER.seconds(vms, latency) + DELETE_VOLUME.line(latency)
    volumes_only = DELETE_SERVER.line(latency) + DELETE_VOLUME.seconds(vms, latency)
    return max(servers_only, volumes_only)


def phases(vms: int, latency: dict[str, float]) -> dict[str, float]:
    """Seconds by phase; ``cleanup`` stands for both phases after the switch."""
    found = {phase.name: phase.seconds(vms, latency) for phase in BEFORE_SWITCH}
    found["cleanup"] = cleanup(vms, latency)
    return found
