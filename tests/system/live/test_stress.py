"""One thread appends while four threads read, for every engine and random settings.

Four rounds per engine (ten, and engines of other libraries, in ``tox -e sweeps``); the long test has
``STRESS_ROUNDS=200``.
"""

from __future__ import annotations

import os
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OMEStream,
    StreamView,
    UnsupportedError,
    create_stream,
)
from ome_writers.storage import ENGINES
from support.sweeps import SWEEPS, swept

ROUNDS = int(os.environ.get("STRESS_ROUNDS", "10" if SWEEPS else "4"))
READERS = 4
HEIGHT, WIDTH = 24, 40
SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff", "scratch": ""}
TYPES = {"t": "time", "c": "channel", "z": "space", "p": "position"}
CODECS = {"blosc-zstd", "blosc-lz4", "zstd", "deflate", "none"}
INSTALLED = [row.name for row in ENGINES.values() if row.missing_requirement() is None]


def frame(number: int) -> np.ndarray:
    """Return a frame that differs from every other number in every pixel."""
    return (np.arange(HEIGHT * WIDTH, dtype=np.uint32) * 1000 + number + 1).reshape(HEIGHT, WIDTH)


def random_settings(chance: random.Random, engine: str, path: Path) -> AcquisitionSettings:
    """Return random settings, which `engine` may refuse."""
    row = ENGINES[engine]
    order = chance.choice(["t", "tc", "tpc", "ptz", "tpcz", "zt", "pt"])
    unbounded = chance.random() < 0.3 and order[0] == "t"
    sharded = chance.random() < 0.6 and row.sharding and row.format == "ome-zarr"
    dims = []
    for name in order:
        count = None if unbounded and name == "t" else chance.randint(2, 8 if name == "t" else 3)
        more: dict[str, Any] = {}
        if name in "tz" and row.format == "ome-zarr":
            more = {"chunk_size": chance.randint(1, 3)}
            if sharded:
                more["shard_size_chunks"] = chance.randint(1, 3)
        dims.append(Dimension(name=name, count=count, type=TYPES[name], **more))  # type: ignore[arg-type]  # a literal
    tile = chance.choice([None, 16]) if row.format == "ome-zarr" else None
    for name, count in (("y", HEIGHT), ("x", WIDTH)):
        dims.append(Dimension(name=name, count=count, type="space", chunk_size=tile))
    return AcquisitionSettings(
        root_path=path / f"x{SUFFIXES[row.format]}",
        dimensions=dims,
        dtype="uint32",
        format=engine,
        compression=chance.choice([None, *sorted(row.compressions & CODECS)]),
        storage_order="acquisition" if order == "zt" else "ome",
        flush_interval=chance.choice([0.01, 0.05, 1.0]),
        # acquire-zarr publishes full shards only; the frames before that must fit into buffer_bytes
        buffer_bytes=chance.choice([2**16, 2**28]) if row.live else 2**28,
    )


class Acquisition:
    """A stream, the number of frames appended so far, and the errors of readers."""

    def __init__(self, stream: OMEStream, frames: int) -> None:
        self.stream = stream
        self.total = frames
        self.appended = 0
        self.errors: list[str] = []
        self.reads = 0
        counts = [n or frames for n in stream.plan.router.counts]
        self.strides = [int(np.prod(counts[i + 1 :], dtype=int)) for i in range(len(counts))]

    def append(self) -> None:
        for number in range(self.total):
            self.stream.append(frame(number))
            self.appended = number + 1

    def read_repeatedly(self, chance: random.Random, done: threading.Event) -> None:
        view = self.stream.view(dynamic_shape=chance.random() < 0.5)
        last = False
        while not last:
            last = done.is_set()
            try:
                for _ in range(10):
                    self.read_once(view, chance)
            except Exception as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                return

    def read_once(self, view: StreamView, chance: random.Random) -> None:
        """Read a random index; a frame appended before must be complete, any other is correct or 0."""
        before = self.appended
        shape = view.shape[:-2]
        if not all(shape):
            assert before == 0 or view.shape[0] == 0 or self.appended >= before
            return
        index = tuple(chance.randrange(n) for n in shape)
        number = sum(i * s for i, s in zip(index, self.strides, strict=True))
        plane = view[tuple(slice(i, i + 1) for i in index)].reshape(HEIGHT, WIDTH)
        self.reads += 1
        if np.array_equal(plane, frame(number)):
            return
        if number < before or plane.any():
            self.errors.append(f"frame {number} at {index}: {plane.ravel()[:4]}, {before} appended")


def one_round(seed: int, engine: str, path: Path) -> Acquisition | None:
    """Run one acquisition with readers; None when the engine cannot write it."""
    chance = random.Random(seed)
    try:
        stream = create_stream(random_settings(chance, engine, path))
    except UnsupportedError:
        return None
    acquisition = Acquisition(stream, stream.plan.frames or 30)
    done = threading.Event()
    readers = [
        threading.Thread(target=acquisition.read_repeatedly, args=(random.Random(seed + i), done))
        for i in range(READERS)
    ]
    with stream:
        for reader in readers:
            reader.start()
        try:
            acquisition.append()
        finally:
            early = seed % 2
            if early:  # in other rounds they read during and after close
                done.set()
                for reader in readers:
                    reader.join()
    done.set()
    for reader in readers:
        reader.join()
    view = stream.view()
    expected = np.stack([frame(n) for n in range(acquisition.total)])
    frames = np.asarray(view).reshape(-1, HEIGHT, WIDTH)
    assert np.array_equal(frames[: acquisition.total], expected)
    assert not frames[acquisition.total :].any()
    return acquisition


@pytest.mark.timeout(600 + 5 * ROUNDS)
@pytest.mark.parametrize("engine", swept(INSTALLED, ("direct", "tifffile").__contains__))
def test_four_threads_read_while_one_appends(tmp_path: Path, engine: str) -> None:
    """Readers at random indices see the appended frame or 0, without errors."""
    rounds = reads = seed = 0
    while rounds < ROUNDS:
        seed += 1
        acquisition = one_round(seed, engine, tmp_path / str(seed))
        if acquisition is None:
            assert seed < 20 * ROUNDS, f"{engine} refuses all settings"
            continue
        assert not acquisition.errors, f"seed {seed}: {acquisition.errors[:3]}"
        rounds += 1
        reads += acquisition.reads
    assert reads > 20 * ROUNDS
