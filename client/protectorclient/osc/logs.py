# SPDX-License-Identifier: Apache-2.0
"""What is logged, ``--debug`` above all, without secrets."""

from __future__ import annotations

import logging

from protectorclient.v1.masking import Masking

_SHELLS = ("openstackclient.shell", "osc_lib.shell")
"""They log the command line and its options before a command is there to care for it."""


def guard_command_line() -> None:
    """Mask secrets that are options of commands."""
    for name in _SHELLS:
        _guard(logging.getLogger(name))


def guard_handlers() -> None:
    """Mask secrets in all that is logged from here on: on the console, and to a file."""
    for handler in logging.getLogger().handlers:
        _guard(handler)


def _guard(place: logging.Filterer) -> None:
    if not any(isinstance(known, Masking) for known in place.filters):
        place.addFilter(Masking())
