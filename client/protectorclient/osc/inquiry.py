# SPDX-License-Identifier: Apache-2.0
"""Asking the protectors of both clouds without waiting for one that is dead.

A dead site does not only refuse connections. It may take them and stay silent, and then every call
lasts as long as its time-out. So each cloud is asked in a thread of its own, and a thread whose
answer is not needed any more is left behind; it ends with the process.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, Generic, TypeVar, cast

from osc_lib import exceptions

from protectorclient.v1 import faults

if TYPE_CHECKING:
    from protectorclient.osc.clouds import Cloud

T = TypeVar("T")

HEAD_START = 2.0
"""Seconds that a cloud has to answer before the next one is asked too."""

PATIENCE = 5.0
"""Seconds that each has in all once another one has answered."""


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What came of asking one cloud: a value, or why there is none."""

    cloud: Cloud
    value: T | None = None
    error: Exception | None = None


class Late(faults.Unreachable):
    """No answer came in the time that there was."""

    def __init__(self, cloud: str, seconds: float) -> None:
        super().__init__(
            f"Cloud '{cloud}' did not answer within {seconds:.0f} s.",
            "When that site is down, ask the other one: --os-cloud <its cloud>.",
        )


def ask(
    clouds: Sequence[Cloud],
    call: Callable[[Cloud], T],
    enough: Callable[[Cloud, T], bool] = lambda _cloud, _value: True,
    *,
    at_once: bool = False,
    patience: float | None = None,
    first_patience: float | None = None,
) -> list[Answer[T]]:
    """Ask one cloud after the other until a value is ``enough``; answers are in the clouds' order.

    The next one is asked when the one before has failed, was not enough, or is silent for
    ``HEAD_START`` seconds; with ``at_once`` all are asked together. Once a cloud has answered, one
    that is silent for ``patience`` seconds (default: ``PATIENCE``) is not waited for; for the first
    one these are ``first_patience`` seconds. Clouds that there was no need to ask are left out.
    """
    if len(clouds) == 1:
        return [_answer(clouds[0], call)]
    head_start = 0.0 if at_once else HEAD_START
    usual = PATIENCE if patience is None else patience
    limits = [usual] * len(clouds)
    if first_patience is not None:
        limits[0] = first_patience
    return _Round(clouds, call, enough, head_start, limits).answers()


def within(seconds: float, cloud: Cloud, call: Callable[[Cloud], T]) -> T | None:
    """Ask for something that is good to know; None when it does not come in time."""
    arrivals: queue.SimpleQueue[Answer[T]] = queue.SimpleQueue()
    threading.Thread(target=lambda: arrivals.put(_answer(cloud, call)), daemon=True).start()
    try:
        answer = arrivals.get(timeout=seconds)
    except queue.Empty:
        return None
    refusals([answer])
    return answer.value


class _Round(Generic[T]):
    """One question to several clouds."""

    def __init__(
        self,
        clouds: Sequence[Cloud],
        call: Callable[[Cloud], T],
        enough: Callable[[Cloud, T], bool],
        head_start: float,
        patience: list[float],
    ) -> None:
        self._clouds = clouds
        self._call = call
        self._enough = enough
        self._head_start = head_start
        self._patience = patience
        self._arrivals: queue.SimpleQueue[tuple[int, Answer[T]]] = queue.SimpleQueue()
        self._asked: list[float] = []
        self._found: dict[int, Answer[T]] = {}
        self._answered = False

    def answers(self) -> list[Answer[T]]:
        while not self._is_over():
            try:
                number, answer = self._arrivals.get(timeout=self._pause())
            except queue.Empty:
                if len(self._asked) == len(self._clouds):
                    break
                self._ask_next()
                continue
            self._found[number] = answer
            if answer.error is None and self._enough(answer.cloud, cast(T, answer.value)):
                break
            self._answered = self._answered or not _is_silence(answer)
        return [self._answer_of(number) for number in range(len(self._asked))]

    def _is_over(self) -> bool:
        """Whether no answer is to come; when all asked ones have answered the next is asked."""
        if len(self._found) == len(self._asked):
            if len(self._asked) == len(self._clouds):
                return True
            self._ask_next()
        return False

    def _pause(self) -> float | None:
        """Return the seconds to wait for the next answer; None for as long as a call lasts."""
        if len(self._asked) < len(self._clouds):
            return self._head_start
        if not self._answered:
            return None
        ends = [
            at + self._patience[number]
            for number, at in enumerate(self._asked)
            if number not in self._found
        ]
        return max(max(ends) - time.monotonic(), 0.0)

    def _ask_next(self) -> None:
        number = len(self._asked)
        cloud = self._clouds[number]
        self._asked.append(time.monotonic())
        threading.Thread(
            target=lambda: self._arrivals.put((number, _answer(cloud, self._call))), daemon=True
        ).start()

    def _answer_of(self, number: int) -> Answer[T]:
        known = self._found.get(number)
        if known is not None:
            return known
        cloud = self._clouds[number]
        waited = time.monotonic() - self._asked[number]
        return Answer(cloud, error=Late(cloud.name, waited))


def _answer(cloud: Cloud, call: Callable[[Cloud], T]) -> Answer[T]:
    try:
        return Answer(cloud, call(cloud))
    except Exception as error:  # It is raised again, or told, by the one who asked.
        return Answer(cloud, error=error)


def _is_silence(answer: Answer[Any]) -> bool:
    return answer.error is not None and faults.may_pass(answer.error)


def refusals(answers: Sequence[Answer[Any]]) -> list[Exception]:
    """Return the errors; one that is no answer of a service is a fault of ours and is raised."""
    errors = [answer.error for answer in answers if answer.error is not None]
    for error in errors:
        if not isinstance(error, (exceptions.ClientException, exceptions.CommandError)):
            raise error
    return errors
