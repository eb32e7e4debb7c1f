"""Direct I/O bypasses the page cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, create_stream

tensorstore = pytest.importorskip("tensorstore", reason="the independent reader")


@pytest.mark.skipif(not hasattr(os, "O_DIRECT"), reason="this platform has no O_DIRECT")
@pytest.mark.parametrize("sharded", [True, False])
def test_direct_io_opens_files_with_o_direct(tmp_path: Path, sharded: bool) -> None:
    """Third-party readers read the same pixels."""
    probe = tmp_path / "probe"
    try:
        os.close(os.open(probe, os.O_CREAT | os.O_WRONLY | os.O_DIRECT))
    except OSError:
        pytest.skip("the file system of the temporary folder has no O_DIRECT")
    settings = AcquisitionSettings(
        root_path=tmp_path / "x.ome.zarr",
        dimensions=[
            Dimension(name="t", count=20, chunk_size=1, shard_size_chunks=10 if sharded else None),
            Dimension(name="y", count=256),
            Dimension(name="x", count=512),
        ],
        dtype="uint16",
        format="direct",
        direct_io=True,
    )
    frames = np.random.default_rng(0).integers(0, 2**16, (20, 256, 512), "uint16")
    opened: list[int] = []
    opening = os.open

    def spy(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if str(path).startswith(str(settings.output_path)):
            opened.append(flags & os.O_DIRECT)
        return opening(path, flags, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "open", spy)
        with create_stream(settings) as stream:
            for frame in frames:
                stream.append(frame)
    assert sum(map(bool, opened)) == (2 if sharded else 20)
    store = {"driver": "file", "path": f"{settings.output_path}/0/"}
    read = tensorstore.open({"driver": "zarr3", "kvstore": store}).result().read().result()
    assert np.array_equal(read, frames)
