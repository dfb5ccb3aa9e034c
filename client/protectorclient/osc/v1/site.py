# SPDX-License-Identifier: Apache-2.0
"""``dr site``: the two clouds, as protector knows them. For administrators."""

from __future__ import annotations

import argparse

from osc_lib import exceptions

from protectorclient.osc import arguments, columns
from protectorclient.osc.clouds import Cloud
from protectorclient.osc.commands import (
    Command,
    Listed,
    Lister,
    Shown,
    ShowOne,
    each,
    from_each_cloud,
)
from protectorclient.v1.records import Record

_FIELDS = (
    "description",
    "auth_url",
    "region_name",
    "interface",
    "username",
    "password",
    "user_domain_name",
    "project_name",
    "project_domain_name",
    "cacert",
)


_CHECK = {"Check": "name", "OK": "ok", "Detail": "detail", "Fix": "fix"}


class CreateSite(ShowOne):
    """Register a site; with --secondary-cloud on the protectors of both clouds, under one ID."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "name",
            metavar="<name>",
            help="The site's name, as in site-a; unique, and the same on both",
        )
        _add_fields(parser, new=True)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Register it here, then there under the same id."""
        parsed_args.password = arguments.secret(
            parsed_args.password, f"Password of {parsed_args.username}"
        )
        fields = {"name": parsed_args.name, **arguments.given(parsed_args, *_FIELDS)}
        primary, *others = self.clouds.all()
        site = self._registered(primary, fields, may_exist=bool(others))
        for cloud in others:
            try:
                self._registered(cloud, {"id": site["id"], **fields}, may_exist=True)
            except (exceptions.ClientException, exceptions.CommandError) as error:
                raise exceptions.CommandError(
                    f"Site '{parsed_args.name}' is registered on cloud '{primary.name}' as "
                    f"{site['id']}, but not on cloud '{cloud.name}': {error}. "
                    "Run the same command again when that is mended."
                ) from error
        return columns.shown(site)

    def _registered(self, cloud: Cloud, fields: Record, *, may_exist: bool) -> Record:
        """Register, or take the one that an interrupted run of the same command registered."""
        sites = cloud.protector.sites
        try:
            return sites.create(fields)
        except exceptions.Conflict:
            if not may_exist:
                raise
            there = sites.get(fields["name"])
            same = there.get("auth_url") == fields["auth_url"]
            if not same or fields.get("id", there["id"]) != there["id"]:
                raise
            self.say(f"Site '{fields['name']}' is registered on cloud '{cloud.name}' already.")
            return there


class ListSites(Lister):
    """List the registered sites."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        arguments.add_sort(parser, "name", "status", default="name:asc")
        arguments.add_page(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List."""
        query = arguments.given(parsed_args, "marker")
        return columns.rows(
            self.protector.sites.list(parsed_args.limit, **parsed_args.sort, **query),
            {
                "ID": "id",
                "Name": "name",
                "Status": "status",
                "Local": "local",
                "Auth URL": "auth_url",
                "Description": "description",
            },
        )


class ShowSite(ShowOne):
    """Show a site; its password is never shown."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        _add_site(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Show."""
        return columns.shown(self.protector.sites.get(parsed_args.site))


