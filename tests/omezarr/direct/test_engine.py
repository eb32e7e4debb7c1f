"""The direct engine with every kind of chunk grid, read by third-party libraries during and after the acquisition."""

from __future__ import annotations

import itertools
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, codecs, create_stream
from ome_writers.dataset import LevelSpec
from ome_writers.settings import Dimension
from ome_writers.storage import Options
from ome_writers.storage.direct import DirectEngine, open_engine

zarr = pytest.importorskip(
    "zarr", minversion="3", reason="the independent reader needs zarr 3 (Python 3.11)"
)
tensorstore = pytest.importorskip("tensorstore", reason="a second independent reader")

SHAPE = (6, 5, 20, 28)
Grid = tuple[tuple[int, ...], "tuple[int, ...] | None"]
GRIDS: dict[str, Grid] = {
    "a chunk a frame": ((1, 1, 20, 28), None),
    "frames cut in y and x": ((1, 1, 10, 14), None),
    "cut where chunks do not divide": ((1, 1, 12, 16), None),
    "chunks over frames": ((4, 2, 20, 28), None),
    "chunks over frames, cut": ((2, 3, 12, 28), None),
    "shards of frames": ((1, 1, 20, 28), (4, 2, 20, 28)),
    "shards of cut frames": ((1, 1, 10, 14), (4, 3, 20, 28)),
    "shards across a frame": ((1, 1, 10, 14), (6, 1, 10, 28)),
    "shards of chunks over frames": ((2, 2, 12, 16), (4, 4, 24, 32)),
}
ORDERS = ("C", "F", "random", "every other")
CODECS = tuple(codecs.ZARR_COMPRESSIONS)
DTYPES = ("uint16", "int8", "bool", "float32", "complex64", "uint64", "float16", "int32")


@dataclass(frozen=True)
class Case:
    """One combination; together they hold every pair of two features' values that matters."""

    grid: str
    order: str
    codec: str
    dtype: str
    growing: bool
    memory: int


def cases() -> list[Case]:
    """Every grid with every order, the other features taking turns."""
    turns = [itertools.cycle(x) for x in (CODECS, DTYPES, (False, True, True), (2**20, 6000))]
    return [
        Case(grid, order, *(next(t) for t in turns))  # type: ignore[arg-type]  # turns of several types
        for grid, order in itertools.product(GRIDS, ORDERS)
    ]


def array_of(case: Case, key: str = "0") -> LevelSpec:
    """Return an array (t, c, y, x)."""
    chunks, shards = GRIDS[case.grid]
    names = zip("tcyx", ("time", "channel", "space", "space"), SHAPE, strict=True)
    dims = tuple(Dimension(name=n, type=t, count=c) for n, t, c in names)
    shape = (1, *SHAPE[1:]) if case.growing else SHAPE
    growing = 0 if case.growing else None
    return LevelSpec(
        key=key,
        shape=shape,
        dtype=case.dtype,
        chunks=chunks,
        shards=shards,
        compression=case.codec,
        dimensions=dims,
        growing=growing,
    )


def indices(order: str) -> list[tuple[int, ...]]:
    """Return the indices of an array in one of the orders."""
    found = list(itertools.product(range(SHAPE[0]), range(SHAPE[1])))
    if order == "F":
        found.sort(key=lambda i: i[::-1])
    elif order == "random":
        np.random.default_rng(1).shuffle(found)
        found = [tuple(i) for i in found]
    elif order == "every other":
        found = found[::2]
    return found


def frame_of(number: int, dtype: str) -> np.ndarray:
    """Return a frame of noise."""
    noise = np.random.default_rng(number).integers(0, 2 if dtype == "bool" else 100, SHAPE[-2:])
    return noise.astype(dtype)


def by_zarr(root: Path) -> np.ndarray:
    """Return what zarr-python reads."""
    return np.asarray(zarr.open_array(root / "0", mode="r")[...])


