# SPDX-License-Identifier: Apache-2.0
"""``dr recovery-point list``."""

from __future__ import annotations

import argparse
from typing import Any

from protectorclient.osc import arguments, columns
from protectorclient.osc.commands import Listed, Lister
from protectorclient.v1.records import KeptPoint

_COLUMNS = {
    "ID": "id",
    "Taken At": "taken_at",
    "Age": "age_seconds",
    "Consistency": "consistency",
    "For Failover": "for_failover",
    "Array": "array",
}


class ListRecoveryPoints(Lister):
    """List what a protection group can be brought to on its other site, newest first.

    openstack dr test-failover --recovery-point tries any of them; openstack dr failover --unplanned
    --recovery-point goes to one that is for failover.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List."""
        groups = self.protector.protection_groups
        points = groups.recovery_points(parsed_args.protection_group)
        return tuple(_COLUMNS), [_row(point) for point in points]


def _row(point: KeptPoint) -> tuple[Any, ...]:
    values: dict[str, Any] = {**point, "age_seconds": columns.Seconds(point["age_seconds"])}
    return tuple(values[name] for name in _COLUMNS.values())
