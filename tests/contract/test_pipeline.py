"""A stage, a sink and a store of one's own: each is a class of a few lines, and nothing else changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from contract.cases import Case, frame
from contract.test_engines import IN_ANY_ORDER, by_name, fill, opened, shapes
from ome_writers.routing import resolve
from ome_writers.storage import (
    ENGINES,
    ArrayTarget,
    MemoryStore,
    Options,
    StagedEngine,
    open_engine,
)
from ome_writers.storage.scratch_sinks import PlaneRun
from ome_writers.storage.write_buffer import WriteBuffer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ome_writers.routing import Address


class Invert:
    """A stage that stores the negative of each frame."""

    memory_bytes = 0

    def __call__(self, address: Address, plane: Any) -> Iterator[tuple[Address, Any]]:
        yield address, ~plane


@pytest.mark.parametrize("row", IN_ANY_ORDER, ids=by_name)
def test_stage_that_inverts_frames(row: Any, tmp_path: Path) -> None:
    plan, engine = opened(row, Case(), tmp_path)
    engine = StagedEngine(engine, Invert())
    fill(plan, engine)
    engine.close(shapes(plan))
    assert not engine.failures
    assert engine.stats().frames_written == plan.frames
    for number in range(plan.frames or 0):
        stored = engine.read(*plan.router.address(number))
        assert np.array_equal(stored, ~frame(number, "uint16"))


class Duplicate:
    """A stage that yields each frame, and a copy as another array's plane."""

    memory_bytes = 0

    def __call__(self, address: Address, plane: Any) -> Iterator[tuple[Address, Any]]:
        yield address, plane
        yield (address[0] + 1, address[1]), plane.copy()


def test_error_of_a_large_frame_is_raised(tmp_path: Path) -> None:
    """The thread that called `write` gets the error, whichever thread has written the frame."""
    plan = resolve(Case().settings(tmp_path, "direct", "ome-zarr"))
    targets = [ArrayTarget(key, plan.images[0].array) for key in "01"]
    engine = StagedEngine(open_engine(ENGINES["direct"], tmp_path, targets, Options()), Duplicate())
    with pytest.raises(ValueError, match="broadcast|reshape"):
        engine.write(0, 0, plan.router.address(0)[1], np.zeros((1024, 1024), "uint16"))
    engine.close(shapes(plan) * 2)


class CountingSink:
    """A sink that counts what it gets, and keeps nothing."""

    frames = 0

    def store(self, unit: PlaneRun, slots: frozenset[int] | None) -> None:
        self.frames += len(unit.frames)


def test_sink_that_counts() -> None:
    sink = CountingSink()
    buffer: WriteBuffer[PlaneRun] = WriteBuffer(1, 2**20, "counting")
    for number in range(100):
        with buffer.lock:
            run = buffer.open.get((0, id(sink), True)) or PlaneRun(0, sink, by_reference=True)
            buffer.add(run)
            run.add(number, (number,), frame(number, "uint16"), 0)
            if number % 7 == 6:
                buffer.submit(run)
    buffer.write_all(last=True)
    buffer.background.close()
    assert sink.frames == buffer.stats().frames_written == 100


_PUT_S = 0.05


class DelayingStore(MemoryStore):
    """A store that takes its time, like one behind a network."""

    def put(self, key: str, content: bytes) -> None:
        time.sleep(_PUT_S)
        super().put(key, content)


def test_store_that_delays(tmp_path: Path) -> None:
    """Frames are buffered meanwhile: `write` takes less time than storing them."""
    plan = resolve(Case().settings(tmp_path, "direct", "ome-zarr"))
    store = DelayingStore()
    targets = [ArrayTarget("0", plan.images[0].array)]
    engine = open_engine(ENGINES["direct"], store, targets, Options())
    began = time.perf_counter()
    fill(plan, engine)
    written = time.perf_counter() - began
    engine.close(shapes(plan))
    assert written < (plan.frames or 0) * _PUT_S / 2
    assert len(list(store.list("0/c"))) == plan.frames
    for number in range(plan.frames or 0):
        assert np.array_equal(engine.read(*plan.router.address(number)), frame(number, "uint16"))
