"""`Mirror(evict=True)`: a recording that is larger than the disk. Needs a file system of fixed size, and thus root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, Mirror, create_stream
from support.sweeps import swept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("obstore", reason="obstore is not installed")

MIB = 2**20
SIDE = 1024  # pixels: 2 MiB per frame


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """Return a file system of so many MiB."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root mounts a file system of fixed size")
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={request.param}m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("disk", swept([64, 2048], lambda mib: mib == 64), indirect=True)
def test_recording_is_larger_than_the_disk(
    tmp_path: Path, disk: Path, request: pytest.FixtureRequest
) -> None:
    """No frame waits for ever, is lost or changed; the target equals what was appended."""
    mib = 10 * request.node.callspec.params["disk"]
    frames, share = mib // 2, tmp_path / "share"
    dimensions = [
        Dimension(name="t", count=frames, type="time", chunk_size=1, shard_size_chunks=4),
        Dimension(name="y", count=SIDE),
        Dimension(name="x", count=SIDE),
    ]
    settings = AcquisitionSettings(
        root_path=disk / "a.ome.zarr",
        dimensions=dimensions,
        dtype="uint16",
        buffer_bytes=32 * MIB,
        mirror=Mirror(str(share), evict=True),
    )
    pixels = np.random.default_rng(0).integers(0, 60_000, (SIDE, SIDE), dtype="uint16")
    began, least = time.monotonic(), shutil.disk_usage(disk).free
    with create_stream(settings) as stream:
        for t in range(frames):
            pixels[0, 0] = t % 60_000
            stream.append(pixels)
            least = min(least, shutil.disk_usage(disk).free)
    seconds = time.monotonic() - began
    print(
        f"{mib} MiB over {disk}: {seconds:.1f} s, at least {least // MIB} MiB free, {stream.stats()}"
    )
    view = ome_writers.open(share)
    moved = ome_writers.open(disk / "a.ome.zarr")
    for t in range(frames):
        pixels[0, 0] = t % 60_000
        assert np.array_equal(view[t], pixels), t
        if t % 50 == 0:
            assert np.array_equal(moved[t], pixels), t
    assert ome_writers.read(share).status == "complete"
