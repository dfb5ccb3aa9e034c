# SPDX-License-Identifier: Apache-2.0
"""Values on their way to an output: a table shows them, a script gets them.

A table is for people: what is not seen as what it is, is escaped. ``json`` and ``yaml`` escape by
themselves, as cliff writes them. ``value``, ``csv`` and ``shell`` are for scripts, and as with all
of ``openstack`` they get each text as it is; only where the output is a terminal it is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Callable, TextIO

from cliff import columns
from cliff.formatters import json_format, table, yaml_format

from protectorclient.osc import terminal

if TYPE_CHECKING:
    _Column = columns.FormattableColumn[Any]
else:
    # Older releases of cliff have a class that takes no parameter.
    _Column = columns.FormattableColumn

Escape = Callable[[str], str]


class Shown(_Column):
    """A column whose text for a table is escaped."""

    def __init__(self, value: Any, escape: Escape) -> None:
        super().__init__(value)
        self._escape = escape

    def human_readable(self) -> str:
        """Text for a table."""
        return self._escape(str(self._value.human_readable()))

    def machine_readable(self) -> Any:
        """Return what scripts get."""
        return self._value.machine_readable()


def record(
    formatter: Any, stdout: TextIO, names: Sequence[str], values: Sequence[Any]
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Names and values of one thing, as the formatter is to write them."""
    escape = _escape(formatter, stdout, terminal.shown)
    if escape is None:
        return tuple(names), tuple(values)
    return tuple(map(escape, names)), tuple(_value(value, escape) for value in values)


def rows(formatter: Any, stdout: TextIO, data: Iterable[Sequence[Any]]) -> list[tuple[Any, ...]]:
    """Rows of a list, as the formatter is to write them: in a table each entry on its line."""
    escape = _escape(formatter, stdout, terminal.in_one_line)
    if escape is None:
        return [tuple(row) for row in data]
    return [tuple(_value(value, escape) for value in row) for row in data]


def _escape(formatter: Any, stdout: TextIO, in_table: Escape) -> Escape | None:
    if isinstance(formatter, (json_format.JSONFormatter, yaml_format.YAMLFormatter)):
        return None
    if isinstance(formatter, table.TableFormatter):
        return lambda text: terminal.encodable(stdout, in_table(text))
    if stdout.isatty():
        return lambda text: terminal.encodable(stdout, terminal.shown(text))
    return lambda text: terminal.encodable(stdout, text)


def _value(value: Any, escape: Escape) -> Any:
    if isinstance(value, str):
        return escape(value)
    return Shown(value, escape) if isinstance(value, columns.FormattableColumn) else value