class SetSite(ShowOne):
    """Change a site's registration, and show it; options left out stay.

    With --secondary-cloud it is changed on the protectors of both clouds; the key that is pinned
    for it, only on the one that is asked.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        _add_site(parser)
        _add_fields(parser, new=False)
        key = parser.add_mutually_exclusive_group()
        key.add_argument(
            "--peer-key",
            metavar="<fingerprint>",
            help="Fingerprint of the key with which the site's protector signs from now on, as "
            "'protector-manage signing-key show' prints it there; believed if the protector tells "
            "that key. No other option may be given with it",
        )
        key.add_argument(
            "--forget-peer-key",
            action="store_true",
            help="Forget the key with which the site's protector signs; the next one that it tells "
            "is believed. No other option may be given with it",
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Shown:
        """Change what was given, here and then there."""
        changes = arguments.given(parsed_args, *_FIELDS)
        if parsed_args.peer_key or parsed_args.forget_peer_key:
            return self._peer_key(parsed_args, changes)
        if not changes:
            raise exceptions.CommandError("Nothing to change: give at least one option.")
        if "password" in changes:
            changes["password"] = arguments.secret(changes["password"], "New password")
        primary, *others = self.clouds.all()
        site = primary.protector.sites.update(parsed_args.site, changes)
        for cloud in others:
            try:
                cloud.protector.sites.update(parsed_args.site, changes)
            except (exceptions.ClientException, exceptions.CommandError) as error:
                raise exceptions.CommandError(
                    f"Site '{parsed_args.site}' is changed on cloud '{primary.name}', but not on "
                    f"cloud '{cloud.name}': {error}. "
                    "Run the same command again when that is mended."
                ) from error
        return columns.shown(site)

    def _peer_key(self, parsed_args: argparse.Namespace, changes: Record) -> Shown:
        """Pin a key for the site, or none, where it is asked for: the site itself pins none."""
        if changes:
            raise exceptions.CommandError(
                "--peer-key and --forget-peer-key go alone: change the rest with another command."
            )
        sites = self.protector.sites
        return columns.shown(sites.update(parsed_args.site, {"peer_key": parsed_args.peer_key}))


class DeleteSite(Command):
    """Forget sites that no protection group uses.

    With --secondary-cloud they are forgotten by the protectors of both clouds.
    """

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "site", metavar="<site>", nargs="+", help="Site(s) to forget (name or ID)"
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> None:
        """Delete each."""
        each(self, parsed_args.site, self._forget, "delete")

    def _forget(self, site: str) -> None:
        from_each_cloud(self, lambda cloud: cloud.protector.sites.delete(site), f"site '{site}'")


class ValidateSite(Lister):
    """Check that a site can be reached and used, and say what to do about each check that fails.

    Checked are its services and their versions, the service user's rights, its volume types, its
    protector, and the arrays that replication policies name. A check that fails keeps those that
    need it from being made. The exit code is 1 when one fails.
    """

    _valid = True

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        _add_site(parser)
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; a failed check is a failed command."""
        code = super().run(parsed_args)
        return code if self._valid else 1

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List the checks."""
        found = self.protector.sites.validate(parsed_args.site)
        self._valid = found["valid"]
        return columns.rows(found["checks"], _CHECK)


class ListVolumeTypes(Lister):
    """List the volume types of a site's cloud, and whether protection groups can use them."""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        _add_site(parser)
        parser.add_argument(
            "--eligible", action="store_true", help="Only those that can be used (default: all)"
        )
        arguments.add_sort(parser, "name", default="name:asc")
        arguments.add_page(parser)
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """List; the service knows one order only, so it takes no key."""
        query = arguments.given(parsed_args, "marker")
        if parsed_args.eligible:
            query["eligible"] = "true"
        return columns.rows(
            self.protector.sites.volume_types(
                parsed_args.site,
                parsed_args.limit,
                sort_dir=parsed_args.sort.get("sort_dir"),
                **query,
            ),
            {
                "ID": "id",
                "Name": "name",
                "Replication": "replication_type",
                "Eligible": "eligible",
                "Reason": "reason",
            },
        )


def _add_site(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", metavar="<site>", help="Site (name or ID)")


def _add_fields(parser: argparse.ArgumentParser, *, new: bool) -> None:
    def default(word: str) -> str:
        return f" (default: {word})" if new else ""

    parser.add_argument(
        "--auth-url",
        metavar="<url>",
        required=new,
        help="Keystone's URL, as in https://keystone.example.org:5000/v3; both protectors must "
        "reach it",
    )
    parser.add_argument(
        "--username",
        metavar="<name>",
        required=new,
        help="The service user with which protector logs in to the site",
    )
    parser.add_argument(
        "--password",
        metavar="<password>",
        help="Its password; "
        + (
            "asked for when not given"
            if new
            else "- asks for it. Needed again where its URL, user, project, domains or CA change"
        )
        + ". It is kept encrypted and never shown",
    )
    parser.add_argument(
        "--user-domain-name",
        metavar="<domain>",
        help="Domain of the service user" + default("Default"),
    )
    parser.add_argument(
        "--project-name",
        metavar="<project>",
        help="Project in which the service user is admin" + default("service"),
    )
    parser.add_argument(
        "--project-domain-name",
        metavar="<domain>",
        help="Domain of that project" + default("Default"),
    )
    parser.add_argument(
        "--region-name",
        metavar="<region>",
        help="Region whose endpoints are used" + default("the only one of the catalogue"),
    )
    parser.add_argument(
        "--interface",
        choices=("public", "internal", "admin"),
        help="Endpoints that protector uses" + default("public"),
    )
    parser.add_argument(
        "--cacert",
        metavar="<path>",
        help="CA bundle on the protector hosts" + default("the system's"),
    )
    parser.add_argument(
        "--description", metavar="<text>", help="What people should know about the site"
    )
