# SPDX-License-Identifier: Apache-2.0
"""Texts of clouds and users, made safe for a terminal."""

from __future__ import annotations


def one_line(text: str) -> str:
    """Put a text on one line, without characters that steer a terminal."""
    line = " ".join(text.split())
    return "".join(character if character.isprintable() else "?" for character in line)
