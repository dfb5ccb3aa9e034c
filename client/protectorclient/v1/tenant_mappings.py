# SPDX-License-Identifier: Apache-2.0
"""Tenant mappings: which project on one cloud is which on the other."""

from __future__ import annotations

from typing import Any

from protectorclient.v1.manager import Manager, admin
from protectorclient.v1.records import Record, Records


class TenantMappingManager(Manager):
    """``/v1/admin/tenant-mappings``."""

    def list(self, limit: int | None = None, **query: Any) -> Records:
        """All mappings, or those that the query keeps."""
        return self._transport.pages(
            admin("tenant-mappings"), "tenant_mappings", limit, dict, **query
        )

    def create(self, fields: Record) -> Record:
        """Link two projects and grant the service user its role on both."""
        answer = self._transport.post(admin("tenant-mappings"), {"tenant_mapping": fields})
        return answer.one("tenant_mapping", dict)

    def get(self, mapping: str) -> Record:
        """One mapping, by id."""
        answer = self._transport.get(admin("tenant-mappings", mapping))
        return answer.one("tenant_mapping", dict)

    def delete(self, mapping: str, *, revoke: bool = False) -> None:
        """Unlink the projects; with ``revoke`` the service user loses its role on both too."""
        path = admin("tenant-mappings", mapping)
        self._transport.delete(path, revoke="true" if revoke else None)
