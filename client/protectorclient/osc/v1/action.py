# SPDX-License-Identifier: Apache-2.0
"""Commands that start an operation of a protection group."""

from __future__ import annotations

import argparse
from typing import Any

from osc_lib import exceptions

from protectorclient.osc import arguments, columns
from protectorclient.osc.commands import Shown, SizedShowOne
from protectorclient.osc.v1.protection_group import mappings
from protectorclient.osc.waiting import Waiting
from protectorclient.v1.records import Operation, Record, is_awaiting_cleanup, is_terminal


class Start(Waiting, SizedShowOne):
    """A command that starts an operation and shows it."""

    value_width = 43

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        arguments.add_wait(parser)
        return parser

    def start(self, parsed_args: argparse.Namespace, verb: str, body: Record) -> Shown:
        """Start it, wait when asked to, and show it."""
        operation = self.protector.protection_groups.action(
            parsed_args.protection_group, verb, body
        )
        if parsed_args.wait and not is_terminal(operation):
            operation = self.wait_for(self.protector, operation)
            self._say_next(operation)
        return _shown(operation)

    def _say_next(self, operation: Operation) -> None:
        """Say how what the operation made or left is removed."""
        if is_awaiting_cleanup(operation):
            self.say(
                "The test VMs are up. When you have looked at them: openstack dr test-cleanup "
                f"{operation['protection_group']} --test-operation-id {operation['id']}"
            )
        elif operation.get("leftovers"):
            count = operation["leftovers"]
            self.say(
                f"{count} {'resource is' if count == 1 else 'resources are'} left behind; to "
                f"remove {'it' if count == 1 else 'them'}: openstack dr operation cleanup "
                f"{operation['id']}"
            )


class Failover(Start):
    """Fail a protection group over to its other site.

    Progress: openstack dr operation show <operation-id>
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        _add_failover(parser)
        arguments.add_mappings(parser, "For this operation, over the stored mapping.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        return self.start(parsed_args, "failover", _failover(self, parsed_args))


class Failback(Start):
    """Bring a protection group back to the site that it failed over from."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_mappings(parser, "For this operation, over the stored mapping.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        return self.start(parsed_args, "failback", mappings(self, parsed_args))


class TestFailover(Start):
    """Start copies of a protection group's VMs on its other site; production is not touched.

    They stay up, and the operation stays in status running, until test-cleanup removes them.
    """

    __test__ = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_mappings(
            parser,
            "For this test, over the stored mapping; test VMs belong on a network that is cut off "
            "from production.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        return self.start(parsed_args, "test_failover", mappings(self, parsed_args))


class TestCleanup(Start):
    """Remove the VMs and volumes that a test failover made on the other site, and end the test."""

    __test__ = False

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--test-operation-id",
            metavar="<operation-id>",
            required=True,
            help="The operation of the test failover",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        return self.start(
            parsed_args, "test_cleanup", {"test_operation_id": parsed_args.test_operation_id}
        )


class ProtectionGroupAction(Start):
    """Start an operation of a protection group, named by --action."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--action",
            required=True,
            choices=("failover", "failback", "test-failover", "test-cleanup", "sync"),
            help="What to do",
        )
        parser.add_argument(
            "--test-operation-id",
            metavar="<operation-id>",
            help="The operation of the test failover; test-cleanup needs it",
        )
        _add_failover(parser)
        arguments.add_mappings(parser, "For this operation, over the stored mapping.")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        verb = parsed_args.action.replace("-", "_")
        return self.start(parsed_args, verb, self._body(parsed_args))

    def _body(self, parsed_args: argparse.Namespace) -> Record:
        action = parsed_args.action
        failover_only = parsed_args.retain_source_volumes or parsed_args.type != "planned"
        mapped = parsed_args.network_mapping or parsed_args.flavor_mapping
        if failover_only and action != "failover":
            raise exceptions.CommandError(
                f"--type and --retain-source-volumes are for failover, not for {action}."
            )
        if mapped and action in ("test-cleanup", "sync"):
            raise exceptions.CommandError(f"{action} takes no mapping.")
        if (action == "test-cleanup") != (parsed_args.test_operation_id is not None):
            raise exceptions.CommandError(
                "test-cleanup needs --test-operation-id."
                if action == "test-cleanup"
                else f"--test-operation-id is for test-cleanup, not for {action}."
            )
        if action == "test-cleanup":
            return {"test_operation_id": parsed_args.test_operation_id}
        if action == "failover":
            return _failover(self, parsed_args)
        return mappings(self, parsed_args)


def _add_failover(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--type",
        choices=("planned", "unplanned"),
        default="planned",
        help="planned: both sites answer, nothing is lost; unplanned: the source is gone, what was "
        "written after the last recovery point is lost (default: planned)",
    )
    parser.add_argument(
        "--retain-source-volumes",
        action="store_true",
        help="Leave the source volumes detached and intact; `openstack dr operation cleanup` "
        "deletes them later (default: as the service's retain_source_volumes_on_failover says)",
    )


def _failover(command: Start, parsed_args: argparse.Namespace) -> Record:
    body: dict[str, Any] = {"type": parsed_args.type, **mappings(command, parsed_args)}
    if parsed_args.retain_source_volumes:
        body["retain_source_volumes"] = True
    return body


def _shown(operation: Operation) -> Shown:
    values: dict[str, Any] = {
        "operation_id": operation["id"],
        "operation_type": operation["operation_type"],
        "status": operation["status"],
        "progress": operation["progress"],
    }
    if operation.get("steps_failed"):
        values["steps_failed"] = columns.StepsFailed(operation["steps_failed"])
    if operation["status"] == "failed":
        values["error"] = operation.get("error")
    return tuple(values), tuple(values.values())
