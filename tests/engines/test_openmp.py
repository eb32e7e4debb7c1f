"""OpenMP threads are passive while idle, unless the user sets another policy."""

from __future__ import annotations

import os

import pytest

from ome_writers_engines.openmp import passive_openmp_threads

POLICY = "OMP_WAIT_POLICY"


def test_policy_is_passive_during_import_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POLICY, raising=False)
    with passive_openmp_threads():
        assert os.environ[POLICY] == "passive"
    assert POLICY not in os.environ


def test_policy_is_removed_after_failed_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(POLICY, raising=False)
    with pytest.raises(ImportError), passive_openmp_threads():
        raise ImportError("no such library")
    assert POLICY not in os.environ


def test_policy_of_user_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(POLICY, "active")
    with passive_openmp_threads():
        assert os.environ[POLICY] == "active"
    assert os.environ[POLICY] == "active"
