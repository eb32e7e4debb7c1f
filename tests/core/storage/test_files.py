"""Atomic writes, safe paths, temporary names and fsync."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from ome_writers.file_sharing import retry_while_open
from ome_writers.storage.files import atomic_write, is_temporary, path_below, temporary_target
from ome_writers.untrusted import read_regular
from support.links import KINDS, create_link


@pytest.mark.parametrize("durable", [False, True])
def test_atomic_write_creates_and_reindices(durable: bool, tmp_path: Path) -> None:
    """Parent directories are created, and no temporary file is left."""
    path = tmp_path / "a" / "b" / "zarr.json"
    atomic_write(path, b"one", durable=durable)
    atomic_write(path, b"two", durable=durable)
    assert path.read_bytes() == b"two"
    assert os.listdir(path.parent) == ["zarr.json"]


def test_readers_never_see_a_partial_file(tmp_path: Path) -> None:
    """While two threads replace a file, each read returns one of the two contents."""
    path = tmp_path / "zarr.json"
    contents = [letter * 100_000 for letter in (b"a", b"b")]
    atomic_write(path, contents[0])
    done = threading.Event()

    def write(content: bytes) -> None:
        while not done.is_set():
            atomic_write(path, content)

    threads = [threading.Thread(target=write, args=(c,)) for c in contents]
    for thread in threads:
        thread.start()
    try:
        # on Windows the file cannot be opened at the moment in which it is replaced
        seen = {retry_while_open(path.read_bytes) for _ in range(300)}
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert seen <= set(contents)
    assert os.listdir(tmp_path) == ["zarr.json"]


def test_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "zarr.json"
    target.mkdir()
    (target / "inside").touch()
    with pytest.raises(OSError, match=r"zarr\.json"):
        atomic_write(target, b"new")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["inside", "zarr.json"]


def test_symlinks_are_replaced_not_followed(tmp_path: Path) -> None:
    """Neither a link at the path nor one at the temporary name redirects the write."""
    outside = tmp_path / "outside"
    outside.write_bytes(b"mine")
    root = tmp_path / "root"
    root.mkdir()
    create_link(root / "zarr.json", outside, "writes do not follow links")
    beside = f".zarr.json.{os.getpid()}-{threading.get_ident()}.tmp"
    create_link(root / beside, outside, "writes do not follow links")
    atomic_write(root / "zarr.json", b"new")
    assert outside.read_bytes() == b"mine"
    assert (root / "zarr.json").read_bytes() == b"new"
    assert not (root / "zarr.json").is_symlink()


def test_atomic_write_of_longest_file_name(tmp_path: Path) -> None:
    name = "n" * 250 if sys.platform != "win32" else "n" * 100
    atomic_write(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("key", ["../a", "a/../../b", "/etc", "a//b", ".", "", "a\\b"])
def test_key_outside_root_raises(key: str, tmp_path: Path) -> None:
    with pytest.raises(PermissionError, match="is not the name of a file below"):
        path_below(tmp_path, key)


@pytest.mark.parametrize("kind", KINDS)
def test_key_through_link_raises(tmp_path: Path, kind: str) -> None:
    create_link(tmp_path / "link", tmp_path.parent, "keys do not lead through links", kind)
    with pytest.raises(PermissionError, match="through a link"):
        path_below(tmp_path, "link/zarr.json")
    assert path_below(tmp_path, "a/zarr.json") == tmp_path / "a" / "zarr.json"


TEMPORARY = {
    ".zarr.json.12-34.tmp": "zarr.json",
    ".0.tmp": "0",
    ".pos_0.level_1.dat.tmp": "pos_0.level_1.dat",
}


@pytest.mark.parametrize("name", TEMPORARY)
def test_temporary_names_are_recognized(name: str) -> None:
    """Those of `atomic_write` and of the engines of the core."""
    assert temporary_target(name) == TEMPORARY[name]
    assert is_temporary(name)


@pytest.mark.parametrize("name", ["zarr.json", "0", "c", "a.tmp", ".x.tmp", "y.__lock"])
def test_other_names_are_not_temporary(name: str) -> None:
    assert temporary_target(name) is None
    assert not is_temporary(name)


def test_file_that_is_being_created_is_not_a_link_out_of_the_dataset(tmp_path: Path) -> None:
    """While its folders appear, Windows' `realpath` returns a name with another prefix than that of the dataset."""
    folder, ended = tmp_path / "0/c/1/2/3", threading.Event()

    def create_and_remove() -> None:
        while not ended.is_set():
            with suppress(OSError):  # Windows refuses to remove what is open
                folder.mkdir(parents=True, exist_ok=True)
                atomic_write(folder / "4", b"pixels")
                shutil.rmtree(tmp_path / "0")

    thread = threading.Thread(target=create_and_remove)
    thread.start()
    try:
        for _ in range(3000):
            with suppress(FileNotFoundError, PermissionError):
                assert read_regular(folder / "4", 100, root=tmp_path) == b"pixels"
    finally:
        ended.set()
        thread.join()
