# SPDX-License-Identifier: Apache-2.0
"""What all managers share."""

from __future__ import annotations

from urllib.parse import quote

from protectorclient.v1.transport import Transport


class Manager:
    """The calls about one noun."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _in_project(self, *parts: str) -> str:
        """Path of something of the token's project."""
        return "/v1/" + "/".join(quote(part, safe="") for part in (self._project(), *parts))

    def _project(self) -> str:
        return self._transport.project_id


def admin(*parts: str) -> str:
    """Path of something that administrators care for."""
    return "/v1/admin/" + "/".join(quote(part, safe="") for part in parts)
