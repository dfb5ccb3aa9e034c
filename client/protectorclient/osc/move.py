# SPDX-License-Identifier: Apache-2.0
"""What the commands share that move a protection group, or finish such a move."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, cast

from osc_lib import exceptions

from protectorclient.osc import arguments, columns, confirmation, lookup, operation_records
from protectorclient.osc import preview as previews
from protectorclient.osc.by_hand import Option, openstack
from protectorclient.osc.clouds import Cloud
from protectorclient.osc.commands import Shown, is_for_people
from protectorclient.osc.start import Start
from protectorclient.v1 import faults
from protectorclient.v1.records import Preview, Record


def add_type(parser: argparse.ArgumentParser, text: str) -> None:
    """``--type`` and ``--unplanned``.

    Without a default, so that ``--type planned --unplanned`` is seen for what it is.
    """
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--type", choices=("planned", "unplanned"), help=text)
    kind.add_argument(
        "--unplanned",
        dest="type",
        action="store_const",
        const="unplanned",
        help="Short for --type unplanned",
    )


def add_failover(parser: argparse.ArgumentParser) -> None:
    """``--type``, ``--unplanned`` and ``--yes``."""
    add_type(
        parser,
        "planned: both sites answer, nothing is lost; unplanned: the source is gone and is not "
        "asked, what was written after the last recovery point is lost (default: planned)",
    )
    add_recovery_point(parser, "For unplanned: the recovery point to go to,")
    confirmation.add_yes(parser, "an unplanned failover")


def add_recovery_point(parser: argparse.ArgumentParser, when: str) -> None:
    """``--recovery-point``."""
    parser.add_argument(
        "--recovery-point",
        metavar="<recovery-point-id>",
        help=f"{when} as openstack dr recovery-point list shows it (default: the latest)",
    )


def recovery_point_of(parsed_args: argparse.Namespace) -> Record:
    """Take the recovery point that was asked for into a request's body."""
    wanted = parsed_args.recovery_point
    return {} if wanted is None else {"recovery_point": wanted}


