"""A second process polls a dataset with own and third-party readers while it is written."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, UnsupportedError, create_stream
from ome_writers.storage import ENGINES
from support.sweeps import swept

SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff"}
LIVE = [
    row.name
    for row in ENGINES.values()
    if row.live and row.missing_requirement() is None and row.format in SUFFIXES
]

POLL = '''
import json, os, re, sys, time
from pathlib import Path
import numpy as np

path, names, stop, total = Path(sys.argv[1]), sys.argv[2].split(","), Path(sys.argv[3]), int(sys.argv[4])
HEIGHT, WIDTH = 32, 48


FRAMES = np.arange(HEIGHT * WIDTH, dtype=np.uint32) * 1000 + np.arange(1, total + 1, dtype=np.uint32)[:, None]


def open_ours():
    import ome_writers
    view = ome_writers.open(path)
    return lambda: np.asarray(view)


def reopen_ours():
    import ome_writers
    return lambda: np.asarray(ome_writers.open(path))


def open_zarr():
    import zarr
    return lambda: zarr.open_array(str(path / "0"), mode="r")[:]


def open_tensorstore():
    import tensorstore
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / "0")}}
    return lambda: tensorstore.open(spec, read=True, open=True).result().read().result()


def open_tifffile():
    import tifffile

    def read_file():
        with tifffile.TiffFile(path) as file:
            return file.series[0].asarray()

    return read_file


def again_where_denied(name, read):
    """Return a function that repeats `read` while Windows denies access to a file that is being replaced.

    zarr-python queries the size of a shard and then reads to its end: if the file grows in between, which is likely
    under Wine only, it computes the checksum of more than the index.
    """
    temporary = "denied|sharing violation|used by another" + ("|checksum" if name == "zarr" else "")
    def repeat():
        for attempt in range(20):
            try:
                return read()
            except Exception as error:
                if attempt == 19 or not re.search(temporary, str(error), re.I):
                    raise
                time.sleep(0.02)
    return repeat


class Reader:
    def __init__(self, name):
        read = {"ours": open_ours, "ours reopened": reopen_ours, "zarr": open_zarr,
                "tensorstore": open_tensorstore, "tifffile": open_tifffile}[name]()
        self.read = again_where_denied(name, read) if os.name == "nt" and "ours" not in name else read
        self.name, self.polls, self.partly, self.last = name, 0, 0, 0
        self.read()

    def poll(self):
        where = f"{self.name}, poll {self.polls}"
        seen = np.asarray(self.read()).reshape(-1, HEIGHT * WIDTH)
        present = np.flatnonzero(seen.any(axis=1))
        wrong = [number for number in present if not np.array_equal(seen[number], FRAMES[number])]
        assert not wrong, f"{where}: frame {wrong[0]} is {seen[wrong[0], :4]}"
        count = len(present)
        assert count >= self.last, f"{where}: {count} frames, before {self.last}"
        self.last = count
        self.polls += 1
        self.partly += 0 < count < total


readers = [Reader(name) for name in names]
print("ready", flush=True)
last = reported = False
while not last:
    last = stop.exists()
    for reader in readers:
        reader.poll()
    if not reported and all(reader.partly >= 2 for reader in readers):
        reported = True
        print("partly", flush=True)
    time.sleep(0.03)
print(json.dumps({reader.name: [reader.partly, reader.last] for reader in readers}))
'''


def frame(number: int) -> np.ndarray:
    """Return a frame that differs from every other number in every pixel."""
    return (np.arange(32 * 48, dtype=np.uint32) * 1000 + number + 1).reshape(32, 48)


def dimensions(engine: str, *, unbounded: bool) -> list[Dimension]:
    """Return a time-lapse of two channels.

    The direct engine has chunks of two frames in shards. The other engines have one chunk per frame: they rewrite a
    partial shard with another layout at each flush, and a reader may get the index of one and the chunks of the other.
    """
    chunks: dict[str, Any] = {}
    if engine == "direct":
        chunks = {"chunk_size": 2, "shard_size_chunks": 8}
    return [
        Dimension(name="t", count=None if unbounded else 40, type="time", **chunks),
        Dimension(name="c", count=2, type="channel"),
        Dimension(name="y", count=32, type="space", chunk_size=32),
        Dimension(name="x", count=48, type="space", chunk_size=48),
    ]


READERS = {
    "ome-zarr": ["ours", "ours reopened", "tensorstore", *(["zarr"] if find_spec("zarr") else [])],
    "ome-tiff": ["ours", "tifffile"],
}


OURS = ("direct", "tifffile")
CASES = [
    (engine, compressed, unbounded)
    for engine in LIVE
    for compressed in ((False, True) if engine in OURS else (True,))
    for unbounded in ((False, True) if engine in OURS else (True,))
]


@pytest.mark.parametrize(
    "case",
    swept(
        CASES,
        lambda case: case in ((OURS[0], True, True), (OURS[1], False, False)),
        lambda case: "-".join(map(str, case)),
    ),
)
def test_second_process_sees_only_correct_or_zero_frames(
    tmp_path: Path, case: tuple[str, bool, bool]
) -> None:
    """Own and third-party readers poll while the dataset is written; the number of frames seen never decreases."""
    engine, compressed, unbounded = case
    row = ENGINES[engine]
    codecs = sorted(row.compressions - {"none", "lzw"})
    settings = AcquisitionSettings(
        root_path=tmp_path / f"x{SUFFIXES[row.format]}",
        dimensions=dimensions(engine, unbounded=unbounded),
        dtype="uint32",
        format=engine,
        compression=codecs[0] if compressed else "none",
        flush_interval=0.05,
    )
    try:
        stream = create_stream(settings)
    except UnsupportedError as error:
        pytest.skip(str(error))
    stop = tmp_path / "stop"
    path, readers = str(settings.output_path), ",".join(READERS[row.format])
    command = [sys.executable, "-c", POLL, path, readers, str(stop), "80"]
    with stream:
        poller = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert poller.stdout is not None
        poller.stdout.readline()
        for number in range(80):
            stream.append(frame(number))
            time.sleep(0.02)
            if number == 40:  # on a slow machine, too, each reader sees a part of the frames
                poller.stdout.readline()
    stop.touch()
    out, errors = poller.communicate(timeout=300)
    assert poller.returncode == 0, errors[-2000:]
    result = json.loads(out)
    assert list(result) == READERS[row.format]
    for partly, last in result.values():
        assert last == 80, result
        assert partly > 1, result
