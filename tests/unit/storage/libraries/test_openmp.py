"""OpenMP's threads sleep while they wait, unless the user wants otherwise."""

from __future__ import annotations

import os

import pytest

from ome_writers.storage.libraries.openmp import threads_that_sleep

POLICY = "OMP_WAIT_POLICY"


def test_a_library_that_is_loaded_finds_the_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is loaded inside finds `passive` in the environment, which is as it was afterwards."""
    monkeypatch.delenv(POLICY, raising=False)
    with threads_that_sleep():
        assert os.environ[POLICY] == "passive"
    assert POLICY not in os.environ


def test_a_load_that_fails_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment is as it was, too, when there is no such library."""
    monkeypatch.delenv(POLICY, raising=False)
    with pytest.raises(ImportError), threads_that_sleep():
        raise ImportError("no such library")
    assert POLICY not in os.environ


def test_what_the_user_asked_for_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy that was set stays."""
    monkeypatch.setenv(POLICY, "active")
    with threads_that_sleep():
        assert os.environ[POLICY] == "active"
    assert os.environ[POLICY] == "active"
