# SPDX-License-Identifier: Apache-2.0
r"""Texts of clouds and users, made safe for a terminal; the only place that writes to one.

What steers a terminal (ESC, CSI, OSC), turns the direction of writing round, or cannot be seen is
shown as Python and JSON write it: ``\x1b``, ``\u202e``. So two names that look the same are.
"""

from __future__ import annotations

import re
from typing import TextIO

# Printable for Python, and yet nothing is seen: fillers, selectors of variants, an empty pattern.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U000e0100-\U000e01ef]"
)


def shown(text: str) -> str:
    """Escape what is not seen as what it is; line breaks stay."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return "".join(character if character == "\n" else _seen(character) for character in text)


def one_line(text: str) -> str:
    """Put a text on one line, and escape as ``shown`` does."""
    return shown(" ".join(text.split()))


def in_one_line(text: str) -> str:
    """Escape line breaks too, where a line is an entry."""
    return shown(text.replace("\n", "\\n"))


def encodable(stream: TextIO, text: str) -> str:
    """Escape what the output's encoding lacks, and halves of characters, which JSON can have."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def write(stream: TextIO, text: str) -> None:
    """Write a text for people."""
    stream.write(encodable(stream, shown(text)))
    stream.flush()


def overwrite_line(stream: TextIO, text: str) -> None:
    """Write a text in place of the terminal's line."""
    stream.write(f"\r\033[K{encodable(stream, in_one_line(text))}")
    stream.flush()


def _seen(character: str) -> str:
    if character.isprintable() and not _UNSEEN.match(character):
        return character
    return character.encode("unicode_escape").decode("ascii")
