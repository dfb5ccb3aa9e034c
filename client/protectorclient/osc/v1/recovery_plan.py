# SPDX-License-Identifier: Apache-2.0
"""``dr recovery-plan``: in which order a group's VMs are recovered, and what is checked."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from osc_lib import exceptions

from protectorclient.osc import arguments, columns
from protectorclient.osc.commands import Shown
from protectorclient.osc.sections import Section, Sectioned
from protectorclient.v1.records import Record


class _Plan(Sectioned):
    """A command that shows a plan."""

    _plan: Record
    _group = ""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        return parser

    def shown(self, group: str, plan: Record) -> Shown:
        """Take the plan for the output."""
        self._group, self._plan = group, plan
        return columns.shown(plan)

    def head(self) -> str:
        """Write what it is."""
        if any(self._plan.values()):
            return f"Recovery plan of protection group '{self._group}'"
        return f"Protection group '{self._group}' has no recovery plan: its VMs start side by side."

    def sections(self) -> Iterator[Section]:
        """Make a table of members, one of pauses, and one of hooks."""
        members = self._plan.get("members") or {}
        yield Section(
            "Members",
            [_member(name, entry) for name, entry in members.items()],
            {
                "Member": "member",
                "Priority": "priority",
                "Depends On": "depends_on",
                "Probe": "probe_text",
                "Probe Timeout": "probe_timeout_seconds",
                "Fixed IPs": "fixed_ips",
                "Floating IPs": "floating_ips",
                "Security Groups": "security_groups",
                "User Data": "user_data",
            },
        )
        yield Section(
            "Pauses",
            self._plan.get("pauses") or [],
            {"Before Priority": "before_priority", "Message": "message"},
        )
        yield Section(
            "Hooks",
            self._plan.get("hooks") or [],
            {
                "Name": "name",
                "When": "when",
                "Priority": "priority",
                "URL": "url",
                "Timeout": "timeout_seconds",
                "On Failure": "on_failure",
                "Operations": "operations",
            },
        )


class ShowRecoveryPlan(_Plan):
    """Show a protection group's recovery plan.

    With -f yaml or -f json it comes in the form that recovery-plan set reads.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Show."""
        group = parsed_args.protection_group
        return self.shown(group, self.protector.protection_groups.recovery_plan(group))


class SetRecoveryPlan(_Plan):
    """Replace a protection group's recovery plan as a whole, and show it as it is stored.

    To change it: openstack dr recovery-plan show <protection-group> -f yaml > plan.yaml, edit the
    file, and set it. An empty object ({}) takes the plan off.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--file",
            metavar="<file>",
            required=True,
            help="File with the plan, YAML or JSON; - reads stdin",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Set it."""
        group = parsed_args.protection_group
        plan = _plan(parsed_args.file, self._read(parsed_args.file))
        return self.shown(group, self.protector.protection_groups.set_recovery_plan(group, plan))

    def _read(self, name: str) -> str:
        try:
            if name == "-":
                return str(self.app.stdin.read())
            return Path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise exceptions.CommandError(f"--file: {error}") from error


def _plan(name: str, text: str) -> Record:
    """Read the plan, bare or in the envelope of the API; the service checks what is in it."""
    try:
        plan = yaml.safe_load(text)
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise exceptions.CommandError(f"--file {name} is not YAML or JSON: {reason}") from error
    if isinstance(plan, dict) and set(plan) == {"recovery_plan"}:
        plan = plan["recovery_plan"]
    if not isinstance(plan, dict):
        raise exceptions.CommandError(
            f"--file {name}: a plan is an object with members, pauses and hooks; for no plan at "
            "all give {}."
        )
    try:
        found: Record = json.loads(json.dumps(plan))
    except (TypeError, ValueError) as error:
        raise exceptions.CommandError(
            f"--file {name}: {error}. Put the value in quotes."
        ) from error
    return found


def _member(name: str, entry: Record) -> Record:
    return {"member": name, **entry, "probe_text": _probe(entry.get("probe"))}


def _probe(probe: dict[str, Any] | None) -> str:
    if not probe:
        return ""
    kind, options = next(iter(probe.items()))
    if kind == "tcp":
        return f"TCP {options.get('port')}"
    path, status = options.get("path", "/"), options.get("status", 200)
    return f"HTTP {options.get('port')} {path}, status {status}"
