# SPDX-License-Identifier: Apache-2.0
"""Answers that are errors, as exceptions of osc-lib."""

from __future__ import annotations

from typing import Any

import requests
from osc_lib import exceptions

PEER_UNREACHABLE = "PRT-PEER-UNREACHABLE"
"""The other site's protector does not answer, and both have to agree."""

OPERATION_NOT_ENDED = "PRT-OPERATION-NOT-ENDED"
"""What an operation leaves is not known before it has ended."""

KEPT = "PRT-KEPT"
"""A resource was kept on purpose."""


class NotAcceptable(exceptions.ClientException):
    """HTTP 406: the service does not know the version asked for."""

    http_status = 406
    message = "Not acceptable"


class Changed(exceptions.ClientException):
    """HTTP 412: what was to be changed is not as it was when it was read."""

    http_status = 412
    message = "Precondition failed"


class Malformed(exceptions.CommandError):
    """An answer that is not of the documented form: of a foreign service, or of a broken one."""


class Redirected(exceptions.CommandError):
    """An answer that sends the client somewhere else, where the token has no business."""


class Unreachable(exceptions.CommandError):
    """No answer came: nothing listens there, the name is unknown, or the time is up.

    ``advice`` says what the user can do; it is for the end of a message.
    """

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


class TimedOut(Unreachable):
    """The time is up: what was asked for may have been done, or not."""


_BY_STATUS: dict[int, type[exceptions.ClientException]] = {
    kind.http_status: kind
    for kind in (
        exceptions.BadRequest,
        exceptions.Unauthorized,
        exceptions.Forbidden,
        exceptions.NotFound,
        NotAcceptable,
        Changed,
        exceptions.Conflict,
        exceptions.OverLimit,
        exceptions.HTTPNotImplemented,
    )
}


def from_answer(answer: requests.Response) -> exceptions.ClientException:
    """Make the exception for an error answer; it carries the server's message and request id."""
    kind = _BY_STATUS.get(answer.status_code, exceptions.ClientException)
    message = _message(answer)
    request_id = answer.headers.get("X-OpenStack-Request-ID")
    if request_id:
        message = f"{message} (Request-ID: {request_id})"
    error = kind(answer.status_code, message)
    error.error_code = _fault(answer).get("error_code")  # type: ignore[attr-defined]
    return error


def has_code(error: Exception, code: str) -> bool:
    """Whether the server gave this code of its table of refusals with the error."""
    return getattr(error, "error_code", None) == code


def _fault(answer: requests.Response) -> dict[str, Any]:
    """Take what stands in the answer's body under the key of its kind; nothing of another form."""
    try:
        body: Any = answer.json()
    except (ValueError, RecursionError):
        return {}
    faults = body.values() if isinstance(body, dict) else ()
    return next((fault for fault in faults if isinstance(fault, dict) and "message" in fault), {})


def _message(answer: requests.Response) -> str:
    message = _fault(answer).get("message")
    if isinstance(message, str):
        return " ".join(message.splitlines())
    text = " ".join(answer.text.split())[:200]
    return text or answer.reason or "the server gave no reason"


def may_pass(error: Exception) -> bool:
    """Whether asking again later may help: no connection, overload, a restarting server."""
    if isinstance(error, Unreachable):
        return True
    return isinstance(error, exceptions.ClientException) and error.code in (
        429,
        500,
        502,
        503,
        504,
    )
