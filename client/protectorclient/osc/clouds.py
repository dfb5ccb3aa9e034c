# SPDX-License-Identifier: Apache-2.0
"""The one or two clouds that a command works with."""

from __future__ import annotations

import logging
import os
from typing import Any, Callable, TypeVar

import openstack.config
import openstack.connection
from keystoneauth1 import exceptions as ksa
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

    def find(
        self, call: Callable[[client.Client], T], warn: Callable[[str], None]
    ) -> tuple[Cloud, T]:
        """Ask one cloud after the other until one knows the thing.

        Operations are recorded where they were started, and a dead site is why they are looked at.
        """
        clouds = self.all()
        unknown: dict[str, exceptions.NotFound] = {}
        silent: list[faults.Unreachable] = []
        for number, cloud in enumerate(clouds, start=1):
            try:
                return cloud, call(cloud.protector)
            except exceptions.NotFound as error:
                unknown[f"cloud '{cloud.name}' (project {cloud.protector.project_id})"] = error
            except faults.Unreachable as error:
                silent.append(error)
                if number < len(clouds):
                    warn(f"{error} Looking on cloud '{clouds[number].name}'.")
        if not unknown and len(silent) > 1:
            raise exceptions.CommandError(f"{silent[-1]} No cloud is left to ask.")
        if not unknown:
            raise silent[0]
        text = f"{next(iter(unknown.values()))} Asked: {' and '.join(unknown)}."
        if silent:
            text += f" {silent[-1]}"
        elif len(clouds) == 1:
            text += (
                " If it was started on the other site, name that site's cloud with "
                "--secondary-cloud (OS_SECONDARY_CLOUD)."
            )
        raise exceptions.CommandError(text)


def from_client_manager(manager: Any) -> Clouds:
    """Make the clouds from what the ``openstack`` command has read."""
    region: cloud_region.CloudRegion = manager._cli_options
    version = _microversion(manager._api_version["protector"])
    _prepare_sign_in(manager)
    primary = Cloud(
        region.name or "default",
        _protector(region, manager.session, version),
        lambda: manager.sdk_connection,
    )
    other = _other_name(region.name or "", region.config.get("secondary_cloud") or "")
    return Clouds(primary, (lambda: _open(other, version)) if other else None)


def _other_name(own: str, named: str) -> str:
    """Take the secondary cloud's name; empty when there is none.

    With OS_CLOUD and OS_SECONDARY_CLOUD set, ``--os-cloud`` with the second makes the first the
    other one: that is how a user turns to the site that is left.
    """
    if not named or named != own:
        return named
    first = os.environ.get("OS_CLOUD")
    if first and first != own and os.environ.get("OS_SECONDARY_CLOUD") == named:
        return first
    raise exceptions.CommandError(
        f"--secondary-cloud '{named}' is the same cloud as --os-cloud: name the other site."
    )


def _prepare_sign_in(manager: Any) -> None:
    """Read the credentials without using them, so that a dead Keystone is met like a dead site."""
    manager._auth_required = True
    try:
        manager.setup_auth()
    except (ksa.MissingRequiredOptions, sdk.ConfigException) as error:
        raise exceptions.CommandError(
            f"No credentials: {error}. Name a cloud of clouds.yaml with --os-cloud (OS_CLOUD)."
        ) from error
    if not manager._cli_options.config.get("debug"):
        # It warns of a Keystone that does not answer, which our own message says with the remedy.
        logging.getLogger("keystoneauth.identity").setLevel(logging.ERROR)


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
