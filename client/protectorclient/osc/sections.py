# SPDX-License-Identifier: Apache-2.0
"""Answers that people get as several tables, and scripts as one record."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from cliff.formatters import table

from protectorclient.osc import columns, printable
from protectorclient.osc.commands import ShowOne, is_for_people
from protectorclient.v1.records import Record


class Section(NamedTuple):
    """A table with a title: ``fields`` has the field's name in each of the records by heading."""

    title: str
    records: Sequence[Record]
    fields: dict[str, str]


class Sectioned(ShowOne):
    """A command that shows one record; people get its parts."""

    def head(self) -> str:
        """Write the lines before the first table."""
        raise NotImplementedError

    def sections(self) -> Iterator[Section]:
        """Make the tables; those without a row are left out."""
        raise NotImplementedError

    def tail(self) -> Iterator[str]:
        """Write lines for stderr: what can be done next."""
        return iter(())

    def produce_output(
        self, parsed_args: argparse.Namespace, column_names: Sequence[str], data: Any
    ) -> int:
        """Print."""
        if not is_for_people(self, parsed_args):
            return int(super().produce_output(parsed_args, column_names, data) or 0)
        stdout, formatter = self.app.stdout, table.TableFormatter()
        self.put(self.head())
        for section in self.sections():
            if section.records:
                self.put(f"\n{section.title}")
                headings, rows = columns.rows(list(section.records), section.fields)
                shown = printable.rows(formatter, stdout, rows)
                formatter.emit_list(headings, shown, stdout, parsed_args)
        stdout.flush()
        for line in self.tail():
            self.say(line)
        return 0
