"""Files and directories are synced, on macOS including the cache of the drive."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from ome_writers import file_sync
from ome_writers.file_sync import sync, sync_file, sync_files, sync_tree
from ome_writers.storage import atomic_write


def test_sync_files_syncs_files_and_parents_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    atomic_write(tmp_path / "a" / "b" / "c", b"1")
    atomic_write(tmp_path / "a" / "d", b"2")
    synced: list[str] = []
    fsync = os.fsync

    def count(fd: int) -> None:
        synced.append("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", count)
    sync_files([tmp_path / "a" / "b" / "c", tmp_path / "a" / "d", tmp_path / "none"], tmp_path)
    assert synced.count("file") == 2
    if sys.platform == "linux":
        assert synced.count("folder") == 3
    synced.clear()
    sync_tree(tmp_path)
    assert synced.count("file") == 2


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Log the calls of `os.fsync`."""
    calls: list[str] = []
    fsync = os.fsync

    def logged(fd: int) -> None:
        calls.append("fsync")
        fsync(fd)

    monkeypatch.setattr(os, "fsync", logged)
    return calls


def test_call_that_flushes_the_drive_replaces_fsync(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS, for every file that is synced."""
    monkeypatch.setattr(file_sync, "_flush_drive", lambda fd: synced.append("drive"))
    (tmp_path / "x").write_bytes(b"content")
    sync_file(tmp_path / "x")
    atomic_write(tmp_path / "y", b"content", durable=True)
    assert set(synced) == {"drive"}


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.EINVAL, errno.ENOTTY])
def test_fsync_where_the_drive_cannot_be_flushed(
    number: int, tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(fd: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(file_sync, "_flush_drive", refuse)
    (tmp_path / "x").write_bytes(b"content")
    sync_file(tmp_path / "x")
    assert synced == ["fsync"]


def test_error_of_the_drive_is_raised(
    tmp_path: Path, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(file_sync, "_flush_drive", fail)
    with (tmp_path / "x").open("wb") as file, pytest.raises(OSError, match="Input/output"):
        sync(file.fileno())
    assert synced == []
