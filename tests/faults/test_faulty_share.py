"""`Mirror(evict=True)` to a share that reports success and stores other bytes, or nothing: no file is removed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from faults.failing_disk import compile_shim, compiler

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("obstore", reason="obstore is not installed")

pytestmark = pytest.mark.skipif(compiler() is None, reason="no C compiler to preload a library")

FRAMES = 8
FAULTS = {"honest": 0, "stores another byte": -2, "stores nothing": -3}

_WRITER = """
import ctypes, sys
import numpy as np
from ome_writers import Dimension, Mirror, create_stream
from ome_writers_tools.mirroring import uploader
uploader._MAX_ATTEMPTS = 2
shim, path, share, fault = sys.argv[1:]
dimensions = [
    Dimension(name="t", count=8, type="time", chunk_size=1, shard_size_chunks=2),
    Dimension(name="y", count=16),
    Dimension(name="x", count=16),
]
if int(fault):
    ctypes.CDLL(shim).break_arm(f"{share}/0/c".encode(), ctypes.c_long(1), int(fault), 1)
stream = create_stream(
    root_path=path, dimensions=dimensions, dtype="uint16", mirror=Mirror(share, evict=True)
)
for t in range(8):
    stream.append(np.full((16, 16), t + 1, "uint16"))
try:
    stream.close()
except Exception as error:
    print(type(error).__name__, error)
print("evicted", stream.stats().bytes_evicted)
"""


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_removed_that_the_share_does_not_have(tmp_path: Path, fault: str) -> None:
    path, share = tmp_path / "a.ome.zarr", tmp_path / "share"
    shim = compile_shim(tmp_path)
    command = [sys.executable, "-c", _WRITER, str(shim), str(path), str(share), str(FAULTS[fault])]
    done = subprocess.run(
        command,
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    kept = len([p for p in path.rglob("0/c/*/0/0") if p.is_file()])
    if fault == "honest":
        assert (kept, "UploadError" in done.stdout) == (0, False)
    else:
        assert kept == FRAMES // 2
        assert "UploadError" in done.stdout
        assert "not affected" in done.stdout
        assert done.stdout.endswith("evicted 0\n")
    expected = np.arange(1, FRAMES + 1, dtype="uint16")
    assert (np.asarray(ome_writers.open(path))[:, 0, 0] == expected).all()
