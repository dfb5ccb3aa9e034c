# SPDX-License-Identifier: Apache-2.0
"""One protector's REST API over a keystoneauth session."""

from __future__ import annotations

import re
import uuid
from typing import Any, TypeVar, cast

import requests
from keystoneauth1 import adapter, session
from keystoneauth1 import exceptions as ksa
from osc_lib import exceptions

from protectorclient.v1 import faults
from protectorclient.v1.answers import Answer
from protectorclient.v1.masking import masking_logger
from protectorclient.v1.records import Record

T = TypeVar("T")

NEWEST = "1.3"
"""The newest microversion that this client was written for."""

TIMEOUT = (10.0, 120.0)
"""Seconds to wait for a connection, and for an answer: some calls make the service ask its clouds
first, but a host that does not take the connection is gone."""

MOST = 100_000
"""Entries of a list after which its service is not believed to come to an end."""

_VERSION_SUFFIX = re.compile(r"/v\d+(\.\d+)?(/[^/]*)?/*$")


class Transport:
    """Sends requests to the protector of one cloud.

    ``version`` is the microversion to ask for. When it is None, the newest that both sides know is
    used. ``cloud`` names the cloud in messages.
    """

    def __init__(
        self,
        session: session.Session,
        *,
        cloud: str,
        version: str | None = None,
        interface: str | None = None,
        region_name: str | None = None,
        endpoint_override: str | None = None,
        service_type: str = "protector",
    ) -> None:
        self.cloud = cloud
        self._asked = version
        self._version = version or NEWEST
        self._base: str | None = None
        if session.timeout is None:
            # keystoneauth hands it on to requests as it is, and that takes a pair.
            session.timeout = TIMEOUT  # type: ignore[assignment]
        self._adapter = adapter.Adapter(
            session,
            service_type=service_type,
            interface=interface or "public",
            region_name=region_name,
            endpoint_override=endpoint_override,
            global_request_id=f"req-{uuid.uuid4()}",
            logger=masking_logger(__name__),
        )
        self.last_origin: str | None = None
        """Where the last answer came from, and its request id; for errors about what is in it."""

    @property
    def project_id(self) -> str:
        """The project of the token."""
        project = self._reached(lambda: self._adapter.get_project_id())
        if not project:
            raise exceptions.CommandError(
                f"The credentials for cloud '{self.cloud}' are not scoped to a project: "
                "set project_name in clouds.yaml, or --os-project-name."
            )
        return str(project)

    def get(self, path: str, **params: Any) -> Answer:
        """GET; parameters that are None are left out."""
        return self._read(self._send("GET", path, params=_given(params)))

    def post(self, path: str, body: Record | None = None) -> Answer:
        """POST a JSON object."""
        return self._read(self._send("POST", path, json=body))

    def put(self, path: str, body: Record, *, version: int | None = None) -> Answer:
        """PUT a JSON object; with ``version`` only if what is changed still has it."""
        condition = {} if version is None else {"If-Match": f'"{version}"'}
        return self._read(self._send("PUT", path, json=body, headers=condition))

    def delete(self, path: str, **params: Any) -> None:
        """DELETE; parameters that are None are left out."""
        self._send("DELETE", path, params=_given(params))

    def pages(
        self, path: str, key: str, limit: int | None, form: type[T], **params: Any
    ) -> list[T]:
        """GET a list, page after page; with ``limit`` no more than that many entries.

        A service that comes to a marker again, or to no end, is not asked for ever.
        """
        found: list[T] = []
        marker = params.pop("marker", None)
        seen = {marker}
        while True:
            left = None if limit is None else limit - len(found)
            answer = self.get(path, limit=left, marker=marker, **params)
            page = answer.many_if_any(key, form)
            found.extend(page)
            more = bool(page) and _has_next(answer, key)
            if not more or (limit is not None and len(found) >= limit):
                return found if limit is None else found[:limit]
            marker = _marker(answer, key, page[-1])
            if marker in seen:
                raise answer.malformed(f"the list {key} comes to its entry {marker} again")
            if len(found) >= MOST:
                raise answer.malformed(
                    f"the list {key} does not end after {len(found)} entries: give --limit"
                )
            seen.add(marker)

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = self._request(method, path, **options)
        if answer.status_code == 406 and self._asked is None and self._settle_version():
            answer = self._request(method, path, **options)
        if answer.status_code >= 400:
            raise faults.from_answer(answer)
        if answer.status_code >= 300:
            raise self._redirected(answer)
        return answer

    def _redirected(self, answer: requests.Response) -> faults.Redirected:
        """Make the error for an answer that sends the token somewhere else: it stays here."""
        location = answer.headers.get("Location")
        where = f" and points to {location[:200]}" if location else ""
        return faults.Redirected(
            f"{self._place()} answered {answer.status_code}{where}. That is not followed: the "
            "token is for the endpoint in the catalogue. If it has moved, correct it there: "
            f"openstack endpoint list --service protector{_request_id(answer)}"
        )

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        url = self._root() + path
        answer = self._reached(
            lambda: self._adapter.request(
                url,
                method,
                raise_exc=False,
                microversion=self._version,
                timeout=TIMEOUT,
                redirect=False,
                **options,
            )
        )
        return cast("requests.Response", answer)

    def _settle_version(self) -> bool:
        """Take the newest version that both sides know; False when that is what was asked for."""
        answer = self._reached(
            lambda: self._adapter.request(
                f"{self._root()}/", "GET", raise_exc=False, timeout=TIMEOUT, redirect=False
            )
        )
        try:
            versions = answer.json()["versions"]
            theirs = next(entry["version"] for entry in versions if entry["id"] == "v1")
            common = min(theirs, NEWEST, key=_as_numbers)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, StopIteration):
            return False
        changed = bool(common != self._version)
        self._version = common
        return changed

    def _root(self) -> str:
        """Find the endpoint without its version and project, whichever way it is registered."""
        if self._base is None:
            try:
                endpoint = self._reached(lambda: self._adapter.get_endpoint())
            except ksa.EndpointNotFound:
                endpoint = None
            if not endpoint:
                raise exceptions.CommandError(
                    f"Cloud '{self.cloud}' has no service of type 'protector' in its catalogue. "
                    "Check `openstack catalog show protector`, the region and the interface."
                )
            self._base = _VERSION_SUFFIX.sub("", str(endpoint)).rstrip("/")
        return self._base

    def _reached(self, call: Any) -> Any:
        try:
            return call()
        except ksa.Unauthorized as error:
            raise exceptions.CommandError(
                f"Cloud '{self.cloud}' refused the credentials: {error}. Check them in "
                "its entry of clouds.yaml."
            ) from error
        except ksa.SSLError as error:
            raise faults.Unreachable(
                f"TLS with {self._place()} failed: {_innermost(error)}.",
                f"Check cacert and verify of '{self.cloud}' in clouds.yaml.",
            ) from error
        except ksa.ConnectTimeout as error:
            raise faults.TimedOut(
                f"No answer in time from {self._place()}.", self._advice()
            ) from error
        except (ksa.ConnectFailure, ksa.UnknownConnectionError) as error:
            raise faults.Unreachable(
                f"Cannot reach {self._place()}: {_innermost(error)}.", self._advice()
            ) from error
        except ksa.HttpServerError as error:
            raise faults.Unreachable(
                f"{self._place()} answered {error.http_status}: {error.message}.", self._advice()
            ) from error
        except ksa.EndpointNotFound:
            raise
        except ksa.ClientException as error:
            raise exceptions.CommandError(f"Cloud '{self.cloud}': {error}") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # keystoneauth and requests read headers, tokens and catalogues as they come.
            raise faults.Malformed(f"{self._place()} sent what is no answer: {error}.") from error

    def _place(self) -> str:
        if self._base is None:
            return f"Keystone of cloud '{self.cloud}'"
        return f"protector at {self._base} (cloud '{self.cloud}')"

    def _advice(self) -> str:
        other = "When that site is down, ask the other one: --os-cloud <its cloud>."
        if self._base is None:
            return f"Check auth_url of '{self.cloud}' in clouds.yaml. {other}"
        return f"Check that openstack-protector-api runs there. {other}"

    def _read(self, answer: requests.Response) -> Answer:
        origin = f"{self._place()}{_request_id(answer)}"
        self.last_origin = origin
        if answer.status_code == 204 or not answer.content:
            return Answer({}, origin)
        try:
            body = answer.json()
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            raise faults.Malformed(
                f"{answer.url} answered {answer.status_code} with something that is not a JSON "
                f"object: is it a protector endpoint?{_request_id(answer)}"
            )
        return Answer(body, origin)


def _has_next(answer: Answer, key: str) -> bool:
    links = answer.many_if_any(f"{key}_links", dict)
    return any(link.get("rel") == "next" for link in links)


def _marker(answer: Answer, key: str, last: Any) -> str:
    marker = last.get("id")
    if not isinstance(marker, str):
        raise answer.malformed(f"the last entry of {key} has no id to go on from")
    return marker


def _request_id(answer: requests.Response) -> str:
    identity = answer.headers.get("X-OpenStack-Request-ID")
    return f" (Request-ID: {identity})" if identity else ""


def _given(params: Record) -> Record:
    return {name: value for name, value in params.items() if value is not None}


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _innermost(error: BaseException) -> str:
    """Take the system's own words, 'Connection refused', out of the wrappings."""
    words = str(error)
    found = re.search(
        r"Connection refused|Name or service not known|No route to host|Network is unreachable"
        r"|Connection reset by peer|Remote end closed connection|certificate verify failed[^\"')]*"
        r"|Temporary failure in name resolution",
        words,
    )
    return found.group(0) if found else " ".join(words.split())[:200]
