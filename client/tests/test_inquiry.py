# SPDX-License-Identifier: Apache-2.0
"""Who is asked, when, and whose answer counts."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest
from osc_lib import exceptions

from protectorclient.osc import inquiry

A, B = SimpleNamespace(name="site-a"), SimpleNamespace(name="site-b")


@pytest.fixture(autouse=True)
def no_head_start(monkeypatch):
    """The order of answers is made by events; a broken test ends after the long patience."""
    monkeypatch.setattr(inquiry, "HEAD_START", 0.01)
    monkeypatch.setattr(inquiry, "PATIENCE", 30.0)


def is_a(cloud, _value):
    return cloud is A


def test_a_slow_first_cloud_is_preferred_to_a_quick_second_one():
    second = threading.Event()

    def call(cloud):
        if cloud is A:
            assert second.wait(30)
        else:
            second.set()
        return cloud.name

    answers = inquiry.ask([A, B], call, is_a)
    assert answers[0] == inquiry.Answer(A, "site-a")


def test_a_silent_first_cloud_is_given_up_once_the_second_has_answered(monkeypatch):
    monkeypatch.setattr(inquiry, "PATIENCE", 0.0)
    forever = threading.Event()

    def call(cloud):
        return cloud.name if cloud is B else forever.wait(30)

    first, second = inquiry.ask([A, B], call, is_a)
    assert (isinstance(first.error, inquiry.Late), second.value) == (True, "site-b")
    forever.set()


def test_a_slow_first_cloud_is_waited_for_when_the_second_has_refused(monkeypatch):
    monkeypatch.setattr(inquiry, "PATIENCE", 0.0)
    refused = threading.Event()

    def call(cloud):
        if cloud is B:
            refused.set()
            raise exceptions.Conflict(409, "ask site-a")
        assert refused.wait(30)
        return cloud.name

    assert inquiry.ask([A, B], call, first_patience=30.0)[0].value == "site-a"


def test_a_silent_cloud_is_waited_for_when_it_is_the_only_one_left():
    failed = threading.Event()

    def call(cloud):
        if cloud is B:
            failed.set()
            raise exceptions.ClientException(503, "overloaded")
        assert failed.wait(30)
        return cloud.name

    assert inquiry.ask([A, B], call)[0].value == "site-a"


def test_one_that_is_enough_leaves_the_other_unasked(monkeypatch):
    monkeypatch.setattr(inquiry, "HEAD_START", 30.0)
    assert inquiry.ask([A, B], lambda cloud: cloud.name) == [inquiry.Answer(A, "site-a")]


def test_a_fault_of_ours_is_not_taken_for_a_dead_site():
    def call(_cloud):
        raise KeyError("home_site")

    with pytest.raises(KeyError):
        inquiry.refusals(inquiry.ask([A, B], call))
