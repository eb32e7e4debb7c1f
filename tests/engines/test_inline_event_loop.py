"""The zarr-python engines run coroutines in the calling thread, even if it has a running event loop."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import numpy as np
import pytest

from ome_writers import create_stream
from ome_writers.storage import ENGINES
from support.acquisitions import acquisition

ENGINE_NAMES = [
    n for n in ("zarr-python", "zarrs-python") if ENGINES[n].missing_requirement() is None
]


@pytest.mark.parametrize("compression", ["none", "blosc-zstd"])
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_view_reads_inside_running_event_loop(
    tmp_path: Path, engine: str, compression: str
) -> None:
    """As in a notebook, during the acquisition and after it."""
    settings = acquisition(
        "single", tmp_path / "a.ome.zarr", format=engine, compression=compression
    )

    async def notebook() -> None:
        with create_stream(settings) as stream:
            for number in range(6):
                stream.append(np.full((4, 6), number + 1, "uint16"))
            stream.flush()
            assert stream.view()[2, 1].max() == 6
        assert stream.view()[0, 1].max() == 2

    asyncio.run(notebook())


@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_only_threads_of_ome_writers_are_started(tmp_path: Path, engine: str) -> None:
    before = set(threading.enumerate())
    settings = acquisition("single", tmp_path / "a.ome.zarr", format=engine)
    with create_stream(settings) as stream:
        for number in range(6):
            stream.append(np.full((4, 6), number + 1, "uint16"))
        stream.flush()
        assert stream.view()[2, 1].max() == 6
        started = {thread.name for thread in set(threading.enumerate()) - before}
    assert {name.split("-")[0] for name in started} == {"ome"}
