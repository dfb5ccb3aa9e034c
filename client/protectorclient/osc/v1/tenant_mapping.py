# SPDX-License-Identifier: Apache-2.0
"""``dr tenant mapping``: which project on one cloud is which on the other. For administrators."""

from __future__ import annotations

import argparse

from osc_lib import exceptions

from protectorclient.osc import arguments, columns, lookup
from protectorclient.osc.by_hand import openstack
from protectorclient.osc.commands import (
    Command,
    Listed,
    Lister,
    Shown,
    ShowOne,
    each,
    from_each_cloud,
)


class CreateTenantMapping(ShowOne):
    """Link a project of one site with one of the other, and give the service user its role on both.

    With --secondary-cloud the link is made on the protectors of both clouds, under one ID.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        for which, cloud in (("primary", "--os-cloud"), ("secondary", "--secondary-cloud")):
            parser.add_argument(
                f"--{which}-site",
                metavar="<site>",
                required=True,
                help=f"The {which} site (name or ID)",
            )
            parser.add_argument(
                f"--{which}-project",
                metavar="<project>",
                required=True,
                help="The tenant's project on that site (name or ID; names are looked up with "
                f"{cloud})",
            )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Make it here, then there under the same id."""
        clouds = self.clouds
        fields = {
            "primary_site": parsed_args.primary_site,
            "primary_project_id": lookup.project_id(clouds.primary, parsed_args.primary_project),
            "secondary_site": parsed_args.secondary_site,
            "secondary_project_id": lookup.project_id(
                clouds.secondary, parsed_args.secondary_project
            ),
        }
        mapping = clouds.primary.protector.tenant_mappings.create(fields)
        if clouds.secondary is not None:
            try:
                clouds.secondary.protector.tenant_mappings.create({"id": mapping["id"], **fields})
            except (exceptions.ClientException, exceptions.CommandError) as error:
                raise exceptions.CommandError(
                    f"The mapping is made on cloud '{clouds.primary.name}' as {mapping['id']}, "
                    f"but not on cloud '{clouds.secondary.name}': {error}. "
                    f"`{openstack('dr tenant mapping delete', mapping['id'])}` takes it back."
                ) from error
        return columns.shown(mapping)


class ListTenantMappings(Lister):
    """List the tenant mappings."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_sort(parser, "created_at", default="created_at:asc")
        arguments.add_page(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List; the service knows one order only, so it takes no key."""
        query = arguments.given(parsed_args, "marker")
        return columns.rows(
            self.protector.tenant_mappings.list(
                parsed_args.limit, sort_dir=parsed_args.sort.get("sort_dir"), **query
            ),
            {
                "ID": "id",
                "Primary Site": "primary_site",
                "Primary Project": "primary_project_id",
                "Secondary Site": "secondary_site",
                "Secondary Project": "secondary_project_id",
            },
        )


class ShowTenantMapping(ShowOne):
    """Show a tenant mapping."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument("mapping", metavar="<mapping>", help="Tenant mapping (ID)")
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Show."""
        return columns.shown(self.protector.tenant_mappings.get(parsed_args.mapping))


class DeleteTenantMapping(Command):
    """Unlink projects; with --secondary-cloud on the protectors of both clouds.

    Protection groups stay. So does the service user's role on the projects, which an administrator
    may have given it before; --revoke takes it away.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "mapping", metavar="<mapping>", nargs="+", help="Tenant mapping(s) to delete (ID)"
        )
        parser.add_argument(
            "--revoke",
            action="store_true",
            help="Take the role member from the service user on both projects too; refused while "
            "protection groups need it (default: the role stays)",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete each."""
        each(
            self,
            parsed_args.mapping,
            lambda mapping: self._unlink(mapping, revoke=parsed_args.revoke),
            "delete",
        )

    def _unlink(self, mapping: str, *, revoke: bool) -> None:
        from_each_cloud(
            self,
            lambda cloud: cloud.protector.tenant_mappings.delete(mapping, revoke=revoke),
            f"mapping '{mapping}'",
        )
