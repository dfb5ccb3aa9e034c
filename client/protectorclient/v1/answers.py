# SPDX-License-Identifier: Apache-2.0
"""Answers of a protector, looked at before they are believed to have their documented form.

The forms are the types of ``records``. What a command reads is of its type from here on; what only
a newer service knows passes.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import Any, TypeVar, cast

from protectorclient.v1 import faults, records
from protectorclient.v1.records import Record

T = TypeVar("T")

_PLAIN: dict[str, type] = {"str": str, "int": int, "bool": bool, "Record": dict, "dict": dict}

_WORDS: dict[type, str] = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    type(None): "null",
}


class Answer:
    """The JSON object with which a protector answered; ``origin`` names both in errors."""

    def __init__(self, body: Record, origin: str) -> None:
        self._body = body
        self._origin = origin

    def one(self, key: str, form: type[T]) -> T:
        """Take the one thing that was asked for; ``Malformed`` when it is not of the form."""
        return cast(T, self._checked(self._member(key), form.__name__, key))

    def one_or_none(self, key: str, form: type[T]) -> T | None:
        """Take a thing that there may not be."""
        return cast("T | None", self._checked(self._body.get(key), f"{form.__name__} | None", key))

    def many(self, key: str, form: type[T]) -> list[T]:
        """Take a list; ``Malformed`` when an entry is not of the form."""
        return cast("list[T]", self._checked(self._member(key), f"list[{form.__name__}]", key))

    def many_if_any(self, key: str, form: type[T]) -> list[T]:
        """Take a list that may be left out."""
        return self.many(key, form) if key in self._body else []

    def whole(self, form: type[T]) -> T:
        """Take the answer itself."""
        return cast(T, self._checked(self._body, form.__name__, "the answer"))

    def malformed(self, why: str) -> faults.Malformed:
        """Make the error for an answer that cannot be used."""
        return faults.Malformed(f"{self._origin} answered with what cannot be used: {why}.")

    def _member(self, key: str) -> Any:
        if key not in self._body:
            raise self.malformed(f"{key} is missing")
        return self._body[key]

    def _checked(self, value: Any, annotation: str, where: str) -> Any:
        why = _misfit(value, _parsed(annotation), where)
        if why is not None:
            raise self.malformed(why)
        return value


@cache
def _parsed(annotation: str) -> ast.expr:
    """Read an annotation as text: Python 3.9 cannot evaluate ``str | None``."""
    return ast.parse(annotation, mode="eval").body


def _misfit(value: Any, form: ast.expr, where: str) -> str | None:
    """Say in what a value is not of a form; None when it is."""
    if isinstance(form, ast.BinOp):
        return None if value is None else _misfit(value, form.left, where)
    if isinstance(form, ast.Subscript):
        return _misfit_in(value, form, where)
    name = cast(ast.Name, form).id
    kind = _PLAIN.get(name)
    if kind is None:
        return _misfit_of(value, getattr(records, name), where)
    return None if type(value) is kind else _is_not(value, kind, where)


def _misfit_in(value: Any, form: ast.Subscript, where: str) -> str | None:
    """Look at the entries of a list, or of an object whose members are all of one form."""
    if cast(ast.Name, form.value).id == "list":
        if not isinstance(value, list):
            return _is_not(value, list, where)
        entries = [(f"{where}[{place}]", entry) for place, entry in enumerate(value)]
        inner = form.slice
    else:
        if not isinstance(value, dict):
            return _is_not(value, dict, where)
        entries = [(f"{where}.{key}", entry) for key, entry in value.items()]
        inner = cast(ast.Tuple, form.slice).elts[1]
    return next(filter(None, (_misfit(entry, inner, place) for place, entry in entries)), None)


def _misfit_of(value: Any, form: Any, where: str) -> str | None:
    """Look at the members of an object that has a type in ``records``."""
    if not isinstance(value, dict):
        return _is_not(value, dict, where)
    for key in sorted(form.__required_keys__):
        if key not in value:
            return f"{where}.{key} is missing"
    for key, annotation in form.__annotations__.items():
        if key not in value:
            continue
        why = _misfit(value[key], _parsed(annotation.__forward_arg__), f"{where}.{key}")
        if why is not None:
            return why
    return None


def _is_not(value: Any, kind: type, where: str) -> str:
    found = _WORDS.get(type(value), type(value).__name__)
    return f"{where} is {found}, not {_WORDS[kind]}"
