"""Shards that other processes read while they are written: index first, chunks later."""

from __future__ import annotations

import itertools
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, create_stream
from ome_writers.dataset import LevelSpec
from ome_writers.routing import resolve
from ome_writers.storage import LocalStore
from ome_writers.storage.direct.arrays import StoredArray
from ome_writers.storage.direct.block import Block
from ome_writers.storage.disk import Disk
from ome_writers.storage.zarr import Codec, Shard, ShardShape
from support.waiting import wait_until

CHUNKS = 8
FRAME = (32, 48)
EMPTY = 2**64 - 1
DETECTS_READERS = sys.platform in ("linux", "win32")  # file leases, exclusive access


def settings(path: Path, compression: str) -> AcquisitionSettings:
    """Return a time-lapse in chunks of two frames, all of them in one shard."""
    return AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="t", count=2 * CHUNKS, chunk_size=2, shard_size_chunks=CHUNKS),
            Dimension(name="y", count=FRAME[0], chunk_size=FRAME[0]),
            Dimension(name="x", count=FRAME[1], chunk_size=FRAME[1]),
        ],
        dtype="uint32",
        format="direct",
        compression=compression,
        flush_interval=0.02,
    )


def frame(number: int) -> np.ndarray:
    """Return the frame of this number; no two frames agree in any pixel."""
    return (np.arange(np.prod(FRAME), dtype=np.uint32) * 1000 + number + 1).reshape(FRAME)


def index_of(path: Path) -> list[list[int]]:
    """Return (offset, size) of each chunk, from the end of the file."""
    stored = path.read_bytes()[-(16 * CHUNKS + 4) : -4]
    entries: list[list[int]] = np.frombuffer(stored, "<u8").reshape(-1, 2).tolist()
    return entries


def read_range(path: Path, offset: int, size: int) -> bytes:
    """Open a file as readers do and return a part of it."""
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(size)


@pytest.mark.parametrize("compression", ["none", "blosc-lz4"])
def test_indexed_chunks_stay_readable_for_the_grace_period(
    tmp_path: Path, compression: str
) -> None:
    """Also while the stream closes."""
    shard = tmp_path / "x.ome.zarr/0/c/0/0/0"
    codec = Codec(compression, np.dtype("uint32"))
    done = threading.Event()
    wrong: list[str] = []
    reads = 0
    waits = itertools.cycle([0.05, 0.2, 1.0])

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            if not shard.exists():
                continue
            began = time.monotonic()
            entries = index_of(shard)
            time.sleep(next(waits))
            chunks = [read_range(shard, *entry) if entry[0] != EMPTY else None for entry in entries]
            if time.monotonic() - began > 1.8:  # the machine is busy: longer than the grace period
                continue
            reads += 1
            for number, chunk in enumerate(chunks):
                if chunk is None:
                    continue
                if len(chunk) != entries[number][1]:
                    wrong.append(f"chunk {number}: {len(chunk)} bytes of {entries[number][1]}")
                    continue
                planes = np.frombuffer(
                    codec.decode(chunk, 8 * int(np.prod(FRAME))), np.uint32
                ).reshape(2, *FRAME)
                for slot, plane in enumerate(planes):
                    if plane.any() and not np.array_equal(plane, frame(2 * number + slot)):
                        wrong.append(f"frame {2 * number + slot} is {plane.ravel()[:3]}")

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with create_stream(settings(tmp_path / "x.ome.zarr", compression)) as stream:
            for number in range(2 * CHUNKS - 1):
                stream.append(frame(number))
                time.sleep(0.02)
            stream.flush()  # shows the last chunk half-full
            time.sleep(0.03)
            stream.append(frame(2 * CHUNKS - 1))
        time.sleep(1.0)
        wait_until(lambda: reads or wrong)
    finally:
        done.set()
        reader.join()
    assert not wrong
    assert reads > 0


@pytest.mark.parametrize("in_place", [True, False])
def test_partial_chunk_is_not_overwritten(tmp_path: Path, in_place: bool) -> None:
    """Bytes that an index has pointed to do not change before the grace period is over."""
    shard = Shard(tmp_path / "0", ShardShape(4, 100, in_place=in_place), 4, Disk())
    first, size = np.asarray([2]), np.asarray([100])
    shard.write_chunks(first, size, [b"a" * 100], final=False)
    shard.flush()
    shown = int(np.frombuffer((tmp_path / "0").read_bytes()[-68:-4], "<u8")[4])
    shard.write_chunks(first, size, [b"b" * 100], final=False)
    shard.flush()
    assert read_range(tmp_path / "0", shown, 100) == b"a" * 100
    shard.write_chunks(first, size, [b"c" * 100])
    assert read_range(tmp_path / "0", shown, 100) == b"a" * 100
    assert not shard.grace_period_over
    shard.flush()
    assert not shard.grace_period_over
    while not shard.grace_period_over:
        time.sleep(0.1)
    with (tmp_path / "0").open("rb"):
        assert shard.finish(only_if_unused=True) is not DETECTS_READERS
    assert shard.finish(only_if_unused=True)
    assert (tmp_path / "0").stat().st_size == 100 + 16 * 4 + 4
    assert shard.read(2) == b"c" * 100


