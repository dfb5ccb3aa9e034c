# SPDX-License-Identifier: Apache-2.0
"""One protector's REST API over a keystoneauth session."""

from __future__ import annotations

import re
import uuid
from typing import Any, cast

import requests
from keystoneauth1 import adapter, session
from keystoneauth1 import exceptions as ksa
from osc_lib import exceptions

from protectorclient.v1 import faults
from protectorclient.v1.records import Record

NEWEST = "1.2"
"""The newest microversion that this client was written for."""

TIMEOUT = (10.0, 120.0)
"""Seconds to wait for a connection, and for an answer: some calls make the service ask its clouds
first, but a host that does not take the connection is gone."""

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
        )

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

    def get(self, path: str, **params: Any) -> Record:
        """GET; parameters that are None are left out."""
        return self._json(self._send("GET", path, params=_given(params)))

    def post(self, path: str, body: Record | None = None) -> Record:
        """POST a JSON object."""
        return self._json(self._send("POST", path, json=body))

    def put(self, path: str, body: Record, *, version: int | None = None) -> Record:
        """PUT a JSON object; with ``version`` only if what is changed still has it."""
        condition = {} if version is None else {"If-Match": f'"{version}"'}
        return self._json(self._send("PUT", path, json=body, headers=condition))

    def delete(self, path: str, **params: Any) -> None:
        """DELETE; parameters that are None are left out."""
        self._send("DELETE", path, params=_given(params))

    def pages(self, path: str, key: str, limit: int | None, **params: Any) -> list[Record]:
        """GET a list, page after page; with ``limit`` no more than that many entries."""
        found: list[Record] = []
        marker = params.pop("marker", None)
        while True:
            left = None if limit is None else limit - len(found)
            body = self.get(path, limit=left, marker=marker, **params)
            page = cast("list[Record]", body.get(key, []))
            found.extend(page)
            links = body.get(f"{key}_links") or []
            more = bool(page) and any(link.get("rel") == "next" for link in links)
            if not more or (limit is not None and len(found) >= limit):
                return found if limit is None else found[:limit]
            marker = page[-1]["id"]

    def _send(self, method: str, path: str, **options: Any) -> requests.Response:
        answer = self._request(method, path, **options)
        if answer.status_code == 406 and self._asked is None and self._settle_version():
            answer = self._request(method, path, **options)
        if answer.status_code >= 400:
            raise faults.from_answer(answer)
        return answer

    def _request(self, method: str, path: str, **options: Any) -> requests.Response:
        url = self._root() + path
        answer = self._reached(
            lambda: self._adapter.request(
                url,
                method,
                raise_exc=False,
                microversion=self._version,
                timeout=TIMEOUT,
                **options,
            )
        )
        return cast("requests.Response", answer)

    def _settle_version(self) -> bool:
        """Take the newest version that both sides know; False when that is what was asked for."""
        answer = self._reached(
            lambda: self._adapter.request(
                f"{self._root()}/", "GET", raise_exc=False, timeout=TIMEOUT
            )
        )
        try:
            versions = answer.json()["versions"]
            theirs = next(entry["version"] for entry in versions if entry["id"] == "v1")
        except (ValueError, KeyError, TypeError, StopIteration):
            return False
        common = min(theirs, NEWEST, key=_as_numbers)
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

    def _place(self) -> str:
        if self._base is None:
            return f"Keystone of cloud '{self.cloud}'"
        return f"protector at {self._base} (cloud '{self.cloud}')"

    def _advice(self) -> str:
        other = "When that site is down, ask the other one: --os-cloud <its cloud>."
        if self._base is None:
            return f"Check auth_url of '{self.cloud}' in clouds.yaml. {other}"
        return f"Check that openstack-protector-api runs there. {other}"

    @staticmethod
    def _json(answer: requests.Response) -> Record:
        if answer.status_code == 204 or not answer.content:
            return {}
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise exceptions.CommandError(
                f"{answer.url} answered {answer.status_code} with something that is not a JSON "
                "object: is it a protector endpoint?"
            )
        return body


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
