"""`python -m benchmarks --stored`: reading a dataset (R1), resuming a killed one (R2), and `validate` (I2).

R1: all planes with `ome_writers.open` one by one, and single planes in random order, beside zarr-python and
tensorstore, or tifffile, in alternating rounds.
R2: the time from `ome_writers.resume` to the return of the first `append`, of a
dataset whose writer was killed after many small frames; beside it, the time to read the dataset's metadata once.
I2: `validate` of a dataset with checksums, frames of 2048x2048, beside reading each of its files once, in alternating
rounds. By default it has 10 GB: give `--frames 120` for 1 GB.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Reader = Callable[[int], Any]


class Kind(NamedTuple):
    """A dataset: the suffix of its path, chunks per shard, and compression."""

    suffix: str
    shard: int | None = None
    compression: Any = "none"
    checksum: bool = False


CHECKED = {
    "checksums, shards": Kind(".ome.zarr", 25, checksum=True),
    "checksums, files": Kind(".ome.zarr", checksum=True),
    "checksums, shards, blosc-zstd": Kind(".ome.zarr", 25, "blosc-zstd", checksum=True),
    "checksums, OME-TIFF": Kind(".ome.tiff", checksum=True),
}
KINDS = {
    "OME-Zarr, shards": Kind(".ome.zarr", 100),
    "OME-Zarr, shards, blosc-zstd": Kind(".ome.zarr", 100, "blosc-zstd"),
    "OME-Zarr, files": Kind(".ome.zarr"),
    "OME-TIFF": Kind(".ome.tiff"),
    **CHECKED,
}
# size of a frame along y and x, and the number of frames, by row
ROWS = {"R1": (512, 1000), "R2": (16, 100_000), "I2": (2048, 1200)}


def write(kind: str, path: Path, frames: int, size: int, *, killed: bool) -> None:
    """Write a dataset; end this process without closing it if `killed`."""
    from ome_writers import Dimension, OmeTiffFormat, OmeZarrFormat, create_stream

    suffix, shard, compression, checksum = KINDS[kind]
    zarr = suffix == ".ome.zarr"
    chunks: dict[str, Any] = {} if suffix == ".ome.tiff" else {"chunk_size": 1}
    chunks |= {"shard_size_chunks": shard} if shard else {}
    planned = frames + 1000 if killed else frames
    dimensions = [
        Dimension(name="t", count=planned, type="time", **chunks),
        Dimension(name="y", count=size),
        Dimension(name="x", count=size),
    ]
    stream = create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint16",
        compression=compression,
        format=OmeZarrFormat(checksum=checksum) if zarr else OmeTiffFormat(checksum=checksum),
    )
    draw = np.random.default_rng(0)
    noise = draw.poisson(100, (16, size, size)).astype("uint16")
    for number in range(frames):
        stream.append(noise[number % len(noise)])
    stream.flush()
    if killed:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    stream.close()


def readers(kind: str, path: Path) -> dict[str, Reader]:
    """Return readers of one plane, by the name of the library."""
    import ome_writers

    view = ome_writers.open(path)
    found: dict[str, Reader] = {"ome-writers": lambda t: np.asarray(view[t])}
    if path.suffix == ".tiff":
        from tifffile import TiffFile

        tiff = TiffFile(path)
        return {**found, "tifffile": lambda t: tiff.pages[t].asarray()}
    import tensorstore
    import zarr

    array: Any = zarr.open_array(path, path="0", mode="r")
    store = tensorstore.open(
        {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path / '0'}/"}}
    ).result()
    return {
        **found,
        "zarr-python": lambda t: np.asarray(array[t]),
        "tensorstore": lambda t: store[t].read().result(),
    }


def measure_reading(kind: str, path: Path, frames: int, rounds: int) -> None:
    """Print R1 of a dataset: us of processor time per plane, medians of the rounds with the lowest and highest."""
    found = readers(kind, path)
    draw = np.random.default_rng(1)
    orders = {"all": range(frames), "single": draw.permutation(frames)[: frames // 4].tolist()}
    for title, order in orders.items():
        times: dict[str, list[float]] = {name: [] for name in found}
        for _ in range(rounds):
            for name, reader in found.items():
                start = time.process_time()
                for number in order:
                    reader(number)
                times[name].append(1e6 * (time.process_time() - start) / len(order))
        figures = (
            f"{name} {statistics.median(t):.0f} ({min(t):.0f} to {max(t):.0f})"
            for name, t in times.items()
        )
        print(
            f"R1, {kind}, {title}, us of processor time per plane: {'; '.join(figures)}", flush=True
        )


def measure_resuming(kind: str, path: Path, rounds: int) -> None:
    """Print R2 of a killed dataset: time to the first `append`, and to read its metadata."""
    import ome_writers

    copies, spent, processor, reading = path.parent / "copies", [], [], []
    for _ in range(rounds):
        shutil.rmtree(copies, ignore_errors=True)
        copies.mkdir()
        for entry in [path, *path.parent.glob(f".{path.name}*")]:
            copy = copies / entry.name
            if entry.is_dir():
                shutil.copytree(entry, copy, symlinks=True)
            else:
                shutil.copy2(entry, copy)
        start = time.perf_counter()
        spec = ome_writers.read(copies / path.name)
        reading.append(time.perf_counter() - start)
        frame = np.ones(spec.images[0].array.frame_shape, "uint16")
        start, began = time.perf_counter(), time.process_time()
        stream = ome_writers.resume(copies / path.name)
        stream.append(frame)
        spent.append(time.perf_counter() - start)
        processor.append(time.process_time() - began)
        stream.close()
    print(
        f"R2, {kind}: {statistics.median(spent):.2f} s ({min(spent):.2f} to {max(spent):.2f}), of which processor "
        f"{statistics.median(processor):.2f} s; reading the metadata {statistics.median(reading):.2f} s",
        flush=True,
    )


def measure_validation(kind: str, path: Path, rounds: int) -> None:
    """Print I2: the time to read all files once, divided by that of `validate`; medians of the rounds."""
    from ome_writers import validate

    files = [file for file in [path, *path.rglob("*")] if file.is_file()]
    nbytes = sum(file.stat().st_size for file in files)
    ratios, reading, spent = [], [], []
    buffer = memoryview(bytearray(2**23))
    for _ in range(rounds):
        start = time.perf_counter()
        for file in files:
            with file.open("rb", buffering=0) as source:
                while source.readinto(buffer):
                    pass
        reading.append(time.perf_counter() - start)
        start = time.perf_counter()
        assert validate(path).valid
        spent.append(time.perf_counter() - start)
        ratios.append(reading[-1] / spent[-1])
    print(
        f"I2, {kind}, {nbytes / 1e9:.1f} GB: reading {statistics.median(reading):.2f} s, validate "
        f"{statistics.median(spent):.2f} s, relative speed {statistics.median(ratios):.2f} ({min(ratios):.2f} to "
        f"{max(ratios):.2f})",
        flush=True,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark, or the process that writes a dataset."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks --stored", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="R1 R2 I2", help="default: all")
    parser.add_argument("--only", choices=[*KINDS])
    parser.add_argument(
        "--frames", type=int, help="default: 1,000 for R1, 100,000 for R2, 1,200 for I2"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--dir", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--write", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if unknown := set(options.rows) - {*ROWS}:
        parser.error(f"unknown row {min(unknown)!r}; choose from {', '.join(ROWS)}")
    if options.write:
        kind, path, frames, size = options.write
        write(kind, Path(path), int(frames), int(size), killed=options.rows == ["R2"])
        return 0
    for row in options.rows or ROWS:
        size, default = ROWS[row]
        for kind in KINDS:
            if (kind in CHECKED) == (row == "I2") and options.only in (None, kind):
                frames = options.frames or default
                with tempfile.TemporaryDirectory(dir=options.dir) as folder:
                    path = Path(folder, f"run{KINDS[kind].suffix}")
                    command = [sys.executable, "-m", "benchmarks.stored", row, "--write"]
                    command += [kind, str(path), str(frames), str(size)]
                    subprocess.run(command, check=row != "R2")
                    if row == "R1":
                        measure_reading(kind, path, frames, options.rounds)
                    elif row == "I2":
                        measure_validation(kind, path, options.rounds)
                    else:
                        measure_resuming(kind, path, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
