# SPDX-License-Identifier: Apache-2.0
"""What commands share that start operations."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, Callable, TypeVar, cast

from osc_lib import exceptions

from protectorclient.osc import arguments, columns, duration, inquiry, operation_records
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.clouds import Cloud, nothing_found
from protectorclient.osc.commands import Command, Shown, SizedShowOne
from protectorclient.osc.wait import Waiting
from protectorclient.v1 import faults
from protectorclient.v1.records import Operation, Record, is_awaiting_cleanup, is_terminal

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds that the site that can take over has when the other one has refused: it asks an array."""


class Willing(Command):
    """A command that is for the site that is left when the other one is gone."""

    def first_willing(self, call: Callable[[Cloud], T], but: str | None = None) -> tuple[Cloud, T]:
        """Find the site that can do without the other one; the dead one is not waited for.

        The cloud named ``but`` is not asked, if there is another one.
        """
        clouds = self.clouds.survivor_first()
        answers = inquiry.ask(
            [one for one in clouds if one.name != but] or clouds,
            call,
            first_patience=PATIENCE,
        )
        for answer in answers:
            if answer.error is None:
                return answer.cloud, cast(T, answer.value)
        raise _unwilling(answers)


class Start(Willing, Waiting, SizedShowOne):
    """A command that starts an operation and shows it."""

    value_width = 43
    takes_group = True
    waits_until = "the operation has ended"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        if self.takes_group:
            arguments.add_group(parser)
        arguments.add_wait(parser, self.waits_until)
        return parser

    def start(
        self, parsed_args: argparse.Namespace, verb: str, body: Record, cloud: Cloud | None = None
    ) -> Shown:
        """Start it, wait when asked to, and show it."""
        asked = cloud or self.clouds.primary
        group = parsed_args.protection_group
        try:
            operation = asked.protector.protection_groups.action(group, verb, body)
        except faults.TimedOut as error:
            raise faults.TimedOut(str(error), _perhaps_started(group)) from error
        except faults.Malformed as error:
            raise faults.Malformed(f"{error} {_perhaps_started(group)}") from error
        return self.follow(parsed_args, asked, operation)

    def clean_up_test(self, parsed_args: argparse.Namespace) -> Shown:
        """Start the cleanup of a test failover on the site that runs it."""
        test = parsed_args.test_operation_id
        cloud = self.clouds.primary
        if self.clouds.secondary is not None:
            cloud, _ = operation_records.find_at_home(self.clouds, test, self.say)
        return self.start(parsed_args, "test_cleanup", {"test_operation_id": test}, cloud)

    def follow(self, parsed_args: argparse.Namespace, cloud: Cloud, operation: Operation) -> Shown:
        """Wait for a started operation when asked to, and show it."""
        if parsed_args.wait and not is_terminal(operation):
            operation = self.wait_for(cloud.protector, operation)
            self._say_next(cloud, operation)
        return _shown(operation)

    def _say_next(self, cloud: Cloud, operation: Operation) -> None:
        """Say what came of it that the table does not show, and what can be done about it."""
        kind = operation["operation_type"]
        lost = operation.get("data_loss_seconds")
        if operation["status"] == "completed" and (lost is not None or kind == "retry"):
            self._say_loss(operation)
            self._say_missing(cloud, operation)
        if is_awaiting_cleanup(operation):
            cleanup = openstack(
                "dr test-cleanup",
                operation["protection_group"],
                options=[("--test-operation-id", operation["id"])],
            )
            self.say(f"The test VMs are up. When you have looked at them: {cleanup}")
        elif kind == "fence" and operation["status"] == "completed":
            self._say_fenced(operation)
        elif operation.get("leftovers"):
            self._say_leftovers(operation)

    def _say_loss(self, operation: Operation) -> None:
        point, lost = operation.get("recovery_point"), operation.get("data_loss_seconds")
        if lost is not None:
            since = f" {point['taken_at']}" if point else " the recovery point"
            self.say(f"Changes made after{since} are lost: {duration.words(lost)}.")

    def _say_missing(self, cloud: Cloud, operation: Operation) -> None:
        """Say when some VMs were not recovered; such a failover is no success of the command."""
        group = operation["protection_group"]
        try:
            status = cloud.protector.protection_groups.get(group)["status"]
        except (exceptions.ClientException, exceptions.CommandError):
            return
        if status in ("active_partial", "failed_over_partial"):
            self.exit_code = 1
            self.say(
                "Not all VMs were recovered: steps_failed says why. When that is mended: "
                f"{openstack('dr retry', group)}"
            )

    def _say_fenced(self, operation: Operation) -> None:
        parent = operation.get("parent_operation_id")
        stopped = f"The VMs on {operation['source_site']} are stopped."
        if parent is None:
            self.say(stopped)
            return
        cleanup = openstack("dr operation cleanup", parent)
        self.say(f"{stopped} To delete what was left there: {cleanup}")

    def _say_leftovers(self, operation: Operation) -> None:
        count = operation["leftovers"]
        cleanup = openstack("dr operation cleanup", operation["id"])
        if operation.get("data_loss_seconds") is not None:
            fence = openstack("dr fence", operation["protection_group"])
            self.say(
                f"VMs and volumes on {operation['source_site']} were left as they are. When it is "
                f"back, stop its VMs first: {fence}; then: {cleanup}"
            )
            return
        self.say(
            f"{count} {'resource is' if count == 1 else 'resources are'} left behind; to "
            f"remove {'it' if count == 1 else 'them'}: {cleanup}"
        )


def _perhaps_started(group: str) -> str:
    look = openstack("dr operation list", options=[("--protection-group", group)])
    return f"It may have been started all the same. Look before you try again: {look}"


def _unwilling(answers: Sequence[inquiry.Answer[Any]]) -> Exception:
    """Make the error for a call that no site took; a refusal says more than a silence."""
    refused = [
        answer
        for answer in answers
        if not isinstance(answer.error, (faults.Unreachable, exceptions.NotFound))
    ]
    if len(refused) < 2:
        return nothing_found(answers)
    return exceptions.CommandError(
        "\n".join(f"Cloud '{answer.cloud.name}': {answer.error}" for answer in refused)
    )


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
