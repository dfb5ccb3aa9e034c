# SPDX-License-Identifier: Apache-2.0
"""Members of protection groups."""

from __future__ import annotations

from typing import Any

from protectorclient.v1.manager import Manager
from protectorclient.v1.records import Record, Records


class MemberManager(Manager):
    """``…/protection-groups/{group}/members``."""

    def _path(self, group: str, *parts: str) -> str:
        return self._in_project("protection-groups", group, "members", *parts)

    def list(self, group: str, limit: int | None = None, **query: Any) -> Records:
        """Members of the group, or those that the query keeps."""
        return self._transport.pages(self._path(group), "members", limit, dict, **query)

    def create(self, group: str, fields: Record) -> Record:
        """Protect a server, by its id."""
        return self._transport.post(self._path(group), {"member": fields}).one("member", dict)

    def get(self, group: str, member: str) -> Record:
        """One member, by name, id or server id."""
        return self._transport.get(self._path(group, member)).one("member", dict)

    def compare(self, group: str, member: str) -> Record:
        """One member on record, as its server is now, and as its copy would be."""
        answer = self._transport.get(self._path(group, member, "comparison"))
        return answer.one("comparison", dict)

    def delete(self, group: str, member: str, *, give_up: bool = False) -> None:
        """Protect a server no more; the server is not touched.

        One that was not recovered is removed with ``give_up`` alone.
        """
        self._transport.delete(self._path(group, member), give_up="true" if give_up else None)
