# SPDX-License-Identifier: Apache-2.0
"""The one or two clouds that a command works with."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any, Callable, TypeVar, cast

import openstack.config
import openstack.connection
from keystoneauth1 import exceptions as ksa
from openstack import exceptions as sdk
from openstack.config import cloud_region
from osc_lib import exceptions, shell

from protectorclient.osc import inquiry
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

    def __init__(
        self, primary: Cloud, secondary: Callable[[], Cloud] | None, *, turned: bool = False
    ) -> None:
        self.primary = primary
        self._turned = turned
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

    def last_origins(self) -> list[str]:
        """Say where the last answers of those that were asked came from."""
        opened = [cloud for cloud in (self.primary, self._secondary) if cloud is not None]
        origins = [cloud.protector.last_origin for cloud in opened]
        return [origin for origin in origins if origin is not None]

    def exchanged(self) -> Clouds:
        """Both, with their parts exchanged, for a group whose primary site is the secondary cloud.

        When the user named no other cloud, no name can be looked up on the group's primary site.
        """
        if self.secondary is None:
            raise exceptions.CommandError(
                "The mapping is written from the group's primary site, the other one: name "
                "its cloud with --secondary-cloud (OS_SECONDARY_CLOUD)."
            )
        own = self.primary
        return Clouds(self.secondary, lambda: own, turned=self._turned)

    def survivor_first(self) -> list[Cloud]:
        """Both, in the order in which a site that can take over is looked for.

        The secondary cloud is the one to which groups fail over, unless the user has turned to one
        with ``--os-cloud``.
        """
        clouds = self.all()
        return clouds if self._turned else clouds[::-1]

    def find(self, call: Callable[[Cloud], T], warn: Callable[[str], None]) -> tuple[Cloud, T]:
        """Ask the primary cloud; another one's answer is taken when that one has none in time.

        The calls make the service look at both sites, so a slow answer is no sign of a dead site.
        """
        answers = inquiry.ask(self.all(), call, lambda cloud, _value: cloud is self.primary)
        for place, answer in enumerate(answers):
            if answer.error is None:
                warn_of_silence(answers[:place], answer.cloud, warn)
                return answer.cloud, cast(T, answer.value)
        raise nothing_found(answers)


def warn_of_silence(
    answers: Sequence[inquiry.Answer[Any]], next_cloud: Cloud, warn: Callable[[str], None]
) -> None:
    """Say which clouds gave no answer, and which one did."""
    for error in inquiry.refusals(answers):
        if not isinstance(error, exceptions.NotFound):
            warn(f"{error} Looking on cloud '{next_cloud.name}'.")


def nothing_found(answers: Sequence[inquiry.Answer[Any]], hint: str = "") -> Exception:
    """Make the error for a question that no cloud could answer.

    ``hint`` is for a thing that the only cloud does not know.
    """
    errors = inquiry.refusals(answers)
    others = [
        error
        for error in errors
        if not isinstance(error, (exceptions.NotFound, faults.Unreachable))
    ]
    if others:
        return others[0]
    silent = [error for error in errors if isinstance(error, faults.Unreachable)]
    if len(silent) == len(errors):
        return _nobody_answered(silent)
    unknown = [answer for answer in answers if isinstance(answer.error, exceptions.NotFound)]
    asked = " and ".join(
        f"cloud '{answer.cloud.name}' (project {answer.cloud.protector.project_id})"
        for answer in unknown
    )
    text = f"{unknown[0].error} Asked: {asked}."
    if silent:
        text += f" {silent[-1]}"
    elif len(answers) == 1 and hint:
        text += f" {hint}"
    return exceptions.CommandError(text)


def _nobody_answered(silent: list[faults.Unreachable]) -> Exception:
    if len(silent) == 1:
        return silent[0]
    return exceptions.CommandError(
        "\n".join([*map(str, silent[:-1]), f"{silent[-1]} No cloud is left to ask."])
    )


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
    named = region.config.get("secondary_cloud") or ""
    other = _other_name(region.name or "", named)
    return Clouds(
        primary, (lambda: _open(other, version, region)) if other else None, turned=other != named
    )


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
    name = manager._cli_options.name
    try:
        manager.setup_auth()
    except (ksa.MissingRequiredOptions, sdk.ConfigException) as error:
        remedy = (
            f"Complete cloud '{name}' in clouds.yaml"
            if name
            else "Name a cloud of clouds.yaml with --os-cloud (OS_CLOUD)"
        )
        raise exceptions.CommandError(f"No credentials: {error}. {remedy}.") from error
    if not manager._cli_options.config.get("debug"):
        # It warns of a Keystone that does not answer, which our own message says with the remedy.
        logging.getLogger("keystoneauth.identity").setLevel(logging.ERROR)


def _microversion(given: str) -> str | None:
    """``1`` leaves the choice of the microversion to the client."""
    return given if "." in given else None


def _open(name: str, version: str | None, beside: cloud_region.CloudRegion) -> Cloud:
    try:
        region = _region(name)
        session = region.get_session()
    except (ksa.MissingRequiredOptions, sdk.ConfigException) as error:
        raise exceptions.CommandError(
            f"--secondary-cloud (OS_SECONDARY_CLOUD) '{name}': {error}"
        ) from error
    _refuse_one_site(name, region, beside)
    return Cloud(
        name,
        _protector(region, session, version),
        lambda: openstack.connection.Connection(config=region),
    )


def _region(name: str) -> cloud_region.CloudRegion:
    config = openstack.config.OpenStackConfig()
    region = config.get_one(cloud=name)
    auth_type = str(region.config.get("auth_type") or "password")
    if auth_type.endswith("password") and not region.get_auth_args().get("password"):
        return config.get_one(cloud=name, auth={"password": _password_of(name)})
    return region


def _password_of(name: str) -> str:
    """Ask for a password as the ``openstack`` command does, and say whose."""
    try:
        return shell.prompt_for_password(f"Password of cloud '{name}': ")
    except exceptions.CommandError as error:
        raise exceptions.CommandError(
            f"Cloud '{name}' has no password in clouds.yaml, and none was typed in."
        ) from error


def _refuse_one_site(
    name: str, region: cloud_region.CloudRegion, beside: cloud_region.CloudRegion
) -> None:
    """Refuse two entries that lead to the same protector, which would be asked about itself."""
    site, other = _site(region), _site(beside)
    if site == other:
        keystone, in_region = site
        raise exceptions.CommandError(
            f"--secondary-cloud '{name}' is the same site as '{beside.name}': both sign in at "
            f"{keystone} for region {in_region or 'any'}. Name the other site's entry of "
            "clouds.yaml."
        )


def _site(region: cloud_region.CloudRegion) -> tuple[str, str | None]:
    keystone = str(region.get_auth_args().get("auth_url") or "").rstrip("/")
    return keystone.removesuffix("/v3"), region.get_region_name("protector")


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
