"""Reads and writes at an offset, complete and concurrent."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers.storage import positional_io
from ome_writers.storage.positional_io import (
    adjacent_runs,
    make_sparse,
    open_file,
    open_new,
    patch_at,
    read_at,
    read_fully,
    write_at,
    write_single,
)

THREADS, BLOCKS, BLOCK_BYTES = 16, 20, 3000


@pytest.fixture(params=["vectored", "one call per buffer"])
def _calls(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run with and without `os.pwritev`, which Windows does not have."""
    if request.param != "vectored":
        monkeypatch.setattr(positional_io, "_HAS_PWRITEV", False)
    elif not hasattr(os, "pwritev"):
        pytest.skip("vectored writes: this platform does not have os.pwritev")


@pytest.mark.usefixtures("_calls")
def test_buffers_are_written_consecutively(tmp_path: Path) -> None:
    fd = open_file(tmp_path / "x", create=True)
    try:
        buffers = [bytes([n % 251]) * (n % 7) for n in range(1500)]
        write_at(fd, buffers, 10)
        assert read_fully(fd, 10**6, 0) == bytes(10) + b"".join(buffers)
        assert read_at(fd, 5, 10**6) == b""
        assert read_at(fd, 0, 0) == b""
    finally:
        os.close(fd)


@pytest.mark.usefixtures("_calls")
def test_pieces_are_written_at_their_offsets(tmp_path: Path) -> None:
    fd = open_file(tmp_path / "x", create=True)
    try:
        runs = adjacent_runs([b"abcdef"], np.array([0, 2, 10]), np.array([2, 1, 3]))
        assert runs == [(0, [b"ab", b"c"]), (10, [b"def"])]
        for offset, buffers in runs:
            write_at(fd, buffers, offset)
        assert read_fully(fd, 100, 0) == b"abc" + bytes(7) + b"def"
    finally:
        os.close(fd)


def test_arrays_and_large_offsets(tmp_path: Path) -> None:
    """Offsets beyond 4 GiB need both words of Windows' OVERLAPPED structure."""
    fd = open_file(tmp_path / "x", create=True)
    try:
        frame = np.arange(12, dtype=">u2").reshape(3, 4)
        make_sparse(fd)
        offset = 5 if sys.platform == "darwin" else 5 * 2**30 + 5  # HFS+ has no sparse files
        write_single(fd, frame, frame.nbytes, offset)
        assert read_fully(fd, 100, offset) == frame.tobytes()
        patch_at(fd, offset, frame.tobytes()[:4], b"wxyz")
        patch_at(fd, offset, b"other", b"12345")
        assert read_at(fd, 6, offset) == b"wxyz" + frame.tobytes()[4:6]
    finally:
        os.close(fd)


def test_read_at_keeps_the_file_position(tmp_path: Path) -> None:
    """Third-party readers are given descriptors after their header was checked."""
    (tmp_path / "x").write_bytes(b"0123456789")
    with open(open_file(tmp_path / "x"), "rb", buffering=0) as file:
        assert read_at(file.fileno(), 3, 4) == b"456"
        assert file.read(2) == b"01"


def test_reading_a_closed_descriptor_raises(tmp_path: Path) -> None:
    fd = open_new(tmp_path / "x")
    os.close(fd)
    with pytest.raises(OSError, match="descriptor"):
        read_at(fd, 1, 0)


@pytest.mark.parametrize("files", [1, THREADS])
def test_threads_write_to_one_file_and_to_many(files: int, tmp_path: Path) -> None:
    fds = [open_file(tmp_path / str(n), create=True) for n in range(files)]
    start = threading.Barrier(THREADS)

    def write(thread: int) -> None:
        start.wait()
        for block in range(BLOCKS):
            at = (block * THREADS + thread) * BLOCK_BYTES
            fd = fds[thread % files]
            write_at(fd, [bytes([thread]) * 1000, bytes([block]) * 2000], at)
            assert read_fully(fd, BLOCK_BYTES, at)[998:1002] == bytes(
                [thread, thread, block, block]
            )

    try:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(write, range(THREADS)))
    finally:
        for fd in fds:
            os.close(fd)
    for thread in range(THREADS):
        stored = (tmp_path / str(thread % files)).read_bytes()
        for block in range(BLOCKS):
            at = (block * THREADS + thread) * BLOCK_BYTES
            expected = bytes([thread]) * 1000 + bytes([block]) * 2000
            assert stored[at : at + BLOCK_BYTES] == expected


@pytest.mark.parametrize("files", [1, THREADS])
def test_all_threads_are_in_the_system_call_at_once(
    files: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No lock surrounds the calls, neither of the process nor of a file: no call begins before all 16 are reached."""
    barrier = threading.Barrier(THREADS, timeout=300)

    def together(call: Callable[..., int]) -> Callable[..., int]:
        def wait_and_call(*arguments: Any) -> int:
            barrier.wait()
            return call(*arguments)

        return wait_and_call

    if sys.platform == "win32":
        from ome_writers import windows_api

        kernel = windows_api._kernel
        monkeypatch.setattr(kernel, "WriteFile", together(kernel.WriteFile))
    elif hasattr(os, "pwritev"):
        monkeypatch.setattr(os, "pwritev", together(os.pwritev))
    else:
        monkeypatch.setattr(positional_io, "_pwrite", together(os.pwrite))
    fds = [open_file(tmp_path / str(n), create=True) for n in range(files)]
    try:
        with ThreadPoolExecutor(THREADS) as pool:
            writes = [
                pool.submit(write_at, fds[n % files], [bytes([n]) * BLOCK_BYTES], n * BLOCK_BYTES)
                for n in range(THREADS)
            ]
        for write in writes:
            write.result()
    finally:
        for fd in fds:
            os.close(fd)
    for n in range(THREADS):
        stored = (tmp_path / str(n % files)).read_bytes()
        assert stored[n * BLOCK_BYTES : (n + 1) * BLOCK_BYTES] == bytes([n]) * BLOCK_BYTES
