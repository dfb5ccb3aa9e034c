# SPDX-License-Identifier: Apache-2.0
"""Seconds as people say them."""

from __future__ import annotations

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def words(seconds: int) -> str:
    """Write the two largest units: ``12 min 3 s``."""
    rest = max(int(seconds), 0)
    place = next((n for n, (_, size) in enumerate(_UNITS) if rest >= size), len(_UNITS) - 1)
    parts: list[str] = []
    for unit, size in _UNITS[place : place + 2]:
        count, rest = divmod(rest, size)
        if count or not parts:
            parts.append(f"{count} {unit}")
    return " ".join(parts)
