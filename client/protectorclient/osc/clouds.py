# SPDX-License-Identifier: Apache-2.0
"""The one or two clouds that a command works with."""

from __future__ import annotations

from typing import Any, Callable, TypeVar

import openstack.config
import openstack.connection
from openstack import exceptions as sdk
from openstack.config import cloud_region
from osc_lib import exceptions

from protectorclient.v1 import client, faults, transport

T = TypeVar("T")


class Cloud:
    """A cloud: its protector, and its other services for looking up names."""

    def __init__(
        self,
        name: str,
        protector: client.Client,
        connect: Callable[[], openstack.connection.Connection],
    ) -> None:
        self.name = name
        self.protector = protector
        self._connect = connect

    @property
    def services(self) -> openstack.connection.Connection:
        """Nova, Neutron and Keystone."""
        return self._connect()


class Clouds:
    """The cloud of ``--os-cloud``, and that of ``--secondary-cloud`` when it is given."""

    def __init__(self, primary: Cloud, secondary: Callable[[], Cloud] | None) -> None:
        self.primary = primary
        self._open_secondary = secondary
        self._secondary: Cloud | None = None

    @property
    def secondary(self) -> Cloud | None:
        """The other cloud; None when the user named none."""
        if self._secondary is None and self._open_secondary is not None:
            self._secondary = self._open_secondary()
        return self._secondary

    def all(self) -> list[Cloud]:
        """Both, the primary one first; or that one alone."""
        return [cloud for cloud in (self.primary, self.secondary) if cloud is not None]

    def on_either(self, call: Callable[[client.Client], T], warn: Callable[[str], None]) -> T:
        """Try the primary; the secondary when the first does not know the thing or is not there.

        Operations are recorded where they were started, and a dead site is why they are looked at.
        """
        try:
            return call(self.primary.protector)
        except exceptions.NotFound:
            if self.secondary is None:
                raise
            return call(self.secondary.protector)
        except faults.Unreachable as error:
            if self.secondary is None:
                raise
            warn(f"{error} Looking on cloud '{self.secondary.name}'.")
            return call(self.secondary.protector)


def from_client_manager(manager: Any) -> Clouds:
    """Make the clouds from what the ``openstack`` command has read."""
    region: cloud_region.CloudRegion = manager._cli_options
    version = _microversion(manager._api_version["protector"])
    primary = Cloud(
        region.name or "default",
        _protector(region, manager.session, version),
        lambda: manager.sdk_connection,
    )
    other: str = region.config.get("secondary_cloud") or ""
    if other and other == region.name:
        raise exceptions.CommandError(
            f"--secondary-cloud '{other}' is the same cloud as --os-cloud: name the other site."
        )
    return Clouds(primary, (lambda: _open(other, version)) if other else None)


def _microversion(given: str) -> str | None:
    """``1`` leaves the choice of the microversion to the client."""
    return given if "." in given else None


def _open(name: str, version: str | None) -> Cloud:
    try:
        region = openstack.config.OpenStackConfig().get_one(cloud=name)
        session = region.get_session()
    except sdk.ConfigException as error:
        raise exceptions.CommandError(
            f"--secondary-cloud (OS_SECONDARY_CLOUD) '{name}': {error}"
        ) from error
    return Cloud(
        name,
        _protector(region, session, version),
        lambda: openstack.connection.Connection(config=region),
    )


def _protector(region: Any, session: Any, version: str | None) -> client.Client:
    return client.Client(
        transport.Transport(
            session,
            cloud=region.name or "default",
            version=version,
            interface=region.get_interface("protector"),
            region_name=region.get_region_name("protector"),
            endpoint_override=region.get_endpoint("protector"),
        )
    )
