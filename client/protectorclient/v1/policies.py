# SPDX-License-Identifier: Apache-2.0
"""Replication policies of protection groups."""

from __future__ import annotations

from typing import cast

from protectorclient.v1.manager import Manager
from protectorclient.v1.records import Record


class PolicyManager(Manager):
    """``…/protection-groups/{group}/policy``."""

    def _path(self, group: str) -> str:
        return self._in_project("protection-groups", group, "policy")

    def get(self, group: str) -> Record:
        """Look at the group's policy; its tokens are masked."""
        return cast(Record, self._transport.get(self._path(group))["policy"])

    def create(self, group: str, fields: Record) -> Record:
        """Attach a policy."""
        return cast(Record, self._transport.post(self._path(group), {"policy": fields})["policy"])

    def update(self, group: str, changes: Record) -> Record:
        """Change the policy; fields left out stay."""
        return cast(Record, self._transport.put(self._path(group), {"policy": changes})["policy"])

    def delete(self, group: str) -> None:
        """Take the policy off."""
        self._transport.delete(self._path(group))
