# SPDX-License-Identifier: Apache-2.0
"""Orphans: what earlier operations left on a site."""

from __future__ import annotations

from typing import NamedTuple

from protectorclient.v1.manager import Manager
from protectorclient.v1.records import Orphan, OrphanSite


class Listing(NamedTuple):
    """The orphans that one protector knows of, and the sites that it looked at."""

    orphans: list[Orphan]
    sites: list[OrphanSite]


class OrphanManager(Manager):
    """``/v1/{project_id}/orphans``."""

    def list(self, *, site: str | None = None, protection_group: str | None = None) -> Listing:
        """Orphans on both sites, or on one; of all groups, or of one by name or id."""
        path = self._in_project("orphans")
        answer = self._transport.get(path, site=site, protection_group=protection_group)
        return Listing(answer.many("orphans", Orphan), answer.many("sites", OrphanSite))
