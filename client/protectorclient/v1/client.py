# SPDX-License-Identifier: Apache-2.0
"""The REST API of one protector."""

from __future__ import annotations

from protectorclient.v1.health import HealthManager
from protectorclient.v1.members import MemberManager
from protectorclient.v1.operations import OperationManager
from protectorclient.v1.orphans import OrphanManager
from protectorclient.v1.policies import PolicyManager
from protectorclient.v1.protection_groups import ProtectionGroupManager
from protectorclient.v1.sites import SiteManager
from protectorclient.v1.tenant_mappings import TenantMappingManager
from protectorclient.v1.transport import Transport


class Client:
    """The nouns of the API; errors are exceptions of ``osc_lib.exceptions``."""

    def __init__(self, transport: Transport) -> None:
        self.cloud = transport.cloud
        self._transport = transport
        self.sites = SiteManager(transport)
        self.tenant_mappings = TenantMappingManager(transport)
        self.protection_groups = ProtectionGroupManager(transport)
        self.members = MemberManager(transport)
        self.policies = PolicyManager(transport)
        self.operations = OperationManager(transport)
        self.orphans = OrphanManager(transport)
        self.health = HealthManager(transport)

    @property
    def last_origin(self) -> str | None:
        """Where the last answer came from, with its request id; None when there was none yet."""
        return self._transport.last_origin

    @property
    def project_id(self) -> str:
        """The project that is asked about: the token's."""
        return self._transport.project_id
