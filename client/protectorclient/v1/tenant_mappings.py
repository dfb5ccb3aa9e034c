# SPDX-License-Identifier: Apache-2.0
"""Tenant mappings: which project on one cloud is which on the other."""

from __future__ import annotations

from typing import cast

from protectorclient.v1.manager import Manager, admin
from protectorclient.v1.records import Record, Records


class TenantMappingManager(Manager):
    """``/v1/admin/tenant-mappings``."""

    def list(self) -> Records:
        """All mappings."""
        return self._transport.pages(admin("tenant-mappings"), "tenant_mappings", None)

    def create(self, fields: Record) -> Record:
        """Link two projects and grant the service user its role on both."""
        body = self._transport.post(admin("tenant-mappings"), {"tenant_mapping": fields})
        return cast(Record, body["tenant_mapping"])

    def get(self, mapping: str) -> Record:
        """One mapping, by id."""
        body = self._transport.get(admin("tenant-mappings", mapping))
        return cast(Record, body["tenant_mapping"])

    def delete(self, mapping: str) -> None:
        """Unlink the projects."""
        self._transport.delete(admin("tenant-mappings", mapping))
