"""A file that gets shorter while others read it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ome_writers.storage.file_lease import exclusive_lease

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="other systems lend no files"
)

READER = """
import sys
with open(sys.argv[1], "rb") as file:
    print("open", flush=True)
    sys.stdin.readline()
"""


def test_a_file_that_another_process_has_open_is_not_lent(tmp_path: Path) -> None:
    """`exclusive_lease` says no as long as a reader has the file open, and yes when it has closed it."""
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    fd = os.open(path, os.O_RDWR)
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        with exclusive_lease(fd) as nobody_reads:
            assert nobody_reads
        assert reader.stdout is not None
        reader.stdout.readline()
        with exclusive_lease(fd) as nobody_reads:
            assert not nobody_reads
        reader.communicate(b"\n", timeout=60)
        with exclusive_lease(fd) as nobody_reads:
            assert nobody_reads
    finally:
        reader.kill()
        reader.communicate()
        os.close(fd)


def test_who_opens_a_lent_file_waits_and_nobody_is_killed(tmp_path: Path) -> None:
    """A reader that comes while the file is cut sees it afterwards; the signal of that does no harm."""
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
