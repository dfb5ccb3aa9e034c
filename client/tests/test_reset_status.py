# SPDX-License-Identifier: Apache-2.0
"""A status that nothing else leads out of."""

from __future__ import annotations

import pytest

from tests.conftest import fault

URL = "protection-groups/prod-web-app/reset-status"
RESET = ["dr", "protection-group", "reset-status", "prod-web-app"]
FOUND = {
    "before": "error",
    "status": "active",
    "findings": [{"member": "web-1", "found": "is ACTIVE on site-a"}],
}


def answers(clouds, **changes):
    clouds.mock.post(clouds.url(URL), json={"reset_status": {**FOUND, **changes}})
    return clouds.url(URL)


@pytest.mark.parametrize(
    ("words", "sent", "said"),
    [
        ([], {}, "Status: was error, is now active.\n"),
        (["--dry-run"], {"dry_run": True}, "Status: was error, would be active.\n"),
    ],
)
def test_it_says_what_was_found_and_what_the_status_is(clouds, run, words, sent, said):
    url = answers(clouds)
    result = run(*RESET, *words)
    assert (result.code, result.out) == (0, "web-1 is ACTIVE on site-a\n" + said)
    assert clouds.bodies("POST", url) == [{"reset_status": sent}]


def test_a_group_at_rest_stays_as_it_is(clouds, run):
    answers(clouds, before="active")
    assert run(*RESET).out.endswith("Status: active, as before.\n")


def test_scripts_get_all_of_it(clouds, run):
    answers(clouds)
    assert run(*RESET, "-f", "json").json == FOUND


def test_what_is_in_the_way_is_in_the_servers_words(clouds, run):
    text = "Protection group prod-web-app stays error: web-1 is ACTIVE on site-a, and ..."
    clouds.mock.post(clouds.url(URL), status_code=409, json=fault("conflictingRequest", 409, text))
    result = run(*RESET)
    assert (result.code, result.err) == (1, f"{text} (HTTP 409)\n")


def test_a_lost_site_is_answered_for_by_a_person(clouds, run, type_in):
    url = answers(clouds)
    refused = run(*RESET, "--other-site-lost")
    assert refused.code == 1
    assert "Give --yes" in refused.err
    type_in("n\n")
    assert run(*RESET, "--other-site-lost").code == 1
    assert clouds.bodies("POST", url) == []
    type_in("y\n")
    result = run(*RESET, "--other-site-lost")
    assert result.code == 0
    assert "they run twice" in result.err
    assert clouds.bodies("POST", url) == [{"reset_status": {"other_site_lost": True}}]
