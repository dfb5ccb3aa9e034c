# SPDX-License-Identifier: Apache-2.0
"""``dr operation list`` and ``show``."""

from __future__ import annotations

import argparse
from typing import Any, cast

from protectorclient.osc import arguments, columns
from protectorclient.osc.commands import Listed, Lister, Shown, SizedShowOne
from protectorclient.v1.records import Operation, Record

_ROWS = (
    "id",
    "operation_type",
    "status",
    "progress",
    "source_site",
    "target_site",
    "started_at",
    "completed_at",
    "steps_completed",
    "steps_failed",
)


class ListOperations(Lister):
    """List the operations that the site of --os-cloud has recorded, newest first."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--protection-group",
            metavar="<protection-group>",
            help="Only operations of this protection group (name or ID)",
        )
        parser.add_argument(
            "--status",
            choices=("pending", "running", "completed", "failed"),
            help="Only operations in this status",
        )
        parser.add_argument(
            "--type",
            dest="operation_type",
            choices=("failover", "failback", "test-failover", "test-cleanup", "cleanup"),
            help="Only operations of this type",
        )
        arguments.add_page(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List."""
        query = arguments.given(parsed_args, "protection_group", "status", "marker")
        if parsed_args.operation_type is not None:
            query["operation_type"] = parsed_args.operation_type.replace("-", "_")
        found = self.protector.operations.list(parsed_args.limit, **query)
        return columns.rows(
            [{**cast(Record, operation), "failures": _failures(operation)} for operation in found],
            {
                "ID": "id",
                "Type": "operation_type",
                "Status": "status",
                "Progress": "progress",
                "Protection Group": "protection_group",
                "Source": "source_site",
                "Target": "target_site",
                "Started": "started_at",
                "Completed": "completed_at",
                "Failed Steps": "failures",
            },
        )


class ShowOperation(SizedShowOne):
    """Show an operation: progress in percent, times in UTC, what is done and what failed.

    With --secondary-cloud it is looked for on both sites.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("operation", metavar="<operation-id>", help="Operation (ID)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Show."""
        operation = self.clouds.on_either(
            lambda protector: protector.operations.get(parsed_args.operation), self.say
        )
        return _shown(operation)


def _failures(operation: Operation) -> int:
    return len(operation.get("steps_failed") or [])


def _shown(operation: Operation) -> Shown:
    values: dict[str, Any] = {name: cast(Record, operation).get(name) for name in _ROWS}
    values["steps_completed"] = columns.StepsCompleted(values["steps_completed"] or [])
    values["steps_failed"] = columns.StepsFailed(values["steps_failed"] or [])
    if operation["status"] == "failed":
        values["error"] = operation.get("error")
    return tuple(values), tuple(values.values())
