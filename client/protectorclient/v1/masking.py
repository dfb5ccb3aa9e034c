# SPDX-License-Identifier: Apache-2.0
"""Secrets kept out of what ``--debug`` prints.

keystoneauth hashes tokens in headers and prints bodies as they are; bodies here carry the tokens of
arrays, passwords of sites and user data of servers. They are masked and not hashed: a password's
hash can be guessed.
"""

from __future__ import annotations

import logging
import re

MASK = "***"

_NAME = r"[\w.-]*(?:token|password|passwd|secret|user[_-]?data)[\w-]*"
_TEXT = r"""(?:"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?)"""

_SECRETS = (
    # A member of an object as JSON or Python writes it, and an argument as Python writes it.
    re.compile(rf"""((?:"{_NAME}"|'{_NAME}')\s*:\s*){_TEXT}""", re.IGNORECASE),
    re.compile(rf"(\b{_NAME}\s*=\s*){_TEXT}", re.IGNORECASE),
    # An option of a command line, as a line and as a list.
    re.compile(rf"(['\"]--{_NAME}['\"]\s*,\s*){_TEXT}", re.IGNORECASE),
    # A dash stands for standard input, and is no secret.
    re.compile(rf"(--{_NAME}(?:=|\s+))(?!-(?:[\s'\",]|$))[^\s'\",]+", re.IGNORECASE),
)

# What stands behind a URL's question mark may be a password for the one who is called.
_QUERY = re.compile(r"""("url"\s*:\s*"[^"?\\]*\?)(?:[^"\\]|\\.)*""", re.IGNORECASE)


def masked(text: str) -> str:
    """Replace the values of secret fields and options, and the queries of hooks' URLs."""
    for pattern in _SECRETS:
        text = pattern.sub(_quoted_mask, text)
    return _QUERY.sub(rf"\g<1>{MASK}", text)


def _quoted_mask(found: re.Match[str]) -> str:
    name = found.group(1)
    value = found.group(0)[len(name) :]
    quote = value[0] if value[0] in "\"'" else ""
    return f"{name}{quote}{MASK}{quote}"


class Masking(logging.Filter):
    """Masks the secrets of all records that pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Mask; every record passes."""
        record.msg = masked(record.getMessage())
        record.args = ()
        return True


def masking_logger(name: str) -> logging.Logger:
    """Return a logger that lets no secret out."""
    logger = logging.getLogger(name)
    if not any(isinstance(known, Masking) for known in logger.filters):
        logger.addFilter(Masking())
    return logger
