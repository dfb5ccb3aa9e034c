# SPDX-License-Identifier: Apache-2.0
"""What all managers share."""

from __future__ import annotations

from urllib.parse import quote

from osc_lib import exceptions

from protectorclient.v1.transport import Transport


class Manager:
    """The calls about one noun."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def _in_project(self, *parts: str) -> str:
        """Path of something of the token's project."""
        return "/v1/" + "/".join(_segment(part) for part in (self._project(), *parts))

    def _project(self) -> str:
        return self._transport.project_id


def admin(*parts: str) -> str:
    """Path of something that administrators care for."""
    return "/v1/admin/" + "/".join(_segment(part) for part in parts)


def _segment(part: str) -> str:
    """Quote one name or id; one that HTTP would drop from the path would name something else."""
    if part in ("", ".", ".."):
        raise exceptions.CommandError(f"'{part}' is not a name or an ID.")
    return quote(part, safe="")
