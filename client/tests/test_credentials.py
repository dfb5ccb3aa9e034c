# SPDX-License-Identifier: Apache-2.0
"""Entries of clouds.yaml that cannot be used as the user has them."""

from __future__ import annotations

import io
import os
import pathlib
import sys

import pytest
import yaml

from tests.conftest import NOT_FOUND, operation

ID = operation()["id"]


@pytest.fixture
def entries():
    """Change an entry of clouds.yaml."""
    path = pathlib.Path(os.environ["OS_CLIENT_CONFIG_FILE"])

    def change(name, **auth):
        config = yaml.safe_load(path.read_text())
        entry = config["clouds"][name]
        entry["region_name"] = auth.pop("region_name", entry["region_name"])
        entry["auth"].update(auth)
        entry["auth"] = {key: value for key, value in entry["auth"].items() if value is not None}
        path.write_text(yaml.safe_dump(config))

    return change


def test_the_cloud_whose_password_is_missing_is_named(clouds, run, entries):
    entries("site-b", password=None)
    clouds.mock.get(clouds.url(f"operations/{ID}"), status_code=404, json=NOT_FOUND)
    result = run("dr", "operation", "show", ID, both=True)
    assert (result.code, result.err) == (
        1,
        "Cloud 'site-b' has no password in clouds.yaml, and none was typed in.\n",
    )


def test_two_entries_of_one_site_are_refused(clouds, run, entries):
    entries("site-b", auth_url="http://keystone-a:5000/", project_id="3" * 32)
    clouds.mock.get(clouds.url(f"operations/{ID}"), status_code=404, json=NOT_FOUND)
    result = run("dr", "operation", "show", ID, both=True)
    assert result.code == 1
    assert result.err == (
        "--secondary-cloud 'site-b' is the same site as 'site-a': both sign in at "
        "http://keystone-a:5000 for region RegionOne. Name the other site's entry of clouds.yaml.\n"
    )


def test_two_regions_of_one_keystone_are_two_sites(clouds, run, entries):
    entries("site-b", auth_url="http://keystone-a:5000/v3", region_name="RegionTwo")
    there = {"operation": operation(home_site="site-b")}
    clouds.mock.get(clouds.url(f"operations/{ID}"), json=there)
    result = run("dr", "operation", "show", ID, both=True)
    assert (result.code, "same site" in result.err) == (0, False)


def test_a_password_that_is_missing_is_asked_for_by_the_name_of_its_cloud(
    clouds, run, entries, type_in, monkeypatch
):
    entries("site-b", password=None)
    asked = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or "typed in")
    type_in("")
    clouds.mock.get(clouds.url(f"operations/{ID}"), status_code=404, json=NOT_FOUND)
    clouds.mock.get(clouds.url(f"operations/{ID}", "b"), json={"operation": operation()})
    result = run("dr", "operation", "show", ID, both=True)
    assert (result.code, asked) == (0, ["Password of cloud 'site-b': "]), result.err
    keystone = clouds.bodies("POST", "http://keystone-b:5000/v3/auth/tokens")
    assert keystone[0]["auth"]["identity"]["password"]["user"]["password"] == "typed in"


def test_an_output_of_another_encoding_gets_what_it_can_show(clouds, run, monkeypatch):
    name = "gr\u00fcn-\u2603"
    there = {"operation": operation(status="failed", error=name)}
    clouds.mock.get(clouds.url(f"operations/{ID}"), json=there)
    for encoding, shown in (("latin-1", "gr\u00fcn-\\u2603"), ("ascii", "gr\\xfcn-\\u2603")):
        raw = io.BytesIO()
        monkeypatch.setattr("sys.stdout", io.TextIOWrapper(raw, encoding=encoding))
        for form in ("table", "value", "json"):
            result = run("dr", "operation", "show", ID, "-f", form)
            assert result.code == 0, (encoding, form, result.err)
        sys.stdout.flush()
        assert shown in raw.getvalue().decode(encoding)
