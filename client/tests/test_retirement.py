# SPDX-License-Identifier: Apache-2.0
"""A site that is gone for good."""

from __future__ import annotations

import pytest

from tests.conftest import fault

WORDS = ["dr", "site", "retire", "site-b"]

GROUP = {
    "protection_group_id": "pg-1",
    "name": "shop",
    "project_id": "p1",
    "status": "active",
    "runs_on": "site-a",
    "leftovers_there": 2,
    "unfinished_there": ["op-9"],
    "tests_there": [],
    "last_in_touch_at": "2025-11-03T14:00:00Z",
    "in_the_way": None,
}

IN_THE_WAY = "Protection group shop (active) runs on site-b: 'openstack dr ...' brings it up first."


def serve(clouds, *groups, in_the_way=None):
    def answer(request, _context):
        dry = request.json()["retire"].get("dry_run")
        return {
            "retirement": {
                "site": "site-b",
                "retired_at": None if dry else "2025-11-03T15:00:00Z",
                "asked": "its protector was asked up to 3 times within 30 s, and does not answer",
                "in_the_way": in_the_way,
                "protection_groups": list(groups),
            }
        }

    url = clouds.admin("sites/site-b/retire")
    clouds.mock.post(url, json=answer)
    return url


def test_what_it_means_is_said_before_it_is_done(clouds, run, type_in):
    clouds.dead("b")
    url = serve(clouds, GROUP)
    type_in("y\n")
    result = run(*WORDS, both=True)
    assert result.code == 0
    assert (
        "shop (project p1) is active on site-a; 2 leftovers are never cleaned up; what became of "
        "op-9 is not known; last in touch 2025-11-03T14:00:00Z\n"
    ) in result.err
    assert "site-b: its protector was asked up to 3 times within 30 s" in result.err
    assert "not believed when it comes back" in result.err
    assert "Is site-b gone for good? 1 group will not be protected [y/N]" in result.err
    assert clouds.bodies("POST", url) == [{"retire": {"dry_run": True}}, {"retire": {}}]


def test_nobody_says_it_by_accident(clouds, run, type_in):
    url = serve(clouds, GROUP)
    refused = run(*WORDS)
    assert refused.code == 1
    assert "Give --yes" in refused.err
    assert clouds.bodies("POST", url) == []
    type_in("\n")
    assert run(*WORDS).code == 1
    assert clouds.bodies("POST", url) == [{"retire": {"dry_run": True}}]


@pytest.mark.parametrize("words", [["--yes"], ["--dry-run"]])
def test_what_is_in_the_way_comes_first(clouds, run, words):
    url = serve(clouds, {**GROUP, "in_the_way": IN_THE_WAY})
    result = run(*WORDS, *words)
    assert result.code == 1
    assert IN_THE_WAY in result.err
    assert clouds.bodies("POST", url) == [{"retire": {"dry_run": True}}]


def test_scripts_look_and_retire(clouds, run):
    url = serve(clouds, GROUP)
    assert run(*WORDS, "--dry-run", "-f", "json").json[0]["Left There"] == 2
    assert run(*WORDS, "--yes", "-f", "json").json[0]["Protection Group"] == "shop"
    assert clouds.bodies("POST", url)[-1] == {"retire": {}}


def test_a_refusal_is_in_the_servers_words(clouds, run):
    text = "site: site-b is the site of the protector that was asked."
    url = clouds.admin("sites/site-b/retire")
    clouds.mock.post(url, status_code=400, json=fault("badRequest", 400, text))
    result = run(*WORDS, "--yes")
    assert (result.code, text in result.err) == (1, True)


def test_groups_that_cannot_be_brought_up_are_given_up(clouds, run, type_in):
    lost = {**GROUP, "name": "lost", "runs_on": "site-b", "given_up": True}
    url = serve(clouds, GROUP, lost)
    words = ["--give-up", "lost", "--give-up", "pg-7"]
    looked = run(*WORDS, *words, "--dry-run")
    said = "it is given up: its record is forgotten, and nothing is deleted on either cloud"
    assert (looked.code, said in looked.err) == (0, True)
    type_in("y\n")
    done = run(*WORDS, *words)
    assert done.code == 0, done.err
    assert said in done.err
    assert "2 groups will not be protected, 1 of them forgotten" in done.err
    given_up = ["lost", "pg-7"]
    assert clouds.bodies("POST", url)[1:] == [
        {"retire": {"give_up": given_up, "dry_run": True}},
        {"retire": {"give_up": given_up}},
    ]
