"""Streams for failures that the process survives, and readers of their datasets."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, OMEStream, create_stream
from ome_writers.storage import ENGINES

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 128
FRAMES = 400
LAYOUTS: dict[str, dict[str, Any]] = {
    "frame chunks": {},
    "chunks over t": {"chunk": 3},
    "shards": {"shard": 16},
    "shards of chunks over t": {"chunk": 3, "shard": 4, "compression": "zstd"},
}
ENGINE_NAMES = [
    name
    for name in ("direct", "tensorstore", "zarr-python")
    if ENGINES[name].missing_requirement() is None
]


def noise(number: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return frame `number`, shape (128, 128); it is incompressible, and no pixel is 0."""
    draw = np.random.default_rng(number)
    return draw.integers(1, 2**16, (SIZE, SIZE), dtype=np.uint16)


def settings(
    path: Path,
    engine: str = "direct",
    *,
    frames: int | None = FRAMES,
    chunk: int = 1,
    shard: int | None = None,
    compression: str = "none",
    **more: Any,
) -> AcquisitionSettings:
    """Return settings for a time series of noise."""
    return AcquisitionSettings(
        root_path=path,
        dimensions=(
            Dimension(name="t", count=frames, chunk_size=chunk, shard_size_chunks=shard),
            Dimension(name="y", count=SIZE, shard_size_chunks=shard and 1),
            Dimension(name="x", count=SIZE, shard_size_chunks=shard and 1),
        ),
        dtype="uint16",
        format=engine,
        compression=compression,
        **{"flush_interval": 0.1, **more},
    )


def stream(path: Path, engine: str = "direct", **options: Any) -> OMEStream:
    """Return a stream with `settings`."""
    return create_stream(settings(path, engine, **options))


def pixels(path: Path) -> np.ndarray[Any, Any]:
    """Return the pixels as read by zarr-python, shape (t, 128, 128); tensorstore must agree."""
    import tensorstore
    import zarr

    read = np.asarray(zarr.open_array(str(path / "0"), mode="r")[:])
    store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path / '0'}/"}}
    assert np.array_equal(read, tensorstore.open(store).result().read().result())
    return read


def missing(path: Path, accepted: int) -> set[int]:
    """Return the frames that do not read back bit for bit; a pixel that differs must be 0."""
    read = pixels(path)
    lost = set()
    for number in range(accepted):
        right = noise(number)
        found = read[number] if number < len(read) else np.zeros_like(right)
        if not np.array_equal(found, right):
            assert np.all((found == 0) | (found == right)), f"frame {number} has wrong pixels"
            lost.add(number)
    return lost


def status(path: Path) -> str:
    """Return the `status` in the metadata of the root."""
    import zarr

    return str(zarr.open_group(str(path), mode="r").attrs["ome_writers"]["status"])  # type: ignore[index,call-overload]  # zarr types attributes as JSON


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[Path]:
    """Mount a small tmpfs at `folder`; skip the test if that is not permitted."""
    folder.mkdir()
    if sys.platform != "linux":
        pytest.skip("no tmpfs to mount on this platform")
    command = ["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a tmpfs needs root: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def run(code: str, *arguments: object, expect: int | None = 0) -> subprocess.CompletedProcess[str]:
    """Run a script in a separate process that can import this directory; 110 s count as hanging."""
    here = str(Path(__file__).parent.parent)
    script = f"import sys; sys.path.insert(0, {here!r})\nfrom faults.datasets import *\n{code}"
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert expect is None or done.returncode == expect, done.stderr
    return done
