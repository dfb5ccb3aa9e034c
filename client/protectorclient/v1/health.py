# SPDX-License-Identifier: Apache-2.0
"""The health report."""

from __future__ import annotations

from protectorclient.v1.manager import Manager
from protectorclient.v1.records import Health


class HealthManager(Manager):
    """``/v1/health``."""

    def get(self, *, all_projects: bool = False) -> Health:
        """Look at sites, services and the project's groups; administrators can see all groups."""
        answer = self._transport.get("/v1/health", all_projects="true" if all_projects else None)
        return answer.one("health", Health)
