# SPDX-License-Identifier: Apache-2.0
"""``dr operation cleanup``."""

from __future__ import annotations

import argparse

from osc_lib import exceptions

from protectorclient.osc import cleanup_plan, operation_records
from protectorclient.osc.cleanup_command import CleanupCommand, Job, with_advice
from protectorclient.osc.clouds import Cloud
from protectorclient.osc.commands import Listed
from protectorclient.v1.records import CleanupPlan, Operation, is_terminal


class CleanupOperation(CleanupCommand):
    """Delete what an ended operation left behind: what failed, and volumes that were retained.

    What is gone already is skipped, so the command may be repeated. It prints what happens as it
    happens; the exit code is 1 when something is left. Ctrl-C leaves the work running on the
    server. With -f json and the like stdout gets the outcome of each resource instead.

    A server that runs is kept, with the reason: what it has written since it was started is
    nowhere else. Stop it first, or name it with --delete-running.

    Floating IPs stay, for the way back, unless --release-floating-ips asks for their release.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments: exactly one of the three that name what to clean up."""
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
        parser.add_argument(
            "--delete-running",
            metavar="<server>",
            action="append",
            help="Delete this server (name or ID) though it runs, and with it what it has written "
            "since it was started; it must be among what the operation left. Repeat option for "
            "more servers",
        )
        parser.add_argument(
            "--release-floating-ips",
            action="store_true",
            help="Release the floating IPs, too, that the operation's servers had on the site "
            "that they left: each once its server is deleted, if it leads nowhere and the "
            "recovery plan does not name it. Another project may get the address then",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Change nothing; print what would be done and, for each resource, the plain "
            "openstack command that does it by hand. Needs only the protector API of the site "
            "where the operation was started, no cloud and no engine",
        )
        return parser

    def act(self, parsed_args: argparse.Namespace) -> Listed:
        """Clean up, or plan it."""
        group = parsed_args.protection_group
        operation_id = parsed_args.operation_id
        if parsed_args.operation is not None:
            operation_id = parsed_args.operation
        if group is not None:
            if parsed_args.delete_running:
                raise exceptions.CommandError(
                    "--delete-running names servers that one operation left: give the operation "
                    "instead of --protection-group."
                )
            if parsed_args.release_floating_ips:
                raise exceptions.CommandError(
                    "--release-floating-ips is about the servers of one operation: give the "
                    "operation instead of --protection-group."
                )
            jobs = self._left_in(group)
            nothing = f"no ended operation of protection group '{group}' left anything behind."
        else:
            job = self._job_of(operation_id)
            job = job._replace(
                delete_running=parsed_args.delete_running,
                release_floating_ips=parsed_args.release_floating_ips,
            )
            jobs = [job]
            nothing = f"operation {operation_id} left nothing behind."
        if parsed_args.dry_run:
            return self._plan(jobs, nothing)
        found = self.clean(jobs[0]) if group is None else self.clean_each(jobs)
        if not found:
            self.tell(f"Nothing to clean up: {nothing}")
        return self.outcomes()

    def _job_of(self, operation_id: str) -> Job:
        """Find the site that recorded the operation: the one where it was started."""
        return _job(*operation_records.find_at_home(self.clouds, operation_id, self.say))

    def _plan(self, jobs: list[Job], nothing: str) -> Listed:
        plans: dict[str, CleanupPlan] = {}
        for job in jobs:
            try:
                plan = job.cloud.protector.operations.cleanup_plan(
                    job.operation,
                    job.delete_running,
                    release_floating_ips=job.release_floating_ips,
                )
            except exceptions.Conflict as error:
                refusal = with_advice(error, job.operation, job.group)
                if len(jobs) == 1:
                    raise refusal from error
                self.exit_code = 1
                self.say(f"Operation {job.operation} cannot be cleaned up: {refusal}")
                continue
            if plan["leftovers"] or plan.get("floating_ips"):
                plans[job.operation] = plan
        if self.people:
            for number, (operation, plan) in enumerate(plans.items()):
                lines = cleanup_plan.lines(operation, plan)
                self.tell("\n".join(["", *lines] if number else lines))
            self.tell(cleanup_plan.BY_HAND if plans else f"Nothing to clean up: {nothing}")
        return cleanup_plan.rows(plans)

    def _left_in(self, group: str) -> list[Job]:
        """List the ended operations on all sites that left something, the oldest first.

        Cleanups are left out: what they leave is their parents'.
        """
        found = operation_records.listed(
            self.clouds, self._lacks, protection_group=group, leftovers="true"
        )
        jobs: list[Job] = []
        for cloud, operation in reversed(found):
            if not is_terminal(operation) or operation["operation_type"] == "cleanup":
                continue
            if operation_records.is_copy(cloud, operation):
                home = operation["home_site"]
                self._lacks(
                    f"Operation {operation['id']} is left out: it was started on {home}, which "
                    "did not answer or is not named with --secondary-cloud."
                )
                continue
            jobs.append(_job(cloud, operation))
        return jobs

    def _lacks(self, text: str) -> None:
        self.exit_code = 1
        self.say(text)


def _job(cloud: Cloud, operation: Operation) -> Job:
    group = operation.get("protection_group") or operation.get("protection_group_id") or ""
    return Job(cloud, operation["id"], group)
