"""Chunks of many planes that are flushed while they are filled."""

from __future__ import annotations

import os
import re
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OmeZarrFormat,
    create_stream,
    resume,
    validate,
)
from ome_writers.codecs import crc32c
from ome_writers.storage.file_lease import exclusive_lease

zarr = pytest.importorskip("zarr", reason="zarr-python needs Python 3.11")

PLANES, Y, X = 32, 40, 40
FRAMES = np.random.default_rng(0).integers(1, 60_000, (PLANES + 6, Y, X)).astype("uint16")


def bytes_written() -> int:
    (found,) = re.findall(r"^wchar: (\d+)$", Path("/proc/self/io").read_text(), re.MULTILINE)
    return int(found)


def settings(
    path: Path, tile: int | None = None, *, checksum: bool = False, **more: Any
) -> AcquisitionSettings:
    return AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="t", count=len(FRAMES), chunk_size=PLANES),
            Dimension(name="y", count=Y, chunk_size=tile),
            Dimension(name="x", count=X, chunk_size=tile),
        ],
        dtype="uint16",
        format=OmeZarrFormat(backend="direct", checksum=checksum),
        flush_interval=3600.0,
        **more,
    )


def pixels(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(zarr.open_array(path / "0", mode="r")[:])


def hidden_files(path: Path) -> list[Path]:
    return [file for file in path.rglob(".*") if "c" in file.parts]


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize(("tile", "durability"), [(None, "process"), (24, "process"), (24, "disk")])
def test_readers_see_each_flush_of_a_chunk(
    tile: int | None, durability: Any, checksum: bool, tmp_path: Path
) -> None:
    path = tmp_path / "run.ome.zarr"
    given = settings(path, tile, checksum=checksum, durability=durability)
    with create_stream(given) as stream:
        for number, frame in enumerate(FRAMES):
            stream.append(frame)
            if number % 6 == 0:
                stream.flush()
                found = pixels(path)
                assert np.array_equal(found[: number + 1], FRAMES[: number + 1])
                assert not found[number + 1 :].any()
    assert np.array_equal(pixels(path), FRAMES)
    assert not hidden_files(path)
    assert validate(path).valid


def has_leases(folder: Path) -> bool:
    """Whether an exclusive lease is granted for a file with two names; before Linux 5.3 it was not."""
    file = folder / "leased"
    file.touch()
    os.link(file, folder / "link")
    fd = os.open(file, os.O_RDWR)
    try:
        with exclusive_lease(fd, required=True) as exclusive:
            return exclusive
    finally:
        os.close(fd)


@pytest.mark.skipif(sys.platform != "linux", reason="counts of written bytes: /proc/self/io")
@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("tile", [None, 20])
def test_flushed_planes_are_written_twice_at_most(
    tile: int | None, checksum: bool, tmp_path: Path
) -> None:
    if checksum and not has_leases(tmp_path):
        pytest.skip("the file system has no leases")
    path = tmp_path / "run.ome.zarr"
    with create_stream(settings(path, tile, checksum=checksum)) as stream:
        before = bytes_written()
        for number, frame in enumerate(FRAMES[:PLANES]):
            stream.append(frame)
            if number % 2:
                stream.flush()
        written = bytes_written() - before
    metadata = 1000 * PLANES
    assert written < 2 * FRAMES[:PLANES].nbytes + metadata


@pytest.mark.skipif(os.name == "nt", reason="an open file cannot be replaced there")
def test_file_that_a_reader_has_open_keeps_its_checksum(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    with create_stream(settings(path, checksum=True)) as stream, ExitStack() as files:
        opened = []
        for frame in FRAMES[:PLANES]:
            stream.append(frame)
            stream.flush()
            chunk = path / "0/c/0/0/0"
            opened.append(files.enter_context(chunk.open("rb")))
        for count, file in enumerate(opened, 1):
            content = file.read()
            assert content[-4:] == crc32c(content[:-4])
            assert content.startswith(FRAMES[:count].tobytes())


def test_replaced_frame_of_a_flushed_chunk_is_published(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    with create_stream(settings(path)) as stream:
        for number in (0, 1, 2, 1, 3):
            stream.append(FRAMES[number] + (number == 1), index={"t": number})
            stream.flush()
            stream.append(FRAMES[number], index={"t": number})
            stream.flush()
        assert np.array_equal(pixels(path)[:4], FRAMES[:4])
    assert not hidden_files(path)


@pytest.mark.parametrize("count", [20, PLANES + 2])
def test_closed_and_resumed_within_a_chunk(count: int, tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    stream = create_stream(settings(path))
    for part in (FRAMES[:count], FRAMES[count:]):
        for number, frame in enumerate(part):
            stream.append(frame)
            if number % 5 == 0:
                stream.flush()
        stream.close()
        assert not hidden_files(path)
        if len(part) == count:
            stream = resume(path)
    assert np.array_equal(pixels(path), FRAMES)


def test_chunks_that_leave_memory_while_they_are_filled(tmp_path: Path) -> None:
    """Longer than the memory: several chunks are filled in turn."""
    path = tmp_path / "run.ome.zarr"
    dimensions = [
        Dimension(name="t", count=9, chunk_size=9),
        Dimension(name="c", count=4),
        Dimension(name="y", count=Y),
        Dimension(name="x", count=X),
    ]
    memory = 2 * 9 * FRAMES[0].nbytes
    with create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint16",
        format="direct",
        buffer_bytes=memory,
        flush_interval=3600.0,
    ) as stream:
        for number, frame in enumerate(FRAMES[:36]):
            stream.append(frame)
            if number % 10 == 0:
                stream.flush()
    assert np.array_equal(pixels(path).reshape(36, Y, X), FRAMES[:36])
    assert not hidden_files(path)


@pytest.mark.parametrize("shards", [None, 1])
@pytest.mark.parametrize("checksum", [False, True])
def test_rewritten_frame_of_a_resumed_chunk_leaves_the_others(
    checksum: bool, shards: int | None, tmp_path: Path
) -> None:
    """The chunk was partial when it was resumed, and is full when a frame is written again."""
    path = tmp_path / "run.ome.zarr"
    given = settings(path, checksum=checksum)
    t = given.dimensions[0].model_copy(update={"shard_size_chunks": shards})
    given = given.model_copy(update={"dimensions": (t, *given.dimensions[1:])})
    with create_stream(given) as stream:
        for frame in FRAMES[:5]:
            stream.append(frame)
    with resume(path) as stream:
        for frame in FRAMES[5:PLANES]:
            stream.append(frame)
        stream.flush()
        stream.append(FRAMES[-1], index={"t": 7})
        stream.flush()
        expected = FRAMES[:PLANES].copy()
        expected[7] = FRAMES[-1]
        assert np.array_equal(pixels(path)[:PLANES], expected)
    assert np.array_equal(pixels(path)[:PLANES], expected)
    assert validate(path).valid
