"""Resuming on a full disk, and two processes that resume one dataset at once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers as omew
from faults.datasets import FRAMES, mounted, noise, run, settings
from support.interrupted import checksums

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.timeout(600)

KINDS: dict[str, dict[str, Any]] = {
    "a.ome.zarr": {},
    "shards.ome.zarr": {"shard": 16},
    "a.ome.tiff": {"engine": "tifffile"},
    "unbounded.ome.tiff": {"engine": "tifffile", "frames": None},
}
_WRITER = """
import json
path, options, first, last = sys.argv[1], json.loads(sys.argv[2]), *map(int, sys.argv[3:])
writing = create_stream(settings(path, **options), resume=True)
for number in range(first, last):
    writing.append(noise(number), frame_metadata={"serial": number})
writing.flush()
os.kill(os.getpid(), 9)
"""


def write_and_kill(path: Path, options: dict[str, Any], first: int, last: int) -> None:
    import json

    done = run("import os\n" + _WRITER, path, json.dumps(options), first, last, expect=None)
    assert done.returncode == -9, done.stderr


def wrong(path: Path, numbers: Sequence[int]) -> list[int]:
    """Return which of these frames do not read back."""
    view = omew.open(path)
    return [n for n in numbers if not np.array_equal(view[n], noise(n))]


@pytest.mark.parametrize("name", KINDS)
def test_full_disk_while_resuming(tmp_path: Path, name: str) -> None:
    """`resume`, or the stream that it returns, raises `WriteError`; the old frames are intact, and it can go on."""
    with mounted(tmp_path / "small", "-o", "size=20m") as folder:
        path = folder / name
        write_and_kill(path, KINDS[name], 0, 40)
        before = checksums(path) if path.is_dir() else {}
        filler = folder / "filler"
        with filler.open("wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(4096))
        os.truncate(filler, filler.stat().st_size - 8192)  # a lock and a progress file fit
        with pytest.raises(omew.WriteError) as caught:  # either of them may fail
            stream = omew.resume(path)
            with stream:
                for number in range(40, 60):
                    stream.append(noise(number))
        cause = caught.value.__cause__
        assert isinstance(cause, OSError)
        assert cause.errno == errno.ENOSPC
        assert not wrong(path, range(40))
        after = checksums(path) if path.is_dir() else {}
        chunks = {file for file in before if "/c/" in f"/{file}" and "shards" not in name}
        assert {file: after[file] for file in chunks} == {file: before[file] for file in chunks}
        filler.unlink()
        with omew.resume(path) as stream:
            numbers = [index["t"] for _, index in zip(range(30), stream.remaining(), strict=False)]
            assert min(numbers) >= 40
            for number in numbers:
                stream.append(noise(number), index={"t": number})
        assert not wrong(path, [*range(40), *numbers])
        checks = omew.validate(path).checks
        assert not [finding for check in checks for finding in check.findings]


_RESUMER = """
import time
import ome_writers
while not os.path.exists(sys.argv[2]):
    pass
try:
    stream = ome_writers.resume(sys.argv[1])
except ome_writers.OutputLockedError as error:
    print("locked", error)
else:
    numbers = [index["t"] for _, index in zip(range(10), stream.remaining())]
    for number in numbers:
        stream.append(noise(number))
    time.sleep(1)
    stream.close()
    print("resumed", *numbers)
"""


@pytest.mark.parametrize("killed", [True, False])
@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tiff"])
def test_one_of_two_processes_resumes(tmp_path: Path, name: str, killed: bool) -> None:
    """The other one gets `OutputLockedError`, whether the dataset has a stale lock or none."""
    path, start = tmp_path / name, tmp_path / "start"
    if killed:
        write_and_kill(path, KINDS[name], 0, 7)
    else:
        with omew.create_stream(settings(path, **KINDS[name])) as stream:
            for number in range(7):
                stream.append(noise(number))
    here = str(Path(__file__).parent.parent)
    code = (
        f"import os, sys\nsys.path.insert(0, {here!r})\nfrom faults.datasets import *\n{_RESUMER}"
    )
    command = [sys.executable, "-c", code, str(path), str(start)]
    processes = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    start.touch()
    outputs = sorted(process.communicate(timeout=300) for process in processes)
    (locked, _), (resumed, error) = outputs
    assert locked.startswith("locked"), outputs
    assert "is being written by process" in locked or "is locked" in locked, locked
    assert resumed.split() == ["resumed", *map(str, range(7, 17))], error
    assert not wrong(path, range(17))
    assert omew.read(path).frames_written == 17
    assert FRAMES > 17
