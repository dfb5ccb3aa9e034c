# SPDX-License-Identifier: Apache-2.0
"""``dr operation list`` and ``show``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, cast

from protectorclient.osc import arguments, columns, step_lines
from protectorclient.osc.commands import Listed, Lister, Shown, SizedShowOne, is_for_people
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

_COLUMNS = {
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
}

_LONG = {"Leftovers": "leftovers", "Phase": "phase", "Cleans Up After": "parent_operation_id"}


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
            choices=("failover", "failback", "test-failover", "test-cleanup", "cleanup", "sync"),
            help="Only operations of this type",
        )
        parser.add_argument(
            "--leftovers",
            action="store_true",
            help="Only operations that left something behind; `openstack dr operation cleanup` "
            "removes it",
        )
        parser.add_argument(
            "--long",
            action="store_true",
            help="Show also how many leftovers there are, the phase, and the operation that a "
            "cleanup belongs to",
        )
        arguments.add_page(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List."""
        query = arguments.given(parsed_args, "protection_group", "status", "marker")
        if parsed_args.operation_type is not None:
            query["operation_type"] = parsed_args.operation_type.replace("-", "_")
        if parsed_args.leftovers:
            query["leftovers"] = "true"
        found = self.protector.operations.list(parsed_args.limit, **query)
        return columns.rows(
            [{**cast(Record, operation), "failures": _failures(operation)} for operation in found],
            {**_COLUMNS, **(_LONG if parsed_args.long else {})},
        )


class ShowOperation(SizedShowOne):
    """Show an operation: progress in percent, times in UTC, what is done and what failed.

    With --secondary-cloud it is looked for on both sites.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("operation", metavar="<operation-id>", help="Operation (ID)")
        parser.add_argument(
            "--detail",
            action="store_true",
            help="Show the whole record and each step: its state, times, tries, the clouds' "
            "request ids, and the facts that made it safe",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Show."""
        _, operation = self.clouds.find(
            lambda protector: protector.operations.get(
                parsed_args.operation, detail=parsed_args.detail
            ),
            self.say,
        )
        return _detailed(operation) if parsed_args.detail else _shown(operation)

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print; for people the steps come after the table, as lines that do not wrap."""
        if not (parsed_args.detail and is_for_people(self, parsed_args)):
            return int(super().produce_output(parsed_args, column_names, data) or 0)
        *record, steps = data
        code = int(super().produce_output(parsed_args, column_names[:-1], record) or 0)
        self.app.stdout.write(f"\n{steps.human_readable()}\n")
        return code


def _failures(operation: Operation) -> int:
    return len(operation.get("steps_failed") or [])


def _rows(operation: Operation) -> Record:
    values: Record = {name: cast(Record, operation).get(name) for name in _ROWS}
    values["steps_completed"] = columns.StepsCompleted(values["steps_completed"] or [])
    values["steps_failed"] = columns.StepsFailed(values["steps_failed"] or [])
    return values


def _shown(operation: Operation) -> Shown:
    values = _rows(operation)
    if operation["status"] == "failed":
        values["error"] = operation.get("error")
    return tuple(values), tuple(values.values())


def _detailed(operation: Operation) -> Shown:
    """Return the rows that are always shown, then the rest of the record, then the steps."""
    values = _rows(operation)
    for name, value in cast(Record, operation).items():
        if name not in (*_ROWS, "steps"):
            values[name] = columns.formatted(value)
    values["steps"] = step_lines.Steps(operation.get("steps") or [])
    return tuple(values), tuple(values.values())
