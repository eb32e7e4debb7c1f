"""Exclusive access while a file is truncated and other processes read it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from pathlib import Path

import pytest

from ome_writers.storage.file_handles import FileHandles
from ome_writers.storage.file_lease import exclusive_lease
from ome_writers.untrusted import read_regular

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux"),
    reason="truncation that makes readers wait: only Linux has file leases",
)

READER = """
import sys
with open(sys.argv[1], "rb") as file:
    print("open", flush=True)
    sys.stdin.readline()
"""


@on_linux
def test_lease_is_refused_while_a_reader_has_the_file_open(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    fd = os.open(path, os.O_RDWR)
    with exclusive_lease(fd) as exclusive:
        assert exclusive
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert reader.stdout is not None
        reader.stdout.readline()
        with exclusive_lease(fd) as exclusive:
            assert not exclusive
        reader.communicate(b"\n", timeout=300)
        with exclusive_lease(fd) as exclusive:
            assert exclusive
    finally:
        reader.kill()
        reader.communicate()
        os.close(fd)


@on_linux
def test_lease_blocks_new_readers(tmp_path: Path) -> None:
    """A process that opens the file waits for the end of the lease; the kernel's signal has no effect."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    fd = os.open(path, os.O_RDWR)
    with exclusive_lease(fd):
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        with pytest.raises(subprocess.TimeoutExpired):
            reader.wait(1.0)
        os.ftruncate(fd, 1)
    out, _ = reader.communicate(b"\n", timeout=300)
    assert out == b"open\n"
    assert reader.returncode == 0
    os.close(fd)


@on_linux
def test_own_readers_wait_for_the_end_of_a_lease(tmp_path: Path) -> None:
    """They open files with O_NONBLOCK, for which the kernel raises an error at once."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    fd = os.open(path, os.O_RDWR)
    # the lease ends before the pool waits for its thread
    with ThreadPoolExecutor(1) as pool, exclusive_lease(fd) as exclusive:
        assert exclusive
        content = pool.submit(read_regular, path, 3)
        with pytest.raises(FutureTimeoutError):
            content.result(0.2)
    os.close(fd)
    assert content.result() == b"abc"


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS cannot tell who has a file open")
def test_exclusive_use_waits_for_other_processes(tmp_path: Path) -> None:
    """Within the process, the file is used as before."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    handles = FileHandles(durable=False)
    with handles.use_exclusively(path) as (fd, exclusive), handles.use(path) as same:
        assert exclusive
        assert same == fd
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert reader.stdout is not None
        reader.stdout.readline()
        with handles.use_exclusively(path, timeout_s=0.1) as (fd, exclusive):
            assert not exclusive
            os.ftruncate(fd, 2)
        reader.communicate(b"\n", timeout=300)
        with handles.use_exclusively(path, timeout_s=300) as (fd, exclusive):
            assert exclusive
            os.ftruncate(fd, 1)
    finally:
        reader.kill()
        reader.communicate()
        handles.close()
    assert path.read_bytes() == b"a"


@pytest.mark.skipif(
    sys.platform != "win32", reason="exclusive access to open files: only on Windows"
)
def test_exclusive_use_denies_access_on_windows(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    handles = FileHandles(durable=False)
    with handles.use(path), handles.use_exclusively(path) as (_, exclusive):
        assert not exclusive, "this process uses it"
    with handles.use_exclusively(path) as (_, exclusive):
        assert exclusive
        with pytest.raises(PermissionError):
            path.read_bytes()
    assert path.read_bytes() == b"abc"
    handles.close()
