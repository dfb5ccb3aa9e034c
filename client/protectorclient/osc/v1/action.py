# SPDX-License-Identifier: Apache-2.0
"""Commands that start an operation of a protection group."""

from __future__ import annotations

import argparse

from osc_lib import exceptions

from protectorclient.osc import arguments, lookup, move
from protectorclient.osc.commands import Shown
from protectorclient.osc.move import Move
from protectorclient.osc.start import Start

VERBS = (
    "failover",
    "failback",
    "retry",
    "fence",
    "test-failover",
    "test-cleanup",
    "sync",
)


class Failover(Move):
    """Fail a protection group over to its other site.

    An unplanned failover asks only the site that is left. It shows the recovery point and asks
    before it starts. Progress: openstack dr operation show <operation-id>. With --wait the exit
    code is 1 also when not all VMs were recovered; openstack dr retry takes those up.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        move.add_failover(parser)
        move.add_retain(parser)
        move.add_dry_run(parser)
        move.add_operation_mappings(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start, or preview."""
        return self.fail_over(parsed_args)


class Failback(Move):
    """Bring a protection group back to the site that it failed over from.

    When the site on which it runs is lost: --unplanned, which asks only the site that is left.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        move.add_failover(parser)
        move.add_retain(parser)
        move.add_dry_run(parser)
        arguments.add_mappings(
            parser,
            "For this operation, over the stored mapping; the failback reads it from right to "
            "left.",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start, or preview."""
        return self.fail_back(parsed_args)


class Retry(Move):
    """Try again to recover the VMs that an unplanned failover could not recover.

    What the failover made for them is used, and its recovery point. Refused where an original is
    back on the source site: what it has written since is only there.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        move.add_retry(parser)
        move.add_operation_mappings(parser, "the failover's mapping")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        return self.retry(parsed_args)


class Fence(Move):
    """Stop the VMs that still run on the site that an unplanned failover has left.

    After that openstack dr operation cleanup may delete them.
    """

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        return self.fence(parsed_args)


class TestFailover(Start):
    """Start copies of a protection group's VMs on its other site; production is not touched.

    They stay up, and the operation stays in status running, until test-cleanup removes them.
    """

    __test__ = False
    waits_until = "the test VMs are up"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_mappings(
            parser,
            "For this test, over the stored mapping; test VMs belong on a network that is cut off "
            "from production.",
        )
        move.add_recovery_point(parser, "The recovery point to try,")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        body = lookup.mappings_of(self.clouds, parsed_args.protection_group, parsed_args)
        body.update(move.recovery_point_of(parsed_args))
        return self.start(parsed_args, "test_failover", body)


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
            help="The operation of the test failover (ID)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        return self.clean_up_test(parsed_args)


class ProtectionGroupAction(Move):
    """Start an operation of a protection group, named by --action.

    Each action is also a command of its own, but sync, which replicates the group once more. An
    option that an action does not have is refused.
    """

    waits_until = "the operation has ended, or the test VMs are up"

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "--action", required=True, type=arguments.word, choices=VERBS, help="What to do"
        )
        parser.add_argument(
            "--test-operation-id",
            metavar="<operation-id>",
            help="For test-cleanup, which needs it: the operation of the test failover (ID)",
        )
        move.add_failover(parser)
        move.add_retain(parser)
        move.add_dry_run(parser)
        move.add_retry(parser, "For retry: ")
        move.add_operation_mappings(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Start."""
        action = parsed_args.action
        _refuse_foreign(parsed_args)
        if action == "failover":
            return self.fail_over(parsed_args)
        if action == "failback":
            return self.fail_back(parsed_args)
        if action == "retry":
            return self.retry(parsed_args)
        if action == "fence":
            return self.fence(parsed_args)
        if action == "test-cleanup":
            return self.clean_up_test(parsed_args)
        body = lookup.mappings_of(self.clouds, parsed_args.protection_group, parsed_args)
        body.update(move.recovery_point_of(parsed_args))
        return self.start(parsed_args, action.replace("-", "_"), body)


def _refuse_foreign(parsed_args: argparse.Namespace) -> None:
    """Refuse options that the action does not have, rather than leave them out."""
    action = parsed_args.action
    mapped = parsed_args.network_mapping or parsed_args.flavor_mapping
    if parsed_args.type is not None and action not in ("failover", "failback"):
        raise exceptions.CommandError(
            f"--type and --unplanned are for failover and failback, not for {action}."
        )
    if parsed_args.recovery_point is not None and action not in (
        "failover",
        "failback",
        "test-failover",
    ):
        raise exceptions.CommandError(
            f"--recovery-point is for failover, failback and test-failover, not for {action}."
        )
    if parsed_args.retain_source_volumes and action not in ("failover", "failback"):
        raise exceptions.CommandError(
            f"--retain-source-volumes is for failover and failback, not for {action}."
        )
    if parsed_args.dry_run and action not in ("failover", "failback"):
        raise exceptions.CommandError(f"--dry-run is for failover and failback, not for {action}.")
    if parsed_args.operation_id is not None and action != "retry":
        raise exceptions.CommandError(f"--operation-id is for retry, not for {action}.")
    if parsed_args.lose_newer_writes and action != "retry":
        raise exceptions.CommandError(f"--lose-newer-writes is for retry, not for {action}.")
    if mapped and action in ("test-cleanup", "sync", "fence"):
        raise exceptions.CommandError(f"{action} takes no mapping.")
    if (action == "test-cleanup") != (parsed_args.test_operation_id is not None):
        raise exceptions.CommandError(
            "test-cleanup needs --test-operation-id."
            if action == "test-cleanup"
            else f"--test-operation-id is for test-cleanup, not for {action}."
        )
