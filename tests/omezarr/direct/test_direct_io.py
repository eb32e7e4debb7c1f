"""Direct I/O bypasses the page cache."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, UnsupportedError, create_stream
from ome_writers.storage import disk, positional_io

tensorstore = pytest.importorskip("tensorstore", reason="the independent reader")


def settings(folder: Path, *, sharded: bool) -> AcquisitionSettings:
    """Return settings for 20 aligned frames."""
    return AcquisitionSettings(
        root_path=folder / "x.ome.zarr",
        dimensions=[
            Dimension(name="t", count=20, chunk_size=1, shard_size_chunks=10 if sharded else None),
            Dimension(name="y", count=256),
            Dimension(name="x", count=512),
        ],
        dtype="uint16",
        format="direct",
        direct_io=True,
    )


def write_and_check(acquisition: AcquisitionSettings) -> None:
    """Write the frames, and compare them with what tensorstore reads."""
    frames = np.random.default_rng(0).integers(0, 2**16, (20, 256, 512), "uint16")
    with create_stream(acquisition) as stream:
        for frame in frames:
            stream.append(frame)
    store = {"driver": "file", "path": f"{acquisition.output_path}/0/"}
    read = tensorstore.open({"driver": "zarr3", "kvstore": store}).result().read().result()
    assert np.array_equal(read, frames)


@pytest.mark.skipif(
    not hasattr(os, "O_DIRECT"), reason="writes past the page cache: this platform has no O_DIRECT"
)
@pytest.mark.parametrize("sharded", [True, False])
def test_direct_io_opens_files_with_o_direct(
    tmp_path: Path, sharded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Third-party readers read the same pixels."""
    probe = tmp_path / "probe"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("writes past the page cache: the file system has no O_DIRECT")
    acquisition = settings(tmp_path, sharded=sharded)
    opened: list[int] = []
    opening = os.open

    def spy(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if str(path).startswith(str(acquisition.output_path)):
            opened.append(flags & os.O_DIRECT)
        return opening(path, flags, *rest, **more)

    monkeypatch.setattr(os, "open", spy)
    write_and_check(acquisition)
    assert sum(map(bool, opened)) == (2 if sharded else 20)


@pytest.mark.parametrize("supported", [True, False])
@pytest.mark.parametrize("sharded", [True, False])
def test_direct_io_by_a_call_for_each_open_file(
    tmp_path: Path, sharded: bool, supported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS (F_NOCACHE); the page cache is used where the file system does not support it."""
    called: list[int] = []

    def bypass_cache(fd: int) -> None:
        called.append(os.fstat(fd).st_ino)
        if not supported:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(positional_io, "_O_DIRECT", 0)
    monkeypatch.setattr(positional_io, "_bypass_cache", bypass_cache)
    monkeypatch.setattr(disk, "SUPPORTS_DIRECT_IO", True)
    write_and_check(settings(tmp_path, sharded=sharded))
    if supported:
        assert len(called) == (2 if sharded else 20)
    else:
        assert 1 <= len(called) < 20


@pytest.mark.parametrize(
    "fields",
    [{"compression": "blosc-lz4"}, {"format": {"name": "ome-zarr", "checksum": True}}],
)
def test_direct_io_is_refused_with_a_compression_or_checksums(tmp_path: Path, fields: Any) -> None:
    acquisition = settings(tmp_path, sharded=True).model_copy(
        update={
            k: AcquisitionSettings(root_path="x.ome.zarr", **fields).__dict__[k] for k in fields
        }
    )
    with pytest.raises(UnsupportedError, match="whole disk sectors.*Set direct_io=False"):
        create_stream(acquisition)
