"""File leases while a file is truncated and other processes read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ome_writers.storage.file_lease import exclusive_lease

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="other systems have no file leases"
)

READER = """
import sys
with open(sys.argv[1], "rb") as file:
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_lease_is_refused_while_a_reader_has_the_file_open(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    fd = os.open(path, os.O_RDWR)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        with exclusive_lease(fd) as exclusive:
            assert exclusive
        assert reader.stdout is not None
        reader.stdout.readline()
        with exclusive_lease(fd) as exclusive:
            assert not exclusive
        reader.communicate(b"\n", timeout=60)
        with exclusive_lease(fd) as exclusive:
            assert exclusive
    finally:
        reader.kill()
        reader.communicate()
        os.close(fd)


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
    out, _ = reader.communicate(b"\n", timeout=60)
    assert out == b"open\n"
    assert reader.returncode == 0
    os.close(fd)
