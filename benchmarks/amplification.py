"""`python -m benchmarks --amplification`: D3, bytes written for each byte stored, in chunks of many planes.

A camera of 50 frames/s fills chunks of 512 planes, with the default `flush_interval`, so that each chunk is flushed
about ten times while it is filled. Bytes are those that the process passes to system calls that write (`wchar` of
``/proc/self/io``, Linux), with metadata, divided by those of the same dataset without flushes. Nothing is timed:
other processes do not matter.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.camera import poisson

PLANES = 512


class Kind(NamedTuple):
    """How chunks are stored: tile in pixels (None: whole planes), chunks per shard, compression, checksum."""

    tile: int | None = None
    shard: int | None = None
    compression: Any = "none"
    checksum: bool = False
    engine: Any = "direct"


KINDS = {
    "files": Kind(),
    "files of tiles": Kind(tile=64),
    "shards": Kind(shard=2),
    "files, checksum": Kind(checksum=True),
    "files, blosc-lz4-bitshuffle": Kind(compression="blosc-lz4-bitshuffle"),
    "shards, blosc-zstd": Kind(shard=2, compression="blosc-zstd"),
    "files, tensorstore": Kind(engine="tensorstore"),
}


def measure(kind: Kind, folder: Path, frames: int, rate: float, size: int) -> float:
    """Return the bytes written with the default `flush_interval`, divided by those without flushes."""
    flushed = _write(kind, folder / "flushed.ome.zarr", frames, rate, size, 1.0)
    return flushed / _write(kind, folder / "once.ome.zarr", frames, 1e9, size, 1e6)


def _write(
    kind: Kind, path: Path, frames: int, rate: float, size: int, flush_interval: float
) -> int:
    """Write a dataset; return the bytes written."""
    from ome_writers import Dimension, OmeZarrFormat, create_stream

    tile: dict[str, Any] = {} if kind.tile is None else {"chunk_size": kind.tile}
    shards: dict[str, Any] = {}
    if kind.shard is not None:
        tile, shards = (
            {"chunk_size": size, "shard_size_chunks": 1},
            {"shard_size_chunks": kind.shard},
        )
    noise = poisson((16, size, size), 7)
    before = _bytes_written()
    stream = create_stream(
        root_path=path,
        dimensions=[
            Dimension(name="t", count=frames, type="time", chunk_size=PLANES, **shards),
            Dimension(name="y", count=size, **tile),
            Dimension(name="x", count=size, **tile),
        ],
        dtype="uint16",
        compression=kind.compression,
        flush_interval=flush_interval,
        format=OmeZarrFormat(backend=kind.engine, checksum=kind.checksum),
    )
    due = time.perf_counter()
    for number in range(frames):
        due += 1 / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        stream.append(noise[number % len(noise)])
    stream.close()
    return _bytes_written() - before


def _bytes_written() -> int:
    text = Path("/proc/self/io").read_text()
    found = re.search(r"^wchar: (\d+)$", text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks --amplification", description=__doc__
    )
    parser.add_argument("--only", choices=[*KINDS])
    parser.add_argument("--frames", type=int, default=2 * PLANES)
    parser.add_argument("--rate", type=float, default=50.0, help="frames per second")
    parser.add_argument("--size", type=int, default=256, help="of a frame along y and x")
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args(arguments)
    if not os.path.exists("/proc/self/io"):
        print("D3 needs /proc/self/io, which Linux has.")
        return 2
    for name, kind in KINDS.items():
        if options.only in (None, name):
            folder = Path(tempfile.mkdtemp(dir=options.dir))
            try:
                ratio = measure(kind, folder, options.frames, options.rate, options.size)
            finally:
                shutil.rmtree(folder)
            print(f"D3, {name}: {ratio:.2f} times the bytes of one flush", flush=True)
    return 0
