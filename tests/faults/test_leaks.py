"""No leaks of file descriptors, threads or memory over many streams, positions and frames.

With ``tox -e faults`` (`FAULT_ROUNDS`), the numbers are those of the specification, and the results are printed.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, create_stream, read_frame_metadata
from ome_writers.storage import ENGINES
from support.dataset_readers import read_images

LONG = bool(int(os.environ.get("FAULT_ROUNDS", "0")))
STREAMS = 1000 if LONG else 40
POSITIONS = 10_000 if LONG else 200
FRAMES = 1_000_000 if LONG else 5_000
FORMATS = {"direct": ".ome.zarr", "tifffile": ".ome.tiff", "scratch": ""}
MIB = 2**20
pytestmark = [
    pytest.mark.skipif(
        sys.platform != "linux", reason="reads open descriptors and memory in /proc"
    ),
    pytest.mark.timeout(1800 if LONG else 600),
]
each_format = pytest.mark.parametrize(
    "engine", [name for name in FORMATS if ENGINES[name].missing_requirement() is None]
)


def descriptors() -> int:
    """Return the number of open file descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


def resident() -> int:
    """Return the resident memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def settings(path: Path, engine: str, *axes: Dimension, **more: object) -> AcquisitionSettings:
    """Return settings for frames of 16 x 16 bytes."""
    frame = [Dimension(name="y", count=16), Dimension(name="x", count=16)]
    return AcquisitionSettings(
        root_path=path, dimensions=[*axes, *frame], dtype="uint8", format=engine, **more
    )


def frame(number: int) -> np.ndarray:
    """Return frame `number`; no pixel is 0."""
    return np.full((16, 16), number % 251 + 1, "uint8")


def wait_until_at_most(count: Callable[[], int], most: int) -> int:
    """Return a count as soon as it is at most `most`, or its value after one minute."""
    deadline = time.monotonic() + 60
    while count() > most and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.05)
    return count()


@pytest.fixture
def print_row(capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Return a function that prints a row of results in a long run."""

    def row(*figures: object) -> None:
        if LONG:
            with capsys.disabled():
                print("\n| " + " | ".join(map(str, figures)) + " |")

    return row


@each_format
def test_closed_streams_leak_no_descriptors_threads_or_memory(
    tmp_path: Path, engine: str, print_row: Callable[..., None]
) -> None:
    """However they were closed."""

    def acquire(number: int) -> None:
        path = tmp_path / f"{number}{FORMATS[engine]}"
        try:
            with create_stream(settings(path, engine, Dimension(name="t", count=4))) as stream:
                for n in range(4):
                    stream.append(frame(n), frame_metadata={"n": n})
                if number % 3 == 1:
                    stream.view()[2]
                if number % 3 == 2:
                    raise LookupError
        except LookupError:
            pass

    for number in range(10):  # warm-up: one-time imports and allocations
        acquire(number)
    gc.collect()
    files, threads, memory = descriptors(), threading.active_count(), resident()
    for number in range(10, 10 + STREAMS):
        acquire(number)
    left = (
        wait_until_at_most(descriptors, files) - files,
        wait_until_at_most(threading.active_count, threads) - threads,
        (wait_until_at_most(resident, memory + 24 * MIB) - memory) / MIB,
    )
    print_row(
        engine,
        f"{STREAMS} streams opened and closed",
        f"{left[0]:+} descriptors, {left[1]:+} threads, {left[2]:+.1f} MiB",
    )
    assert left[0] <= 0
    assert left[1] <= 0
    assert left[2] <= 24


@each_format
def test_many_positions(tmp_path: Path, engine: str, print_row: Callable[..., None]) -> None:
    """Thousands of positions do not need a file descriptor each, and each contains its own frame."""
    path = tmp_path / f"many{FORMATS[engine]}"
    axis = Dimension(name="p", type="position", count=POSITIONS)
    format_: object = engine
    if engine == "tifffile":
        format_ = {"name": "ome-tiff", "prefer_single_file": "always"}
    files = most = descriptors()
    memory = resident()
    with create_stream(settings(path, format_, axis)) as stream:  # type: ignore[arg-type]  # a format model, too
        for number in range(POSITIONS):
            stream.append(frame(number))
            if number % 100 == 0:
                most = max(most, descriptors())
    print_row(
        engine,
        f"{POSITIONS} positions",
        f"{most - files:+} descriptors at most, {(resident() - memory) / MIB:+.0f} MiB after close",
    )
    assert most - files < 600
    for number in (0, 1, POSITIONS // 2, POSITIONS - 1):
        assert np.array_equal(stream.read(number, ()), frame(number))
    if engine == "direct":
        import tensorstore

        store = {"driver": "file", "path": str(path / str(POSITIONS - 1) / "0")}
        read = tensorstore.open({"driver": "zarr3", "kvstore": store}).result().read().result()
        assert np.array_equal(read, frame(POSITIONS - 1))


@each_format
def test_memory_of_long_runs(tmp_path: Path, engine: str, print_row: Callable[..., None]) -> None:
    """A long run needs no more memory than a short one, and its last frame is correct."""
    path = tmp_path / f"long{FORMATS[engine]}"
    time_axis = Dimension(
        name="t", count=FRAMES, shard_size_chunks=1000 if engine == "direct" else None
    )
    with create_stream(settings(path, engine, time_axis, buffer_bytes=8 * MIB)) as stream:
        for number in range(FRAMES // 4):
            stream.append(frame(number), frame_metadata={"n": number})
        stream.flush()
        memory = resident()
        for number in range(FRAMES // 4, FRAMES):
            stream.append(frame(number), frame_metadata={"n": number})
        stream.flush()
        grown = resident() - memory
        print_row(
            engine, f"{FRAMES} frames", f"{grown / MIB:+.1f} MiB over the last three quarters"
        )
        assert grown < 64 * MIB + 8 * FRAMES, f"{grown / MIB:.0f} MiB"
    sizes = [p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()]
    print_row(engine, "largest file", f"{max(sizes) / MIB:.1f} MiB of {len(sizes)} files")
    for number in (0, 1, FRAMES // 2, FRAMES - 1):
        assert np.array_equal(stream.read(0, (number,)), frame(number))
    images = read_images(stream.plan, [stream.plan.images[0].array.shape])
    assert np.array_equal(images[0][:, 3, 5], np.arange(FRAMES) % 251 + 1)
    assert len(read_frame_metadata(path)) == FRAMES
