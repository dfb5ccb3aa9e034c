# SPDX-License-Identifier: Apache-2.0
"""What commands that clean up share: the live report, and its form for scripts."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TextIO

from osc_lib import exceptions

from protectorclient.osc import columns, terminal
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.cleanup_report import CleanupReport, Outcome
from protectorclient.osc.clouds import Cloud
from protectorclient.osc.commands import Listed, Lister, is_for_people
from protectorclient.osc.wait import Waiting, watched
from protectorclient.v1 import faults
from protectorclient.v1.records import Operation

_FIELDS = {
    "Operation": "operation",
    "Step": "step",
    "Type": "resource_type",
    "ID": "resource_id",
    "Site": "site",
    "Result": "result",
    "Error": "error",
}


QUEUED_LOOKS = 15
"""After how many looks at a cleanup that no engine has begun with the user is told why."""


class Job(NamedTuple):
    """The cleanup of one operation; with ``resources``, of these leftovers only.

    Servers in ``delete_running`` go though they run; with ``release_floating_ips`` those go that
    deleted servers had.
    """

    cloud: Cloud
    operation: str
    group: str
    resources: list[str] | None = None
    delete_running: list[str] | None = None
    release_floating_ips: bool = False


class CleanupCommand(Waiting, Lister):
    """A command that cleans up.

    It prints what happens as it happens. With ``-f json`` and the like that goes to stderr, and
    stdout gets what came of each resource.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._outcomes: list[Outcome] = []
        self.people = True

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """Do what the command is for, and return what scripts get."""
        self.people = is_for_people(self, parsed_args)
        return self.act(parsed_args)

    def act(self, parsed_args: argparse.Namespace) -> Listed:
        """Do what the command is for."""
        raise NotImplementedError

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print for scripts; people have had their lines."""
        if self.people:
            return 0
        return int(super().produce_output(parsed_args, column_names, data) or 0)

    @property
    def report_stream(self) -> TextIO:
        """Where lines for people go."""
        stream: TextIO = self.app.stdout if self.people else self.app.stderr
        return stream

    def tell(self, text: str) -> None:
        """Print a line for people."""
        terminal.write(self.report_stream, text + "\n")

    def outcomes(self) -> Listed:
        """Return what came of each resource."""
        return columns.rows([outcome._asdict() for outcome in self._outcomes], _FIELDS)

    def clean_each(self, jobs: Iterable[Job]) -> bool:
        """Clean up after each operation, one that is refused stops no other; whether any was."""
        found = False
        for job in jobs:
            try:
                found = self.clean(job) or found
            except (exceptions.ClientException, exceptions.CommandError) as error:
                found = True
                self.exit_code = 1
                self.say(f"Operation {job.operation} was not cleaned up: {error}")
        return found

    def clean(self, job: Job) -> bool:
        """Clean up after one operation; False when nothing is left of it."""
        operations = job.cloud.protector.operations
        try:
            child, plan = operations.cleanup(
                job.operation,
                job.resources,
                job.delete_running,
                release_floating_ips=job.release_floating_ips,
            )
        except exceptions.Conflict as error:
            raise with_advice(error, job.operation, job.group) from error
        if child is None:
            return False
        self.under_way = child["id"]
        report = CleanupReport(self.report_stream, job.operation, plan)
        try:
            for looks, seen in enumerate(watched(job.cloud.protector, child["id"], detail=True), 1):
                child = seen
                report.update(seen)
                if looks == QUEUED_LOOKS and seen.get("phase") == "queued":
                    self._say_queued(seen)
        except BaseException:
            report.break_off()
            raise
        self.under_way = None
        report.close()
        self._outcomes += report.outcomes
        self._judge(job.operation, child, report)
        return True

    def _say_queued(self, cleanup: Operation) -> None:
        site = cleanup.get("home_site") or "the site where the operation was started"
        self.say(
            f"Cleanup operation {cleanup['id']} is still queued: no engine has begun with it. "
            f"Check that openstack-protector-engine runs on {site}."
        )

    def _judge(self, operation: str, child: Operation, report: CleanupReport) -> None:
        if child["status"] == "failed" and child.get("error"):
            self.say(f"Cleanup operation {child['id']} failed: {child['error']}")
        if report.left or child["status"] == "failed":
            self.exit_code = 1
            self.say(
                f"Something is left: {openstack('dr operation show', operation)} lists it; "
                "the cleanup can be repeated."
            )


def with_advice(error: exceptions.Conflict, operation: str, group: str) -> exceptions.CommandError:
    """Add to a refusal what the user does next; sentences that name it stay as they are."""
    text = str(error)
    if faults.has_code(error, faults.PEER_UNREACHABLE):
        text += (
            "\nOnce the other site is back:"
            f"\n  {openstack('protector protection-group sync-status', group)}"
            f"\n  {openstack('protector protection-group sync-force', group)}"
            f"\n  {openstack('dr operation cleanup', operation)}"
        )
    elif faults.has_code(error, faults.OPERATION_NOT_ENDED):
        text += f"\nWatch it with: {openstack('dr operation show', operation)}"
    return exceptions.CommandError(text)
