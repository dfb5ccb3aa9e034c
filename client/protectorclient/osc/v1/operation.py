# SPDX-License-Identifier: Apache-2.0
"""``dr operation list``, ``show``, ``resume``, ``abort`` and ``adopt``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, cast

from osc_lib import exceptions

from protectorclient.osc import arguments, columns, lookup, operation_records, step_lines
from protectorclient.osc.commands import Listed, Lister, Shown, SizedShowOne, is_for_people
from protectorclient.osc.start import Start
from protectorclient.osc.wait import about_pause
from protectorclient.v1.records import Operation, Record, is_paused

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

_LONG = {
    "Leftovers": "leftovers",
    "Phase": "phase",
    "Cleans Up After": "parent_operation_id",
    "Home Site": "home_site",
}

TYPES = (
    "failover",
    "failback",
    "retry",
    "fence",
    "abort",
    "test-failover",
    "test-cleanup",
    "cleanup",
    "sync",
)


class ListOperations(Lister):
    """List operations; without --sort the newest come first.

    With --secondary-cloud those of both sites, each once, as the site where it was started records
    it; when that site does not answer, as the other one last heard of it.
    """

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
            type=arguments.word,
            choices=TYPES,
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
            help="Show also how many leftovers there are, the phase, the operation that a cleanup "
            "belongs to, and the site where it was started",
        )
        arguments.add_sort(parser, "created_at", "operation_type", default="created_at:desc")
        arguments.add_page(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List."""
        query = arguments.given(parsed_args, "protection_group", "status", "marker")
        if parsed_args.operation_type is not None:
            query["operation_type"] = parsed_args.operation_type.replace("-", "_")
        if parsed_args.leftovers:
            query["leftovers"] = "true"
        query.update(parsed_args.sort)
        found = operation_records.listed(self.clouds, self.say, parsed_args.limit, **query)
        return columns.rows(
            [
                {**cast(Record, operation), "failures": _failures(operation)}
                for _, operation in found
            ],
            {**_COLUMNS, **(_LONG if parsed_args.long else {})},
        )


class ShowOperation(SizedShowOne):
    """Show an operation: progress in percent, times in UTC, what is done and what failed.

    With --secondary-cloud it is looked for on both sites. The record of the site where it was
    started counts; when that site does not answer, the other one's copy is shown.
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
        _, operation = operation_records.find(
            self.clouds, parsed_args.operation, self.say, detail=parsed_args.detail
        )
        if is_paused(operation):
            self.say(about_pause(operation))
        return _detailed(operation) if parsed_args.detail else _shown(operation)

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print; for people the steps come after the table, as lines that do not wrap."""
        if not (parsed_args.detail and is_for_people(self, parsed_args)):
            return int(super().produce_output(parsed_args, column_names, data) or 0)
        *record, steps = data
        code = int(super().produce_output(parsed_args, column_names[:-1], record) or 0)
        self.put(f"\n{steps.human_readable()}")
        return code


