# SPDX-License-Identifier: Apache-2.0
"""Tenant mappings: which project on one cloud is which on the other."""

from __future__ import annotations

from typing import Any, cast

from protectorclient.v1.manager import Manager, admin
from protectorclient.v1.records import Record, Records


class TenantMappingManager(Manager):
    """``/v1/admin/tenant-mappings``."""

    def list(self, limit: int | None = None, **query: Any) -> Records:
        """All mappings, or those that the query keeps."""
        return self._transport.pages(admin("tenant-mappings"), "tenant_mappings", limit, **query)

    def create(self, fields: Record) -> Record:
        """Link two projects and grant the service user its role on both."""
        body = self._transport.post(admin("tenant-mappings"), {"tenant_mapping": fields})
        return cast(Record, body["tenant_mapping"])

    def get(self, mapping: str) -> Record:
        """One mapping, by id."""
        body = self._transport.get(admin("tenant-mappings", mapping))
        return cast(Record, body["tenant_mapping"])

    def delete(self, mapping: str, *, revoke: bool = False) -> None:
        """Unlink the projects; with ``revoke`` the service user loses its role on both too."""
        path = admin("tenant-mappings", mapping)
        self._transport.delete(path, revoke="true" if revoke else None)