def add_retain(parser: argparse.ArgumentParser) -> None:
    """``--retain-source-volumes``."""
    parser.add_argument(
        "--retain-source-volumes",
        action="store_true",
        help="Leave the volumes on the site that the group leaves detached and intact; `openstack "
        "dr operation cleanup` deletes them later (default: as the service's "
        "retain_source_volumes_on_failover says)",
    )


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """``--dry-run``."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="Change nothing; print what would be done, or why it would be refused",
    )


class Move(Start):
    """A command that moves a group between its sites; with --dry-run it shows how."""

    _preview: Preview | None = None
    _group = ""

    def fail_over(self, parsed_args: argparse.Namespace) -> Shown:
        """Fail over, planned or unplanned."""
        body: Record = {"type": parsed_args.type or "planned", **recovery_point_of(parsed_args)}
        if parsed_args.retain_source_volumes:
            body["retain_source_volumes"] = True
        if parsed_args.type == "unplanned":
            return self._move_without_source(parsed_args, "failover", body)
        body.update(lookup.mappings_of(self.clouds, parsed_args.protection_group, parsed_args))
        try:
            return self._move(parsed_args, "failover", body)
        except faults.Unreachable as error:
            unplanned = self._unplanned(parsed_args, "failover")
            raise faults.Unreachable(
                str(error),
                f"{error.advice} If the site is lost: {unplanned}; it shows first what would be "
                "lost, and asks.",
            ) from error

    def fail_back(self, parsed_args: argparse.Namespace) -> Shown:
        """Bring the group back to its first site, planned or unplanned."""
        if parsed_args.type == "unplanned":
            unplanned = {"type": "unplanned", **recovery_point_of(parsed_args)}
            return self._move_without_source(parsed_args, "failback", unplanned)
        body = lookup.mappings_of(self.clouds, parsed_args.protection_group, parsed_args)
        body.update(recovery_point_of(parsed_args))
        if parsed_args.retain_source_volumes:
            body["retain_source_volumes"] = True
        return self._move(parsed_args, "failback", body)

    def _move(self, parsed_args: argparse.Namespace, verb: str, body: Record) -> Shown:
        if not parsed_args.dry_run:
            return self.start(parsed_args, verb, body)
        groups = self.protector.protection_groups
        return self._previewed(
            parsed_args, groups.preview(parsed_args.protection_group, verb, body)
        )

    def _move_without_source(
        self, parsed_args: argparse.Namespace, verb: str, body: Record
    ) -> Shown:
        """Look on the site that is left what will be lost, ask, and start there."""
        group = parsed_args.protection_group
        if not parsed_args.dry_run:
            confirmation.require_answerable(self, parsed_args, "An unplanned failover loses data")

        def look(cloud: Cloud) -> tuple[Record, Preview]:
            full = {**body, **mappings(cloud, parsed_args)}
            preview = cloud.protector.protection_groups.preview(group, verb, full)
            if preview["source_site"] == cloud.name:
                raise exceptions.CommandError(
                    f"Protection group '{group}' runs on {cloud.name}: an unplanned failover is "
                    f"started on {preview['target_site']}."
                )
            if preview["operation_type"] != verb and lookup.has_names(parsed_args):
                raise exceptions.CommandError(
                    f"Protection group '{group}' goes back to its primary site: give IDs in its "
                    f"mappings, or use {self._unplanned(parsed_args, 'failback')}."
                )
            return full, preview

        if verb == "failback":
            lookup.refuse_secondary_names(parsed_args)
            mappings = lookup.mappings_to_primary
        else:
            lookup.refuse_source_names(parsed_args)
            mappings = lookup.target_mappings
        cloud, (full, preview) = self.first_willing(look)
        if parsed_args.dry_run:
            return self._previewed(parsed_args, preview)
        for line in previews.loss(preview, group):
            self.say(line)
        if not parsed_args.yes:
            confirmation.confirm(self, previews.question(preview))
        shown = self.start(parsed_args, verb, full, cloud)
        if not parsed_args.wait:
            _, (operation_id, *_) = shown
            self.say(f"Watch it with: {openstack('dr operation show', operation_id)}")
        return shown

    @staticmethod
    def _unplanned(parsed_args: argparse.Namespace, verb: str) -> str:
        return openstack(
            f"dr {verb}", parsed_args.protection_group, options=[("--unplanned", None)]
        )

    def _previewed(self, parsed_args: argparse.Namespace, preview: Preview) -> Shown:
        self._preview = preview
        self._group = parsed_args.protection_group
        return columns.shown(cast(Record, preview))

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print; a preview as lines for people."""
        if self._preview is None or not is_for_people(self, parsed_args):
            return int(super().produce_output(parsed_args, column_names, data) or 0)
        lines = previews.lines(self._preview, self._group)
        lines.append(f"To start it: {_without_dry_run(parsed_args, self._preview)}")
        lines.extend(previews.attributes(self._preview))
        self.put("\n".join(lines))
        return 0

    def retry(self, parsed_args: argparse.Namespace) -> Shown:
        """Try again to recover the members that a failover could not."""
        lookup.refuse_source_names(parsed_args)
        if parsed_args.operation_id is None:
            cloud, body = self._home_of_failover(parsed_args.protection_group), {}
        else:
            cloud, _ = operation_records.find_at_home(
                self.clouds, parsed_args.operation_id, self.say
            )
            body = {"operation_id": parsed_args.operation_id}
        if parsed_args.lose_newer_writes:
            body["lose_newer_writes"] = True
        body.update(lookup.target_mappings(cloud, parsed_args))
        return self.start(parsed_args, "retry", body, cloud)

    def fence(self, parsed_args: argparse.Namespace) -> Shown:
        """Stop the VMs on the site that an unplanned failover has left.

        That is for the home of the group's last move; where that or its record is lost, for any.
        """
        try:
            cloud = self._home_of_failover(parsed_args.protection_group)
        except operation_records.NotAtHome as silence:
            return self._fence_elsewhere(parsed_args, silence.home)
        return self.start(parsed_args, "fence", {}, cloud)

    def _fence_elsewhere(self, parsed_args: argparse.Namespace, home: str | None) -> Shown:
        """Ask a site that is left; one that knows the home to be well refuses."""
        group = parsed_args.protection_group
        cloud, _ = self.first_willing(lambda one: one.protector.protection_groups.get(group))
        if home is None:
            return self.start(parsed_args, "fence", {}, cloud)
        self.say(
            f"{home}, which runs what follows the last move of protection group '{group}', did not "
            f"answer in time. Cloud '{cloud.name}' is asked instead."
        )
        try:
            return self.start(parsed_args, "fence", {}, cloud)
        except exceptions.Conflict as refusal:
            raise exceptions.CommandError(
                f"Nothing was fenced. {home} did not answer in time, and cloud '{cloud.name}', "
                f"asked instead, refused: {refusal} If {home} is slow and not lost, give it time: "
                f"{openstack('dr fence', group, cloud=home)}"
            ) from refusal

    def _home_of_failover(self, group: str) -> Cloud:
        """Find the site that runs what follows the group's last failover."""
        if self.clouds.secondary is None:
            return self.clouds.primary
        found = operation_records.newest_move_at_home(self.clouds, group)
        if found is None:
            raise operation_records.NotAtHome(
                f"Protection group '{group}' was never failed over: there is nothing to go on with."
            )
        return found[0]


def _without_dry_run(parsed_args: argparse.Namespace, preview: Preview) -> str:
    options: list[Option] = []
    if previews.is_unplanned(preview):
        options.append(("--unplanned", None))
    if getattr(parsed_args, "retain_source_volumes", False):
        options.append(("--retain-source-volumes", None))
    if getattr(parsed_args, "recovery_point", None) is not None:
        options.append(("--recovery-point", parsed_args.recovery_point))
    for name in ("network_mapping", "flavor_mapping"):
        for here, there in getattr(parsed_args, name):
            options.append((f"--{name.replace('_', '-')}", f"{here}={there}"))
    verb = f"dr {preview['operation_type']}"
    return openstack(verb, parsed_args.protection_group, options=options)


def add_retry(parser: argparse.ArgumentParser, which: str = "") -> None:
    """``--operation-id``; ``which`` says for which of several actions."""
    parser.add_argument(
        "--operation-id",
        metavar="<operation-id>",
        help=f"{which}The failover whose VMs are missing (ID; default: the group's newest "
        "failover)",
    )
    parser.add_argument(
        "--lose-newer-writes",
        action="store_true",
        help=f"{which}Also recover VMs whose originals are back on the source site and stopped: "
        "what those have written since the recovery point may be lost",
    )


def add_operation_mappings(
    parser: argparse.ArgumentParser, under: str = "the stored mapping"
) -> None:
    """``--network-mapping`` and ``--flavor-mapping`` of one operation, over those of ``under``."""
    arguments.add_mappings(
        parser,
        f"For this operation, over {under}. An unplanned failover and its retry do not "
        "ask the source site: give IDs of its networks and flavors.",
    )