def by_tensorstore(root: Path) -> np.ndarray:
    """Return what tensorstore reads."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(root / "0")}}
    return np.asarray(tensorstore.open(spec).result().read().result())


@pytest.mark.parametrize("case", cases(), ids=str)
def test_third_party_readers_see_every_frame(tmp_path: Path, case: Case) -> None:
    """zarr-python or tensorstore read exactly the written frames after each flush, and both after close."""
    engine = open_engine(tmp_path, [array_of(case)], Options(case.memory))
    expected = np.zeros(SHAPE, case.dtype)
    buffer = np.empty(SHAPE[-2:], case.dtype)
    for number, index in enumerate(indices(case.order)):
        expected[index] = buffer[...] = frame_of(number, case.dtype)
        engine.write(number, 0, index, buffer)
        assert np.array_equal(engine.read(0, index), buffer)
        if number % 11 == 10:
            engine.flush([SHAPE])
            read = by_zarr if number % 2 else by_tensorstore
            assert np.array_equal(read(tmp_path), expected)
    engine.flush([SHAPE])
    for number, index in enumerate(indices(case.order)[:2]):  # a retake replaces the first frame
        expected[index] = buffer[...] = frame_of(100 + number, case.dtype)
        engine.write(number, 0, index, buffer)
    engine.close([SHAPE])
    assert not engine.failures
    assert np.array_equal(by_zarr(tmp_path), expected)
    assert np.array_equal(by_tensorstore(tmp_path), expected)
    for index in indices("C"):
        assert np.array_equal(engine.read(0, index), expected[index])


def test_unwritten_chunks_have_no_file(tmp_path: Path) -> None:
    array = array_of(Case("a chunk a frame", "C", "none", "uint16", False, 2**20))
    engine = open_engine(tmp_path, [array], Options())
    engine.write(0, 0, (2, 3), frame_of(0, "uint16"))
    engine.close([SHAPE])
    files = [p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()]
    assert sorted(files) == ["0/c/2/3/0/0", "0/zarr.json"]
    assert not engine.read(0, (0, 0)).any()


def test_complete_shard_contains_chunks_and_index_only(tmp_path: Path) -> None:
    array = array_of(Case("shards of frames", "C", "none", "uint16", False, 2**20))
    engine = open_engine(tmp_path, [array], Options())
    for number, index in enumerate(itertools.product(range(4), range(2))):
        engine.write(number, 0, index, frame_of(number, "uint16"))
    engine.flush([SHAPE])
    shard = tmp_path / "0" / "c" / "0" / "0" / "0" / "0"
    assert shard.stat().st_size == 8 * 20 * 28 * 2 + 8 * 16 + 4
    engine.close([SHAPE])


def test_lent_and_owned_frames_are_not_copied(tmp_path: Path) -> None:
    array = array_of(Case("shards of frames", "C", "none", "uint16", False, 2**20))
    engine: DirectEngine = open_engine(tmp_path, [array], Options())
    own = frame_of(1, "uint16")
    lent = engine.lend(0)
    assert engine.stats().bytes_lent == own.nbytes
    lent[...] = frame_of(2, "uint16")
    engine.write(0, 0, (0, 0), own, owned=True)
    engine.write(1, 0, (0, 1), lent, owned=True)
    assert engine.stats().bytes_buffered == 2 * own.nbytes
    engine.flush([SHAPE])
    assert engine.stats().bytes_copied == engine.stats().bytes_lent == 0
    engine.write(2, 0, (0, 2), frame_of(3, "uint16"))
    engine.close([SHAPE])
    assert engine.stats().bytes_copied == own.nbytes
    assert np.array_equal(by_zarr(tmp_path)[0, :2], [frame_of(1, "uint16"), frame_of(2, "uint16")])


@pytest.mark.parametrize("option", ["", "checksum", "durable"])
@pytest.mark.parametrize("codec", ["none", "blosc-lz4"])
@pytest.mark.parametrize(
    ("chunks", "shards"),
    [
        ((1, 300, 350), None),
        ((1, 256, 256), None),
        ((1, 300, 350), (3, 600, 700)),
        ((1, 256, 256), (3, 768, 768)),
        ((1, 300, 350), (2, 300, 700)),
    ],
    ids=str,
)
def test_tiles_are_copied_while_they_are_written(
    tmp_path: Path,
    chunks: tuple[int, ...],
    shards: tuple[int, ...] | None,
    codec: str,
    option: str,
) -> None:
    """Owned and lent frames are referenced until then. One frame is copied by `write`, and one is replaced."""
    shape = (6, 600, 700)
    dims = (
        Dimension(name="t", count=6),
        Dimension(name="y", count=600),
        Dimension(name="x", count=700),
    )
    array = LevelSpec(
        "0", shape, "uint16", chunks, shards, codec, checksum=option == "checksum", dimensions=dims
    )
    engine = open_engine(tmp_path, [array], Options(durable=option == "durable"))
    frames = np.random.default_rng(0).integers(0, 100, (6, *shape[1:])).astype("uint16")
    for number, (index, frame) in enumerate(zip((0, 1, 2, 4, 5, 1), frames, strict=True)):
        if number == 5:
            engine.flush([shape])
            assert frame.nbytes <= engine.stats().bytes_copied < 2 * frame.nbytes  # of one frame
        given = engine.lend(0) if number % 2 else frame
        given[...] = frame
        engine.write(number, 0, (index,), given, owned=number != 2)
        assert np.array_equal(engine.read(0, (index,)), frame)
    engine.close([shape])
    assert not engine.failures
    expected = np.stack([frames[0], frames[5], frames[2], np.zeros_like(frames[0]), *frames[3:5]])
    assert np.array_equal(by_zarr(tmp_path), expected)
    assert np.array_equal(by_tensorstore(tmp_path), expected)


def test_failed_write_reports_its_frames(tmp_path: Path) -> None:
    array = array_of(Case("a chunk a frame", "C", "none", "uint16", False, 2**20))
    engine = open_engine(tmp_path, [array], Options())
    (tmp_path / "0" / "c").write_text("in the way")
    engine.write(0, 0, (0, 0), frame_of(0, "uint16"))
    engine.write(1, 0, (0, 1), frame_of(1, "uint16"))
    engine.close([SHAPE])
    assert {n for failure in engine.failures for n in failure.frames} == {0, 1}
    assert isinstance(engine.failures[0].error, OSError)


def test_hundreds_of_shards_use_few_file_descriptors(tmp_path: Path) -> None:
    """Five hundred arrays with one open shard each."""
    case = Case("shards of frames", "C", "none", "uint8", False, 2**20)
    targets = [array_of(case, str(i)) for i in range(500)]
    engine = open_engine(tmp_path, targets, Options())
    for array in range(500):
        engine.write(array, array, (0, 0), frame_of(array, "uint8"))
    engine.flush([SHAPE] * 500)
    if sys.platform == "linux":  # elsewhere the run itself would fail
        assert len(os.listdir("/proc/self/fd")) < 400
    engine.close([SHAPE] * 500)
    assert not engine.failures
    stored = zarr.open_array(tmp_path / "499", mode="r")[0, 0]
    assert np.array_equal(stored, frame_of(499, "uint8"))


def test_tiny_frames_use_little_memory(tmp_path: Path) -> None:
    """Even if the worker threads are slow: blocks are as large as a shard, and few are pending."""
    settings = AcquisitionSettings(
        root_path=tmp_path / "x.ome.zarr",
        dimensions=[
            Dimension(name="t", count=10_000, type="time", chunk_size=1, shard_size_chunks=100),
            Dimension(name="y", count=8, type="space"),
            Dimension(name="x", count=8, type="space"),
        ],
        dtype="uint16",
        format="direct",
        compression="none",
    )
    frame = np.ones((8, 8), np.uint16)
    most = 0
    with create_stream(settings) as stream:
        for number in range(10_000):
            stream.append(frame)
            if number % 100 == 0:
                most = max(most, stream.stats().queue_depth)
    assert 0 < most <= 32
