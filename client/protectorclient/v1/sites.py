# SPDX-License-Identifier: Apache-2.0
"""Sites: the two clouds as protector knows them."""

from __future__ import annotations

from typing import Any

from protectorclient.v1.manager import Manager, admin
from protectorclient.v1.records import Record, Records, SiteFailover


class SiteManager(Manager):
    """``/v1/admin/sites``."""

    def list(self, limit: int | None = None, **query: Any) -> Records:
        """All sites, or those that the query keeps."""
        return self._transport.pages(admin("sites"), "sites", limit, dict, **query)

    def create(self, fields: Record) -> Record:
        """Register a site."""
        return self._transport.post(admin("sites"), {"site": fields}).one("site", dict)

    def get(self, site: str) -> Record:
        """One site, by name or id."""
        return self._transport.get(admin("sites", site)).one("site", dict)

    def update(self, site: str, changes: Record) -> Record:
        """Change a site's registration; fields left out stay."""
        return self._transport.put(admin("sites", site), {"site": changes}).one("site", dict)

    def delete(self, site: str) -> None:
        """Forget a site."""
        self._transport.delete(admin("sites", site))

    def retire(self, site: str, options: Record) -> Record:
        """Say that a site is gone for good, or ask what that would mean."""
        answer = self._transport.post(admin("sites", site, "retire"), {"retire": options})
        return answer.one("retirement", dict)

    def validate(self, site: str) -> Record:
        """Try the site's credentials and endpoints."""
        answer = self._transport.post(admin("sites", site, "validate"), {})
        return answer.one("validation", dict)

    def volume_types(self, site: str, limit: int | None = None, **query: Any) -> Records:
        """List the volume types of the site's cloud, and whether groups can use them."""
        path = admin("sites", site, "volume-types")
        return self._transport.pages(path, "volume_types", limit, dict, **query)

    def failover(self, site: str, options: Record) -> SiteFailover:
        """Fail over all groups that run on the site."""
        answer = self._transport.post(admin("sites", site, "failover"), {"failover": options})
        return answer.whole(SiteFailover)
