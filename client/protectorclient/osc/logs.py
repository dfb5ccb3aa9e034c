# SPDX-License-Identifier: Apache-2.0
"""What is logged, ``--debug`` above all, without secrets and without what steers a terminal."""

from __future__ import annotations

import logging

from protectorclient.osc.terminal import shown
from protectorclient.v1.masking import Masking, masked

_SHELLS = ("openstackclient.shell", "osc_lib.shell")
"""They log the command line and its options before a command is there to care for it."""


def guard_command_line() -> None:
    """Mask secrets that are options of commands."""
    for name in _SHELLS:
        _guard(logging.getLogger(name), Masking)


def guard_handlers() -> None:
    """Guard all that is logged from here on, on the console and to a file.

    Errors of commands are printed by logging them, so texts of servers come along here too.
    """
    for handler in logging.getLogger().handlers:
        _guard(handler, Masking, Showing)


class Showing(logging.Filter):
    """Escapes what steers a terminal in all records that pass, and in their tracebacks."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Escape; every record passes."""
        record.msg = shown(record.getMessage())
        record.args = ()
        if record.exc_info and not record.exc_text:
            record.exc_text = _PLAIN.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = shown(masked(record.exc_text))
        return True


_PLAIN = logging.Formatter()


def _guard(place: logging.Filterer, *kinds: type[logging.Filter]) -> None:
    for kind in kinds:
        if not any(isinstance(known, kind) for known in place.filters):
            place.addFilter(kind())
