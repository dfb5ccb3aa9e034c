# SPDX-License-Identifier: Apache-2.0
"""Replication policies of protection groups."""

from __future__ import annotations

from protectorclient.v1.manager import Manager
from protectorclient.v1.records import Record


class PolicyManager(Manager):
    """``…/protection-groups/{group}/policy``."""

    def _path(self, group: str) -> str:
        return self._in_project("protection-groups", group, "policy")

    def get(self, group: str) -> Record:
        """Look at the group's policy; its tokens are masked."""
        return self._transport.get(self._path(group)).one("policy", dict)

    def create(self, group: str, fields: Record) -> Record:
        """Attach a policy."""
        return self._transport.post(self._path(group), {"policy": fields}).one("policy", dict)

    def update(self, group: str, changes: Record) -> Record:
        """Change the policy; fields left out stay."""
        return self._transport.put(self._path(group), {"policy": changes}).one("policy", dict)

    def delete(self, group: str) -> None:
        """Take the policy off."""
        self._transport.delete(self._path(group))