def test_flush_updates_the_modification_time(tmp_path: Path) -> None:
    """Of an open shard, whose size stays the same: programs that copy a growing dataset compare it."""
    shard = Shard(tmp_path / "0", ShardShape(4, 100, in_place=True), 4, disk := Disk())
    try:
        for number in range(3):
            shard.write_chunks(np.asarray([number]), np.asarray([100]), [b"a" * 100])
            os.utime(tmp_path / "0", (0, 0))
            shard.flush()
            assert (tmp_path / "0").stat().st_mtime > 0
    finally:
        disk.close()


@pytest.mark.parametrize("in_place", [True, False])
def test_finish_keeps_extents_in_their_grace_period(tmp_path: Path, in_place: bool) -> None:
    """The file ends after them, with a valid index."""
    shard = Shard(tmp_path / "0", ShardShape(4, 100, in_place=in_place), 4, Disk())
    for number, letter in enumerate((b"a", b"b", b"c")):
        inner, size = np.asarray([number]), np.asarray([100])
        shard.write_chunks(inner, size, [letter.lower() * 100], final=False)
        shard.flush()
        shown = int(np.frombuffer((tmp_path / "0").read_bytes()[-68:-4], "<u8")[2 * number])
        shard.write_chunks(inner, size, [letter.upper() * 100])
    shard.finish()
    assert read_range(tmp_path / "0", shown, 100) == b"c" * 100
    again = Shard(tmp_path / "0", ShardShape(4, 100, in_place=in_place), 4, Disk())
    again.write_chunks(np.asarray([3]), np.asarray([100]), [b"D" * 100])
    again.flush()
    assert read_range(tmp_path / "0", shown, 100) == b"c" * 100
    again.finish()
    stored = (tmp_path / "0").read_bytes()
    table = np.frombuffer(stored[-68:-4], "<u8").reshape(4, 2).tolist()
    assert [stored[offset : offset + n] for offset, n in table] == [
        letter * 100 for letter in (b"A", b"B", b"C", b"D")
    ]


def test_snapshot_contains_only_recorded_slots(tmp_path: Path) -> None:
    """A flush does not write a plane that is being copied."""
    plan = resolve(settings(tmp_path / "x.ome.zarr", "none")).images[0].array
    stored = StoredArray(LocalStore(tmp_path), plan, Disk(durable=False, direct_io=False))
    grid = stored.grid
    block = Block(0, stored, (0,), (0,), 1, by_reference=False)
    block.set_memory(np.empty(grid.column_bytes, np.uint8))
    block.add(0, (0,), 0, 0, frame(0), None)
    grid.insert_plane(frame(1), block.columns[0], 1)  # not noted yet
    (column,) = block.snapshot({0})
    assert np.array_equal(grid.extract_plane(column, 0), frame(0))
    assert not grid.extract_plane(column, 1).any()


def test_tiles_of_a_plane_become_visible_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another flush publishes the index while the tiles of a plane are copied and written one after the other."""
    shape = (CHUNKS // 4, 512, 512)
    dims = tuple(Dimension(name=n, count=c) for n, c in zip("tyx", shape, strict=True))
    level = LevelSpec("0", shape, "uint16", (1, 256, 256), shape, dimensions=dims)
    stored = StoredArray(LocalStore(tmp_path), level, Disk())
    extract, planes = stored.grid.extract_chunk, np.arange(2 * 512**2, dtype="uint16")
    path = tmp_path / "0/c/0/0/0"

    def store(number: int) -> None:
        block = Block(0, stored, (number,), (0,), 1, by_reference=True)
        plane = planes.reshape(2, 512, 512)[number]
        block.add(number, (number,), number, 0, plane, None)
        stored.store(block, None)

    def extract_after_flush(plane: np.ndarray, tile: int) -> np.ndarray:
        stored.flush()
        assert [size for _, size in index_of(path)] == 4 * [256**2 * 2] + 4 * [EMPTY]
        return extract(plane, tile)

    store(0)
    monkeypatch.setattr(stored.grid, "extract_chunk", extract_after_flush)
    store(1)
    stored.flush()
    tiles = planes.reshape(2, 2, 256, 2, 256).swapaxes(2, 3).reshape(8, -1)
    assert [read_range(path, *entry) for entry in index_of(path)] == [t.tobytes() for t in tiles]
