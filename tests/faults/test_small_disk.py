"""`Mirror(evict=True)`: a recording that is larger than the disk. Needs a file system of fixed size, and thus root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, Mirror, create_stream
from support.sweeps import swept

if TYPE_CHECKING:
    from collections.abc import Iterator

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


@pytest.mark.parametrize("disk", [64], indirect=True)
def test_share_is_unmounted_while_files_are_removed(
    tmp_path: Path, disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is removed until it is mounted again, and no file stays in the folder below the mount point."""
    path, share, frames = tmp_path / "a.ome.zarr", tmp_path / "share", 24
    share.mkdir()
    dimensions = [
        Dimension(name="t", count=frames, type="time", chunk_size=1, shard_size_chunks=2),
        Dimension(name="y", count=64),
        Dimension(name="x", count=64),
    ]
    planes = np.random.default_rng(0).integers(1, 60_000, (frames, 64, 64), dtype="uint16")
    bind = ["mount", "--bind", str(disk), str(share)]
    subprocess.run(bind, check=True)
    try:
        with create_stream(
            root_path=path,
            dimensions=dimensions,
            dtype="uint16",
            flush_interval=0.1,
            mirror=Mirror(str(share / "copy"), evict=True),
        ) as stream:
            for plane in planes[:8]:
                stream.append(plane)
            deadline = time.monotonic() + 60
            while not stream.stats().bytes_evicted:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            subprocess.run(["umount", "-l", str(share)], check=True)
            for plane in planes[8:16]:
                stream.append(plane)
            stream.flush()
            while "This is repeated" not in caplog.text:  # no request is in progress then
                assert time.monotonic() < deadline + 60
                time.sleep(0.02)
            kept = {p.relative_to(path) for p in (path / "0" / "c").rglob("*") if p.is_file()}
            there = {p.relative_to(disk / "copy") for p in (disk / "copy").rglob("*")}
            for shard in range(8):
                key = Path("0", "c", str(shard), "0", "0")
                assert key in kept | there, f"{key} is on neither side"
            subprocess.run(bind, check=True)
            for plane in planes[16:]:
                stream.append(plane)
        for copy in (path, share / "copy"):
            assert (np.asarray(ome_writers.open(copy)) == planes).all()
    finally:
        subprocess.run(["umount", str(share)], check=False)
    assert not [p for p in share.rglob("*") if p.is_file()]
