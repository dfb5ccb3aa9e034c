# SPDX-License-Identifier: Apache-2.0
"""How values look in a table, and what scripts get instead."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Optional

from cliff import columns
from osc_lib.cli import format_columns

from protectorclient.osc import duration
from protectorclient.v1.records import Record, RecoveryPoint

if TYPE_CHECKING:
    _List = columns.FormattableColumn[list[Any]]
    _Seconds = columns.FormattableColumn[Optional[int]]
    _Fields = columns.FormattableColumn[Record]
    _Point = columns.FormattableColumn[RecoveryPoint]
else:
    # Older releases of cliff have a class that takes no parameter.
    _List = _Seconds = _Fields = _Point = columns.FormattableColumn

VALUE_WIDTH = 59
"""Characters of the Value column of an operation's table."""


class ListColumn(_List):
    """A list that a table shows in a way of its own."""

    def machine_readable(self) -> list[Any]:
        """Return the list itself."""
        return list(self._value)


class StepsCompleted(ListColumn):
    """Steps as a JSON list: the phases side by side, then each cleaned resource on a line."""

    def human_readable(self) -> str:
        """Text for a table."""
        return "[" + ",\n ".join(_lines(self._value)) + "]"


class StepsFailed(ListColumn):
    """Failures as a JSON list, each member of an object on its own line."""

    def human_readable(self) -> str:
        """Text for a table."""
        return "[" + ",\n ".join(_broken(entry) for entry in self._value) + "]"


class Lines(_Fields):
    """An object, in a table one field or sentence on each line."""

    def human_readable(self) -> str:
        """Text for a table: ``promotion: in_place`` and so on."""
        lines: list[str] = []
        for name, value in self._value.items():
            if isinstance(value, list):
                lines.extend(str(entry) for entry in value)
            else:
                said = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
                lines.append(f"{name}: {said}")
        return "\n".join(lines)

    def machine_readable(self) -> Record:
        """Return the object itself."""
        return dict(self._value)


class Age(_Seconds):
    """Seconds, as days, hours or minutes in a table."""

    def human_readable(self) -> str:
        """Text for a table: the two largest units."""
        if self._value is None:
            return ""
        minutes = int(self._value) // 60
        days, hours = minutes // 1440, minutes // 60 % 24
        if days:
            return f"{days} d {hours} h"
        return f"{hours} h {minutes % 60} min" if hours else f"{minutes} min"

    def machine_readable(self) -> int | None:
        """Return the seconds."""
        return self._value


class Seconds(_Seconds):
    """Seconds, in a table also as people say them."""

    def human_readable(self) -> str:
        """Text for a table: ``723 (12 min 3 s)``."""
        if self._value is None:
            return ""
        said = duration.words(self._value)
        return f"{self._value} ({said})" if self._value >= 60 else str(self._value)

    def machine_readable(self) -> int | None:
        """Return the seconds."""
        return self._value


class Lag(_Seconds):
    """Seconds; a table shows them as people say them."""

    def human_readable(self) -> str:
        """Text for a table: ``12 min 3 s``."""
        return "" if self._value is None else duration.words(self._value)

    def machine_readable(self) -> int | None:
        """Return the seconds."""
        return self._value


class RecoveryPointColumn(_Point):
    """A recovery point; a table shows when it was taken."""

    def human_readable(self) -> str:
        """Text for a table: ``2025-11-03T13:47:56Z (rp-17)``."""
        return f"{self._value.get('taken_at')} ({self._value.get('id')})"

    def machine_readable(self) -> RecoveryPoint:
        """Return the object."""
        return self._value


def _lines(steps: list[str]) -> list[str]:
    lines: list[str] = []
    after_phase = False
    for step in steps:
        text = _json(step)
        phase = ":" not in step
        # Beside the texts there are the bracket, a comma and a space between, and a comma behind.
        if phase and after_phase and len(lines[-1]) + len(text) + 4 <= VALUE_WIDTH:
            lines[-1] += f", {text}"
        else:
            lines.append(text)
        after_phase = phase
    return lines


def _broken(entry: Record) -> str:
    return "{" + ",\n ".join(f"{_json(key)}: {_json(value)}" for key, value in entry.items()) + "}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def shown(record: Record) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Field names and values of a record in the server's order, for a command that shows one."""
    return tuple(record), tuple(formatted(value) for value in record.values())


def rows(
    records: list[Record], fields: dict[str, str]
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Headings and rows for a command that lists: ``fields`` has the field's name by heading."""
    return (
        tuple(fields),
        [tuple(formatted(record.get(name)) for name in fields.values()) for record in records],
    )


def formatted(value: Any) -> Any:
    """Wrap lists and objects: a table shows them readably, JSON as they are."""
    if isinstance(value, dict):
        return format_columns.DictColumn(value)
    if isinstance(value, list):
        if any(isinstance(entry, dict) for entry in value):
            return format_columns.ListDictColumn(value)
        return format_columns.ListColumn(value)
    return value
