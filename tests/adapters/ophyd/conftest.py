"""A RunEngine, and paths for its datasets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bluesky.run_engine import RunEngine
    from ophyd_async.core import PathProvider


@pytest.fixture(scope="session")
def run_engine() -> Iterator[RunEngine]:
    """Return the RunEngine whose event loop all devices of the tests use."""
    from bluesky.run_engine import RunEngine

    engine = RunEngine({}, context_managers=[])
    yield engine
    engine.loop.call_soon_threadsafe(engine.loop.stop)
    while engine.loop.is_running():
        time.sleep(0.01)
    engine.loop.close()


@pytest.fixture
def engine(run_engine: RunEngine) -> Iterator[RunEngine]:
    yield run_engine
    run_engine.dispatcher.unsubscribe_all()


@pytest.fixture
def paths(tmp_path: Path) -> PathProvider:
    from ophyd_async.core import StaticPathProvider, UUIDFilenameProvider

    return StaticPathProvider(UUIDFilenameProvider(), tmp_path)
