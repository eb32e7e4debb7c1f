"""A viewer in another process has the pixels of a dataset mapped into memory while the stream is closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ome_writers as ow

VIEWER = """
import mmap, pathlib, sys
mapped = []
for path in pathlib.Path(sys.argv[1]).rglob("*"):
    if path.is_file() and path.stat().st_size > 2**16:
        with path.open("rb") as file:
            mapped.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
print(len(mapped), flush=True)
input()
"""


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff"])
def test_stream_closes_while_its_files_are_mapped(format: str, tmp_path: Path) -> None:
    """Windows does not truncate mapped files: the dataset is complete and larger."""
    count, end = 40, 7
    frames = [np.full((64, 64), n + 1, np.uint16) for n in range(end)]
    dimensions = [
        ow.Dimension(name="t", count=count, chunk_size=1, shard_size_chunks=count),
        ow.Dimension(name="y", count=64),
        ow.Dimension(name="x", count=64),
    ]
    suffix = {"ome-zarr": "ome.zarr", "ome-tiff": "ome.tiff"}[format]
    path = tmp_path / f"x.{suffix}"
    settings = ow.AcquisitionSettings(root_path=str(path), dimensions=dimensions, dtype="uint16")
    stream = ow.create_stream(settings)
    for frame in frames:
        stream.append(frame)
    stream.flush()
    command = [sys.executable, "-c", VIEWER, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as viewer:
        assert viewer.stdout is not None
        assert int(viewer.stdout.readline()) > 0
        try:
            stream.close()
        finally:
            viewer.communicate("\n", timeout=300)
    stored = np.asarray(ow.open(path)).reshape(-1, 64, 64)
    assert np.array_equal(stored[:end], frames)
    assert not stored[end:].any()
