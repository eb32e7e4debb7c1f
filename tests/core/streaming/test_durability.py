"""With durability="disk", file contents are synced before directory entries, and these before a call returns."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, UnsupportedError, create_stream
from ome_writers.storage import ENGINES

if sys.platform == "win32":
    pytest.skip(
        "order of synced files and folders: Windows has no sync of folders", allow_module_level=True
    )

ZARR = ["direct", "zarr-python", "zarrs-python", "tensorstore"]

pytestmark = pytest.mark.thread_writer  # records the calls of this process


class Synced:
    """The files and folders that were changed and synced through functions of `os`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.inodes: set[int] = set()
        self.early: list[
            str
        ] = []  # files that were renamed, or cut, with content that was not synced
        self.calls = 0
        fsync, replace, truncate = os.fsync, os.replace, os.ftruncate
        pwritev, mkdir, unlink = os.pwritev, os.mkdir, os.unlink

        def spied_fsync(fd: int) -> None:
            self.calls += 1
            fsync(fd)
            self.inodes.add(os.fstat(fd).st_ino)

        def spied_replace(source: Any, target: Any) -> None:
            synced = os.stat(source).st_ino in self.inodes
            if not synced and ".stage.tmp" not in os.fspath(target):
                self.early.append(f"{source} -> {target}")
            replace(source, target)
            self.inodes.discard(os.stat(os.path.dirname(target)).st_ino)

        def spied_truncate(fd: int, size: int) -> None:
            stat = os.fstat(fd)
            if size < stat.st_size and stat.st_ino not in self.inodes:
                self.early.append(f"cut from {stat.st_size} to {size}")
            truncate(fd, size)
            self.inodes.discard(stat.st_ino)

        def spied_pwritev(fd: int, *rest: Any) -> int:
            self.inodes.discard(os.fstat(fd).st_ino)
            return pwritev(fd, *rest)

        def spied_mkdir(path: Any, *rest: Any, **more: Any) -> None:
            mkdir(path, *rest, **more)
            if os.path.basename(path) == ".stage.tmp":
                return  # nothing in there outlives the stream
            self.inodes.discard(os.stat(os.path.dirname(path)).st_ino)

        def spied_unlink(path: Any, **more: Any) -> None:
            unlink(path, **more)
            self.inodes.discard(os.stat(os.path.dirname(path)).st_ino)

        monkeypatch.setattr(os, "fsync", spied_fsync)
        monkeypatch.setattr(os, "replace", spied_replace)
        monkeypatch.setattr(os, "ftruncate", spied_truncate)
        monkeypatch.setattr(os, "pwritev", spied_pwritev)
        monkeypatch.setattr(os, "mkdir", spied_mkdir)
        monkeypatch.setattr(os, "unlink", spied_unlink)

    def missing(self, top: Path) -> list[str]:
        """Return what was not synced: below `top`, and `top`; not of locks, progress files and temporary folders."""
        paths = [top, *(path for path in top.rglob("*") if ".stage.tmp" not in path.parts)]
        return [
            str(path.relative_to(top))
            for path in paths
            if path.stat().st_ino not in self.inodes
            and not path.name.endswith((".lock", ".lock.progress"))
        ]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Synced:
    return Synced(monkeypatch)


def settings(output: Path, engine: str, shards: bool, **more: Any) -> AcquisitionSettings:
    reason = ENGINES[engine].missing_requirement()
    if reason:
        pytest.skip(reason)
    ones: dict[str, Any] = {"shard_size_chunks": 1} if shards else {}
    return AcquisitionSettings(
        root_path=output,
        dimensions=(
            Dimension(name="p", type="position", count=2),
            Dimension(
                name="t", count=9, **({"chunk_size": 1, "shard_size_chunks": 3} if shards else {})
            ),
            Dimension(name="y", count=16, **ones),
            Dimension(name="x", count=16, **ones),
        ),
        dtype="uint16",
        **{"format": engine, "durability": "disk", "flush_interval": 100, **more},
    )


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("shards", [False, True], ids=["chunk files", "shards"])
@pytest.mark.parametrize("engine", ZARR)
def test_durability_disk_syncs_all_files_and_folders(
    tmp_path: Path, synced: Synced, engine: str, shards: bool, compression: str
) -> None:
    """After creation, flush and close, up to the first folder that existed before."""
    output = tmp_path / "new" / "folders" / "x.ome.zarr"
    stream = create_stream(settings(output, engine, shards, compression=compression))
    assert not synced.missing(tmp_path)
    for number in range(11):
        stream.append(np.full((16, 16), number + 1, "uint16"))
        if number in (2, 7):
            stream.flush()
            assert not synced.missing(tmp_path)
    stream.close()
    assert not synced.missing(tmp_path)
    assert not synced.early


@pytest.mark.parametrize("compression", ["none", "zstd"])
@pytest.mark.parametrize("single_file", ["always", "never"])
def test_durability_disk_syncs_all_files_of_ome_tiff(
    tmp_path: Path, synced: Synced, single_file: str, compression: str
) -> None:
    """Files, and the folders above them, after creation, flush and close."""
    form = {"name": "ome-tiff", "prefer_single_file": single_file}
    stream = create_stream(
        settings(
            tmp_path / "new" / "x.ome.tiff", "tifffile", False, compression=compression, format=form
        )
    )
    assert not synced.missing(tmp_path)
    for number in range(11):
        stream.append(np.full((16, 16), number + 1, "uint16"))
        if number in (2, 7):
            stream.flush()
            assert not synced.missing(tmp_path)
    stream.close()
    assert not synced.missing(tmp_path)
    assert not synced.early


def test_durability_process_does_not_sync(tmp_path: Path, synced: Synced) -> None:
    with create_stream(
        settings(tmp_path / "x.ome.zarr", "direct", True, durability="process")
    ) as stream:
        stream.append(np.ones((16, 16), "uint16"))
        stream.flush()
    assert synced.calls == 0


@pytest.mark.parametrize("engine", ["acquire-zarr", "scratch"])
def test_engine_without_durability_disk_raises(tmp_path: Path, engine: str) -> None:
    """The message says what to set instead."""
    with pytest.raises(UnsupportedError, match="does not survive power loss.*'process'"):
        create_stream(settings(tmp_path / "x", engine, False))
    assert not list(tmp_path.iterdir())
