# SPDX-License-Identifier: Apache-2.0
"""``dr protection-group check``: whether a failover would work today."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, cast

from protectorclient.osc import arguments, columns
from protectorclient.osc.commands import Listed, Lister
from protectorclient.v1.records import Readiness, Record


class CheckProtectionGroup(Lister):
    """Look for all that would make a failover of the group, or its cleanup, fail today.

    Nothing is changed. What cannot be asked, because a site does not answer, is a finding too. The
    exit code is 1 when the group is not ready.
    """

    _found: Readiness

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_group(parser)
        parser.add_argument(
            "--problems", action="store_true", help="Only what is not ok (default: each finding)"
        )
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; the exit code says whether the group is ready."""
        return super().run(parsed_args) or int(not self._found["ready"])

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """Ask a protector that answers."""
        _, self._found = self.clouds.find(
            lambda cloud: cloud.protector.protection_groups.check(parsed_args.protection_group),
            self.say,
        )
        findings = [
            cast(Record, finding)
            for finding in self._found["findings"]
            if finding["status"] != "ok" or not parsed_args.problems
        ]
        return columns.rows(
            findings,
            {
                "Check": "check",
                "Status": "status",
                "Subject": "subject",
                "Message": "message",
                "Fix": "fix",
            },
        )

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print the findings, then on stderr what they come to."""
        code = int(super().produce_output(parsed_args, column_names, data) or 0)
        word = "Ready" if self._found["ready"] else "Not ready"
        counts = [_count(self._found, status) for status in ("error", "warning")]
        self.say(f"{word} at {self._found['checked_at']}: {' and '.join(counts)}.")
        return code


def _count(found: Readiness, status: str) -> str:
    count = sum(finding["status"] == status for finding in found["findings"])
    return f"{count} {status}{'' if count == 1 else 's'}"
