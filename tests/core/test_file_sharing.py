"""Files that another process has open are replaced and removed as soon as it closes them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ome_writers import file_sharing
from ome_writers.file_sharing import (
    overwrite,
    remove,
    rename,
    retry_while_open,
    truncate,
    update_timestamp,
)
from ome_writers.storage import atomic_write
from support.links import create_link

READER = """
import sys, time
with open(sys.argv[1], "rb") as file:
    print("open", flush=True)
    time.sleep(0.5)
    print(file.read().decode(), flush=True)
"""


class ExclusiveFile:
    """A file that refuses its first `refusals` accesses, as Windows does while another process has it open."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals

    def access(self) -> str:
        if self.refusals:
            self.refusals -= 1
            raise PermissionError("Sharing violation")
        return "content"


@pytest.fixture
def mandatory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retry on every platform."""
    monkeypatch.setattr(file_sharing, "_IS_MANDATORY", True)


@pytest.mark.usefixtures("mandatory")
def test_access_is_repeated_until_it_is_granted() -> None:
    assert retry_while_open(ExclusiveFile(5).access) == "content"


@pytest.mark.usefixtures("mandatory")
def test_refused_access_raises_after_the_timeout() -> None:
    start = time.monotonic()
    with pytest.raises(PermissionError, match="Sharing violation"):
        retry_while_open(ExclusiveFile(10**9).access, timeout_s=0.2)
    assert time.monotonic() - start > 0.05


@pytest.mark.skipif(
    sys.platform == "win32",
    reason="no delay before an error: Windows waits, because sharing is mandatory there",
)
def test_access_is_not_repeated_where_files_are_always_shared() -> None:
    file = ExclusiveFile(5)
    with pytest.raises(PermissionError, match="Sharing violation"):
        retry_while_open(file.access)
    assert file.refusals == 4


@pytest.mark.usefixtures("mandatory")
def test_rename_onto_a_directory_fails_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").touch()
    (tmp_path / "folder" / "inside").mkdir(parents=True)
    attempts: list[int] = []
    replace = os.replace

    def count(*paths: Path) -> None:
        attempts.append(1)
        replace(*paths)

    monkeypatch.setattr(os, "replace", count)
    with pytest.raises(OSError, match="folder"):
        rename(tmp_path / "new", tmp_path / "folder")
    assert attempts == [1]


@pytest.mark.usefixtures("mandatory")
def test_timestamp_of_an_open_file_is_updated(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file:
        os.utime(tmp_path / "x", (0, 0))
        update_timestamp(file.name)
        assert (tmp_path / "x").stat().st_mtime > 0
    update_timestamp(tmp_path / "missing")


def test_refused_truncation_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A descriptor that was opened for reading refuses as a mapped file does on Windows."""
    (tmp_path / "x").write_bytes(b"content")
    fd = os.open(tmp_path / "x", os.O_RDONLY)
    try:
        monkeypatch.setattr(file_sharing, "_IS_MANDATORY", True)
        assert truncate(fd, 3) is False
        monkeypatch.setattr(file_sharing, "_IS_MANDATORY", False)
        with pytest.raises(OSError, match=r"Invalid|denied|Bad file"):
            truncate(fd, 3)
    finally:
        os.close(fd)
    assert (tmp_path / "x").read_bytes() == b"content"


@pytest.mark.usefixtures("mandatory")
@pytest.mark.parametrize("old", [b"{}", b'{"a": 1, "b": [2, 3]}'])
def test_document_is_overwritten_and_valid_if_it_is_not_truncated(
    old: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as after a kill between the two calls, or while the file is mapped into memory."""
    path, new = tmp_path / "zarr.json", b'{"a": 1}'
    path.write_bytes(old)
    assert overwrite(path, new, durable=True)
    assert path.read_bytes() == new
    path.write_bytes(old)
    monkeypatch.setattr(os, "ftruncate", lambda fd, nbytes: None)
    assert overwrite(path, new)
    assert json.loads(path.read_bytes()) == {"a": 1}
    assert path.stat().st_size == max(len(old), len(new))


@pytest.mark.usefixtures("mandatory")
def test_target_of_a_link_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    create_link(tmp_path / "link", tmp_path / "target", "target of a link is not overwritten")
    assert not overwrite(tmp_path / "link", b"new")
    assert (tmp_path / "target").read_bytes() == b"old"


@pytest.mark.skipif(
    sys.platform == "win32",
    reason="no overwriting of documents: Windows overwrites those that it cannot replace",
)
def test_nothing_is_overwritten_where_open_files_can_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"old")
    assert not overwrite(tmp_path / "x", b"new")
    assert (tmp_path / "x").read_bytes() == b"old"


def test_document_is_updated_while_a_reader_keeps_it_open(tmp_path: Path) -> None:
    """Whether by replacing it, or by overwriting it on Windows."""
    path = tmp_path / "zarr.json"
    path.write_bytes(b"[1, 2, 3]")
    with path.open("rb"):
        atomic_write(path, b"[4]", durable=True)
        assert path.read_bytes() == b"[4]"
    assert [file.name for file in tmp_path.iterdir()] == ["zarr.json"]


@pytest.mark.parametrize("change", ["replace", "remove"])
def test_file_open_in_another_process_is_changed_when_it_is_closed(
    change: str, tmp_path: Path
) -> None:
    path, new = tmp_path / "zarr.json", tmp_path / "new"
    path.write_bytes(b"old")
    new.write_bytes(b"new")
    command = [sys.executable, "-c", READER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "open\n"
        if change == "replace":
            rename(new, path)
            assert path.read_bytes() == b"new"
        else:
            remove(path)
            assert not path.exists()
        assert reader.stdout.readline() == "old\n"


def test_every_replacement_survives_a_reader_that_polls(tmp_path: Path) -> None:
    path = tmp_path / "zarr.json"
    path.write_bytes(b"0")
    done = threading.Event()
    seen: list[int] = []

    def poll() -> None:
        while not done.is_set():
            seen.append(int(retry_while_open(path.read_bytes)))

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        for number in range(1, 200):
            (tmp_path / "new").write_bytes(str(number).encode())
            rename(tmp_path / "new", path)
    finally:
        done.set()
        thread.join()
    assert path.read_bytes() == b"199"
    assert seen == sorted(seen)
