# SPDX-License-Identifier: Apache-2.0
"""``dr site retire``: a site that is gone for good."""

from __future__ import annotations

import argparse

from osc_lib import exceptions

from protectorclient.osc import columns, confirmation
from protectorclient.osc.commands import Listed, Lister
from protectorclient.osc.start import Willing
from protectorclient.osc.terminal import one_line
from protectorclient.v1.records import Record

_COLUMNS = {
    "Protection Group": "name",
    "Project": "project_id",
    "Status": "status",
    "Runs On": "runs_on",
    "Left There": "leftovers_there",
    "Unfinished There": "unfinished_there",
    "In Touch": "last_in_touch_at",
    "First": "in_the_way",
}


class RetireSite(Willing, Lister):
    """Say that a site is gone for good: its groups go on without another site.

    For administrators. The site that is left is asked. It refuses while the protector of the other
    one answers, and while a group with VMs runs there that is not given up. Afterwards the groups
    are not protected: they can be changed and deleted without the other site, and their VMs
    protected anew with another one. What was left on the site is never cleaned up, and what its
    protector says of these groups, should it come back, is not believed. This cannot be undone.
    """

    exit_code = 0

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        """Add the arguments."""
        parser = super().get_parser(prog_name)
        parser.add_argument(
            "site", metavar="<site>", help="Site that is gone for good (name or ID)"
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="Change nothing; list what each group loses and what is in the way",
        )
        parser.add_argument(
            "--give-up",
            metavar="<group>",
            action="append",
            default=[],
            help="Protection group that ran on the site and that nobody can bring up on the other "
            "one (name or ID; may be given more than once): it is forgotten there. Nothing is "
            "deleted on either cloud",
        )
        confirmation.add_yes(parser, "the site's groups lose their other site")
        return parser

    def run(self, parsed_args: argparse.Namespace) -> int:
        """Run; a dry run fails where the site would not be retired."""
        return super().run(parsed_args) or self.exit_code

    def take_action(self, parsed_args: argparse.Namespace) -> Listed:
        """Look, ask, retire."""
        if not parsed_args.dry_run:
            confirmation.require_answerable(
                self, parsed_args, "A site that is retired is never asked again"
            )
        site = parsed_args.site
        options: Record = {"give_up": parsed_args.give_up} if parsed_args.give_up else {}
        cloud, found = self.first_willing(
            lambda asked: asked.protector.sites.retire(site, {**options, "dry_run": True}),
            but=site,
        )
        in_the_way = _in_the_way(found)
        for line in in_the_way:
            self.say(one_line(line))
        self.exit_code = int(bool(in_the_way))
        if asked := found.get("asked"):  # A protector of an earlier release does not say.
            self.say(f"{found['site']}: {asked}.")
        if parsed_args.dry_run:
            for group in _given_up(found):
                self.say(_loss(group))
            return columns.rows(_rows(found), _COLUMNS)
        if in_the_way:
            raise exceptions.CommandError(f"Site '{site}' was not retired. Nothing was changed.")
        self._confirm(parsed_args, found)
        done = cloud.protector.sites.retire(site, options)
        return columns.rows(_rows(done), _COLUMNS)

    def _confirm(self, parsed_args: argparse.Namespace, found: Record) -> None:
        site, groups = found["site"], found["protection_groups"]
        for group in groups:
            self.say(_loss(group))
        self.say(
            f"{site} is never asked again, and not believed when it comes back: VMs that run there "
            "then run beside those of these groups. What is known there alone, and what was left "
            "there, is given up."
        )
        if not parsed_args.yes:
            question = f"Is {site} gone for good? {_count(len(groups))} will not be protected"
            given_up = len(_given_up(found))
            if given_up:
                question += f", {given_up} of them forgotten"
            confirmation.confirm(self, question)


def _count(groups: int) -> str:
    return "1 group" if groups == 1 else f"{groups} groups"


def _given_up(found: Record) -> list[Record]:
    """Return the groups that are forgotten; a protector of an earlier release knows of none."""
    return [group for group in found["protection_groups"] if group.get("given_up")]


def _in_the_way(found: Record) -> list[str]:
    groups = [group["in_the_way"] for group in found["protection_groups"]]
    return [why for why in [found["in_the_way"], *groups] if why]


def _loss(group: Record) -> str:
    losses = [f"is {group['status']} on {group['runs_on']}"]
    if group["leftovers_there"]:
        losses.append(f"{group['leftovers_there']} leftovers are never cleaned up")
    if group["unfinished_there"]:
        losses.append(f"what became of {', '.join(group['unfinished_there'])} is not known")
    if group["tests_there"]:
        losses.append(f"the copies of {', '.join(group['tests_there'])} are gone")
    if group.get("given_up"):
        losses.append(
            "it is given up: its record is forgotten, and nothing is deleted on either cloud"
        )
    losses.append(f"last in touch {group['last_in_touch_at'] or 'at a time that is not known'}")
    return f"{group['name']} (project {group['project_id']}) {'; '.join(losses)}"


def _rows(found: Record) -> list[Record]:
    return [
        {**group, "unfinished_there": ", ".join(group["unfinished_there"])}
        for group in found["protection_groups"]
    ]
