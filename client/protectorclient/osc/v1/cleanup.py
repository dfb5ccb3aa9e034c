# SPDX-License-Identifier: Apache-2.0
"""``dr operation cleanup``."""

from __future__ import annotations

import argparse

from osc_lib import exceptions

from protectorclient.osc.cleanup_report import CleanupReport
from protectorclient.osc.clouds import Cloud
from protectorclient.osc.waiting import Waiting, watched
from protectorclient.v1 import faults
from protectorclient.v1.records import Operation, Operations, is_terminal


class CleanupOperation(Waiting):
    """Delete what an ended operation left behind: what failed, and volumes that were retained.

    What is gone already is skipped, so the command may be repeated. It prints what happens as it
    happens; the exit code is 1 when something is left. Ctrl-C leaves the work running on the
    server.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments: exactly one of the three."""
        parser = super().get_parser(prog_name)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "operation",
            metavar="<operation-id>",
            nargs="?",
            help="Operation to clean up after (ID)",
        )
        which.add_argument(
            "--operation-id", metavar="<operation-id>", help="The same, as an option"
        )
        which.add_argument(
            "--protection-group",
            metavar="<protection-group>",
            help="Clean up after all ended operations of this protection group (name or ID) that "
            "left something behind",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Clean up."""
        if parsed_args.protection_group is not None:
            self._clean_group(parsed_args.protection_group)
            return
        operation_id = parsed_args.operation or parsed_args.operation_id
        cloud, operation = self._home_of(operation_id)
        if not self._clean(cloud, operation):
            self._print(f"Nothing to clean up: operation {operation_id} left nothing behind.")

    def _clean_group(self, group: str) -> None:
        """Clean up after each operation, the oldest first; one that is refused stops no other."""
        found = False
        for cloud, operation in self._ended_of(group):
            try:
                found = self._clean(cloud, operation) or found
            except (exceptions.ClientException, exceptions.CommandError) as error:
                found = True
                self.exit_code = 1
                self.say(f"Operation {operation['id']} was not cleaned up: {error}")
        if not found:
            self._print(
                f"Nothing to clean up: no ended operation of protection group '{group}' left "
                "anything behind."
            )

    def _clean(self, cloud: Cloud, operation: Operation) -> bool:
        """Clean up after one operation; False when nothing is left of it."""
        operations = cloud.protector.operations
        try:
            child, plan = operations.cleanup(operation["id"])
        except exceptions.Conflict as error:
            raise _with_advice(error, operation) from error
        if child is None:
            return False
        self.under_way = child["id"]
        failed_before = {failed["step"] for failed in operation.get("steps_failed") or []}
        report = CleanupReport(self.app.stdout, operation["id"], plan, failed_before)
        try:
            for seen in watched(cloud.protector, child["id"], detail=True):
                child = seen
                report.update(seen)
        except BaseException:
            report.break_off()
            raise
        self.under_way = None
        report.close()
        self._judge(operation, child, report)
        return True

    def _judge(self, operation: Operation, child: Operation, report: CleanupReport) -> None:
        if child["status"] == "failed" and child.get("error"):
            self.say(f"Cleanup operation {child['id']} failed: {child['error']}")
        if report.left or child["status"] == "failed":
            self.exit_code = 1
            self.say(
                f"Something is left: openstack dr operation show {operation['id']} lists it; "
                "the cleanup can be repeated."
            )

    def _home_of(self, operation_id: str) -> tuple[Cloud, Operation]:
        """Find the site that recorded the operation: the one where it was started."""
        clouds = self.clouds.all()
        for cloud in clouds[:-1]:
            try:
                return cloud, cloud.protector.operations.get(operation_id)
            except exceptions.NotFound:
                continue
            except faults.Unreachable as error:
                self.say(f"{error} Looking on cloud '{clouds[-1].name}'.")
        return clouds[-1], clouds[-1].protector.operations.get(operation_id)

    def _ended_of(self, group: str) -> list[tuple[Cloud, Operation]]:
        """List the ended operations on all sites, but for cleanups: those belong to others."""
        found: dict[str, tuple[Cloud, Operation]] = {}
        for cloud, operations in self._recorded(group):
            for operation in operations:
                if is_terminal(operation) and operation["operation_type"] != "cleanup":
                    found.setdefault(operation["id"], (cloud, operation))
        return sorted(found.values(), key=lambda entry: entry[1].get("created_at") or "")

    def _recorded(self, group: str) -> list[tuple[Cloud, Operations]]:
        """Operations of the group by site; a second site that knows nothing of it is left out."""
        primary, *others = self.clouds.all()
        recorded = [(primary, primary.protector.operations.list(protection_group=group))]
        for cloud in others:
            try:
                recorded.append((cloud, cloud.protector.operations.list(protection_group=group)))
            except exceptions.NotFound:
                continue
            except faults.Unreachable as error:
                self.exit_code = 1
                self.say(f"{error} Operations recorded there are left out.")
        return recorded

    def _print(self, text: str) -> None:
        self.app.stdout.write(text + "\n")


def _with_advice(error: exceptions.Conflict, operation: Operation) -> exceptions.CommandError:
    text = str(error)
    if "metadata sync required" in text:
        group = operation.get("protection_group") or operation.get("protection_group_id")
        text += (
            "\nOnce the other site is back:"
            f"\n  openstack protector protection-group sync-status {group}"
            f"\n  openstack protector protection-group sync-force {group}"
            f"\n  openstack dr operation cleanup {operation['id']}"
        )
    elif "Operation not in completed state" in text:
        text += f"\nWatch it with: openstack dr operation show {operation['id']}"
    return exceptions.CommandError(text)
