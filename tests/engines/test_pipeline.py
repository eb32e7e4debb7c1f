"""A stage, a sink and a store of one's own: each is a class of a few lines, and nothing else changes."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines.cases import Case, X, Y, frame
from engines.test_engines import IN_ANY_ORDER, by_name, fill, opened, shapes
from ome_writers import AcquisitionSettings, Dimension
from ome_writers.routing import resolve
from ome_writers.storage import (
    ENGINES,
    EngineStats,
    LendingEngine,
    MemoryStore,
    Options,
    PatchingEngine,
    StagedEngine,
    TruncatingEngine,
    WriteFailure,
    open_engine,
)
from ome_writers.storage.scratch_sinks import PlaneRun
from ome_writers.storage.write_buffer import WriteBuffer
from support.waiting import wait_until

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
    targets = [replace(plan.images[0].array, key=key) for key in "01"]
    engine = StagedEngine(open_engine(ENGINES["direct"], tmp_path, targets, Options()), Duplicate())
    with pytest.raises(ValueError, match="broadcast|reshape"):
        engine.write(0, 0, plan.router.address(0)[1], np.zeros((1024, 1024), "uint16"))
    engine.close(shapes(plan) * 2)


@pytest.mark.parametrize("later", ["frames", "derived planes"])
def test_frames_are_counted_without_derived_planes(tmp_path: Path, later: str) -> None:
    """Planes of one array are stored at once, those of the other when their chunk of 32 planes is complete."""
    count = 16  # two blocks of chunk files
    dims = [Dimension(name=n, count=c) for n, c in zip("tyx", (32, Y, X), strict=True)]
    settings = AcquisitionSettings(
        root_path=tmp_path / "a.ome.zarr", dimensions=dims, dtype="uint16"
    )
    at_once = resolve(settings).images[0].array
    together = replace(at_once, chunks=(32, Y, X))
    plans = [together, at_once] if later == "frames" else [at_once, together]
    targets = [replace(plan, key=key) for key, plan in zip("01", plans, strict=True)]
    engine = StagedEngine(open_engine(ENGINES["direct"], tmp_path, targets, Options()), Duplicate())
    for number in range(count):
        engine.write(number, 0, (number,), frame(number, "uint16"))
    wait_until(lambda: not engine.stats().queue_depth)
    stats = engine.stats()
    stored = stats.bytes_written // at_once.frame_bytes
    assert stored >= 8
    assert stats.frames_written == (0 if later == "frames" else stored)
    engine.flush([plan.shape for plan in plans])
    assert engine.stats().frames_written == count
    engine.close([plan.shape for plan in plans])
    assert engine.stats().frames_written == count
    assert engine.stats().bytes_written >= 2 * count * at_once.frame_bytes


class Recording:
    """A minimal engine, with every optional capability of the contract."""

    def __init__(self) -> None:
        self.failures: list[WriteFailure] = []
        self.calls: list[str] = []
        self.memory = np.zeros((8, 8), "uint16")

    def write(self, number: int, array: int, index: Any, frame: Any, owned: bool = False) -> None:
        self.calls.append(f"write {number}")

    def recover(self, number: int) -> bool:
        return False

    def flush(self, shapes: Any) -> None: ...

    close = flush

    def read(self, array: int, index: Any) -> Any:
        return self.memory

    def put(self, key: str, content: bytes) -> None: ...

    def stats(self) -> EngineStats:
        return EngineStats()

    def lend(self, array: int) -> Any:
        return self.memory

    def reclaim(self, frame: Any) -> None:
        assert frame is self.memory
        self.calls.append("reclaim")

    def patch(self, key: str, offset: int, old: bytes, new: bytes) -> None:
        self.calls.append(f"patch {key} {offset} {old!r} {new!r}")

    def truncate(self) -> None:
        self.calls.append("truncate")


def test_staged_engine_has_the_capabilities_of_its_engine() -> None:
    engine = Recording()
    staged = StagedEngine(engine, Invert())
    lent = staged.lend(0)
    assert lent is engine.memory
    staged.write(0, 0, (0,), lent, owned=True)
    staged.patch("a", 3, b"1", b"2")
    staged.truncate()
    assert engine.calls == ["write 0", "reclaim", "patch a 3 b'1' b'2'", "truncate"]


def test_staged_engine_without_capabilities(tmp_path: Path) -> None:
    """What its engine does not have has no effect."""
    plan, engine = opened(ENGINES["scratch"], Case(), tmp_path)
    staged = StagedEngine(engine, Invert())
    assert not isinstance(engine, (LendingEngine, PatchingEngine, TruncatingEngine))
    for protocol in (LendingEngine, PatchingEngine, TruncatingEngine):
        assert isinstance(staged, protocol)
    assert staged.lend(0) is None
    staged.reclaim(np.zeros((8, 8), "uint16"))
    staged.patch("a", 0, b"1", b"2")
    staged.truncate()
    staged.close(shapes(plan))
    assert not staged.failures


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
    targets = [replace(plan.images[0].array, key="0")]
    engine = open_engine(ENGINES["direct"], store, targets, Options())
    began = time.perf_counter()
    fill(plan, engine)
    written = time.perf_counter() - began
    engine.close(shapes(plan))
    assert written < (plan.frames or 0) * _PUT_S / 2
    assert len(list(store.list("0/c"))) == plan.frames
    for number in range(plan.frames or 0):
        assert np.array_equal(engine.read(*plan.router.address(number)), frame(number, "uint16"))