class ResumeOperation(Start):
    """Let an operation go on that waits at a pause of its recovery plan."""

    takes_group = False
    waits_until = "the operation has ended, or the test VMs are up"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("operation", metavar="<operation-id>", help="Operation (ID)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Resume it on the site where it was started."""
        cloud, _ = operation_records.find_at_home(self.clouds, parsed_args.operation, self.say)
        return self.follow(
            parsed_args, cloud, cloud.protector.operations.resume(parsed_args.operation)
        )


class AbortOperation(Start):
    """Give an operation up that has not moved its group: everything it has done is taken back.

    It may be queued, at work, paused, or waiting for a site that does not answer. It ends `failed`,
    with the one who asked in its error. What VMs that are up on the other site have written by then
    is discarded with them. Once it has moved the group this is refused.
    """

    takes_group = False
    waits_until = "everything is taken back"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("operation", metavar="<operation-id>", help="Operation (ID)")
        parser.add_argument(
            "--target-is-lost",
            action="store_true",
            help="The site to which it moves the group is lost, and nothing goes on there: start "
            "the VMs again that it stopped. A copy that ran there all the same would run beside "
            "its original. Refused while that site answers",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Give it up where it was started, or, when that is lost, where its VMs are stopped."""
        operation = parsed_args.operation
        if parsed_args.target_is_lost:
            cloud, (aborted, copies) = self.first_willing(
                lambda one: one.protector.operations.abort(operation, target_is_lost=True)
            )
        else:
            cloud, _ = operation_records.find_at_home(self.clouds, operation, self.say)
            aborted, copies = cloud.protector.operations.abort(operation)
        for copy in copies:
            self.say(_fate_of(copy))
        return self.follow(parsed_args, cloud, aborted)


_FATES = {
    "discarded": "is discarded, with all that it has written",
    "discarded_if_it_answers": "is discarded if its site answers, with all that it has written",
    "kept": "stays: an earlier operation has made it",
}


def _fate_of(copy: Record) -> str:
    """Say what becomes of a copy of an operation that is given up."""
    since = copy["up_since"]
    up = f"up since {since}" if since else "not seen up yet"
    fate = _FATES.get(copy["fate"], copy["fate"])
    return f"The copy {copy['server_id']} of {copy['member']} on {copy['site']}, {up}, {fate}."


class AdoptOperation(Start):
    """Go forward with the VMs of a failed failover or failback that could not be taken back.

    They run on the other site and may be in use: they become the group, and what is left on the
    site that it leaves is cleaned up as by any move. Refused, with what to do for each VM, while
    an original runs or has run since, or a copy is missing, stopped, or not the only one.
    Where the site of the originals is lost, --source-is-lost adopts the copies without a look at
    them.
    """

    takes_group = False
    waits_until = "they are the group"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("operation", metavar="<operation-id>", help="Failed operation (ID)")
        parser.add_argument(
            "--source-is-lost",
            action="store_true",
            help="The site of the originals is lost, and nothing goes on there: adopt the copies "
            "without a look at them. An original that runs there all the same runs beside its "
            "copy; it is fenced when that site is back. Refused while that site answers",
        )
        arguments.add_mappings(
            parser,
            "With --source-is-lost, for VMs without a copy, by IDs, over the failed operation's "
            "mapping.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Adopt them where the operation was started, or, when that is lost, where they run."""
        operation = parsed_args.operation
        mappings = _mapped_ids(parsed_args)
        if parsed_args.source_is_lost:
            options = {"source_is_lost": True, **mappings}
            cloud, adoption = self.first_willing(
                lambda one: one.protector.operations.adopt(operation, options)
            )
            return self.follow(parsed_args, cloud, adoption)
        if mappings:
            raise exceptions.CommandError(
                "--network-mapping and --flavor-mapping are for --source-is-lost: else the "
                "mappings are those of the failed operation."
            )
        cloud, _ = operation_records.find_at_home(self.clouds, operation, self.say)
        return self.follow(parsed_args, cloud, cloud.protector.operations.adopt(operation))


def _mapped_ids(parsed_args: argparse.Namespace) -> Record:
    """Return the mappings that were given; who could look a name up may be the lost site."""
    networks = parsed_args.network_mapping
    if not all(lookup.is_id(here) and lookup.is_id(there) for here, there in networks):
        raise exceptions.CommandError("Give IDs in the mappings: the source site is not asked.")
    given = {
        name: dict(getattr(parsed_args, name)) for name in ("network_mapping", "flavor_mapping")
    }
    return {name: pairs for name, pairs in given.items() if pairs}


def _failures(operation: Operation) -> int:
    return len(operation.get("steps_failed") or [])


def _rows(operation: Operation) -> Record:
    values: Record = {name: cast(Record, operation).get(name) for name in _ROWS}
    values["steps_completed"] = columns.StepsCompleted(values["steps_completed"] or [])
    values["steps_failed"] = columns.StepsFailed(values["steps_failed"] or [])
    return values


def _shown(operation: Operation) -> Shown:
    values = {**_rows(operation), **_loss(operation)}
    if operation["status"] == "failed":
        values["error"] = operation.get("error")
        values.update(_outage(operation))
    return tuple(values), tuple(values.values())


def _loss(operation: Operation) -> Record:
    """Return rows about what was lost; operations that lose nothing have none."""
    point, lost = operation.get("recovery_point"), operation.get("data_loss_seconds")
    rows: Record = {}
    if point is not None and (lost is not None or operation["operation_type"] == "retry"):
        rows["recovery_point"] = columns.RecoveryPointColumn(point)
    if lost is not None:
        rows["data_loss_seconds"] = columns.Seconds(lost)
    return rows


def _outage(operation: Operation) -> Record:
    """Return rows about how long servers were down; operations that stopped none have none."""
    since, seconds = operation.get("outage_started_at"), operation.get("outage_seconds")
    if since is None:
        return {}
    if seconds is None:
        return {"outage_started_at": since}
    return {"outage_seconds": columns.Seconds(seconds)}


def _detailed(operation: Operation) -> Shown:
    """Return the rows that are always shown, then the rest of the record, then the steps."""
    values = _rows(operation)
    for name, value in cast(Record, operation).items():
        if name not in (*_ROWS, "steps"):
            values[name] = columns.formatted(value)
    values.update(_loss(operation))
    values.update(_outage(operation))
    values["steps"] = step_lines.Steps(operation.get("steps") or [])
    return tuple(values), tuple(values.values())
