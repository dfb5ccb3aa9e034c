# SPDX-License-Identifier: Apache-2.0
"""Names of servers, networks, flavors and projects, as the ids that protector works with."""

from __future__ import annotations

import argparse
import re
from typing import Any, Callable

from keystoneauth1 import exceptions as ksa
from openstack import exceptions as sdk
from osc_lib import exceptions

from protectorclient.osc.clouds import Cloud, Clouds
from protectorclient.v1.records import Record

_ID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")

Pairs = list[tuple[str, str]]
"""``--network-mapping A=B`` as given."""


def is_id(text: str) -> bool:
    """Whether it has the form of a UUID, with or without dashes."""
    return _ID.fullmatch(text) is not None


def server_id(cloud: Cloud, server: str) -> str:
    """Take a server's name or id; only names are looked up."""
    if is_id(server):
        return server
    return _find(cloud, "server", server, lambda: cloud.services.compute.find_server(server))


def mappings(clouds: Clouds, parsed_args: argparse.Namespace) -> Record:
    """Return the mappings that were given, by ids."""
    found: Record = {}
    if parsed_args.network_mapping:
        found["network_mapping"] = network_mapping(clouds, parsed_args.network_mapping)
    if parsed_args.flavor_mapping:
        found["flavor_mapping"] = flavor_mapping(clouds, parsed_args.flavor_mapping)
    return found


def mappings_of(clouds: Clouds, group: str, parsed_args: argparse.Namespace) -> Record:
    """Return the mappings that were given for a group, by ids.

    They are written from its primary to its secondary site, whichever of the two is asked.
    """
    if not has_names(parsed_args):
        return mappings(clouds, parsed_args)
    found = clouds.primary.protector.protection_groups.get(group)
    return mappings_from(clouds, found, parsed_args)


def has_names(parsed_args: argparse.Namespace) -> bool:
    """Whether something in the mappings that were given has to be looked up."""
    pairs = [*parsed_args.network_mapping, *parsed_args.flavor_mapping]
    return not all(is_id(here) and is_id(there) for here, there in pairs)


def mappings_from(clouds: Clouds, group: Record, parsed_args: argparse.Namespace) -> Record:
    """Return the mappings that were given for a group that was read, by ids."""
    turned = clouds.primary.name == group["secondary_site"]
    return mappings(clouds.exchanged() if turned else clouds, parsed_args)


def refuse_source_names(parsed_args: argparse.Namespace) -> None:
    """Refuse names of networks on a source site that must not be asked.

    A flavor's id may be any text, so the service says what is not one.
    """
    for here, there in parsed_args.network_mapping:
        if not is_id(here):
            raise _source_name(here, there, here)


def mappings_to_primary(target: Cloud, parsed_args: argparse.Namespace) -> Record:
    """Return the mappings given for a move to the primary site, with only its names looked up.

    They are written from the primary to the secondary site, which is not asked.
    """
    found: Record = {}
    if parsed_args.network_mapping:
        found["network_mapping"] = {
            _network_id(target, here): there for here, there in parsed_args.network_mapping
        }
    if parsed_args.flavor_mapping:
        found["flavor_mapping"] = {
            _flavor_id(target, here): there for here, there in parsed_args.flavor_mapping
        }
    return found


def refuse_secondary_names(parsed_args: argparse.Namespace) -> None:
    """Refuse names of networks on a secondary site that must not be asked."""
    for here, there in parsed_args.network_mapping:
        if not is_id(there):
            raise _source_name(here, there, there)


def _source_name(here: str, there: str, name: str) -> exceptions.CommandError:
    return exceptions.CommandError(
        f"--network-mapping {here}={there}: '{name}' is a name, and the source site is not "
        f"asked. Give the network's id; `openstack dr member show` lists the ids."
    )


def target_mappings(target: Cloud, parsed_args: argparse.Namespace) -> Record:
    """Return the mappings that were given, with only the target's names looked up."""
    found: Record = {}
    if parsed_args.network_mapping:
        found["network_mapping"] = {
            here: _network_id(target, there) for here, there in parsed_args.network_mapping
        }
    if parsed_args.flavor_mapping:
        found["flavor_mapping"] = {
            here: _flavor_id(target, there) for here, there in parsed_args.flavor_mapping
        }
    return found


def network_mapping(clouds: Clouds, pairs: Pairs) -> Record:
    """``A=B`` with A looked up on the primary cloud and B on the secondary one."""
    return {
        _network_id(clouds.primary, here): _network_id(_other(clouds, "network", there), there)
        for here, there in pairs
    }


def flavor_mapping(clouds: Clouds, pairs: Pairs) -> Record:
    """``A=B`` as networks; an id may be any text here, so without its cloud B passes as it is."""
    return {
        _flavor_id(clouds.primary, here): _flavor_id(clouds.secondary, there)
        for here, there in pairs
    }


def project_id(cloud: Cloud | None, project: str) -> str:
    """Take a project's name or id; only names are looked up."""
    if is_id(project):
        return project
    if cloud is None:
        raise _needs_secondary("project", project)
    identity: Any = cloud.services.identity
    return _find(cloud, "project", project, lambda: identity.find_project(project))


def _network_id(cloud: Cloud | None, network: str) -> str:
    if cloud is None or is_id(network):
        return network
    return _find(cloud, "network", network, lambda: cloud.services.network.find_network(network))


def _flavor_id(cloud: Cloud | None, flavor: str) -> str:
    if cloud is None or is_id(flavor):
        return flavor
    return _find(cloud, "flavor", flavor, lambda: cloud.services.compute.find_flavor(flavor))


def _other(clouds: Clouds, noun: str, reference: str) -> Cloud | None:
    if is_id(reference):
        return None
    if clouds.secondary is None:
        raise _needs_secondary(noun, reference)
    return clouds.secondary


def _needs_secondary(noun: str, name: str) -> exceptions.CommandError:
    return exceptions.CommandError(
        f"{noun} '{name}' is a name on the other site's cloud: name that cloud with "
        f"--secondary-cloud (OS_SECONDARY_CLOUD), or give the {noun}'s id."
    )


def _find(cloud: Cloud, noun: str, name: str, find: Callable[[], Any]) -> str:
    try:
        found = find()
    except sdk.DuplicateResource as error:
        raise exceptions.CommandError(
            f"More than one {noun} on cloud '{cloud.name}' is named '{name}': give its id."
        ) from error
    except (sdk.SDKException, ksa.ClientException) as error:
        raise exceptions.CommandError(
            f"{noun} '{name}' could not be looked up on cloud '{cloud.name}': {error}"
        ) from error
    if found is None:
        raise exceptions.CommandError(f"No {noun} '{name}' on cloud '{cloud.name}'.")
    return str(found.id)
