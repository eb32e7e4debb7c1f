"""Shares that are unmounted while a file is sent or verified: nothing stays, or counts, below the mount point."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ome_writers import Dimension, UploadError, create_stream
from ome_writers_tools.mirroring.dataset_files import DatasetFile, scan
from ome_writers_tools.mirroring.store_copy import StoreCopy

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest.importorskip("obstore", reason="obstore is not installed")


def mount(share: Path) -> None:
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(share)]
    subprocess.run(command, check=True, capture_output=True)


def unmount(share: Path) -> None:
    subprocess.run(["umount", "-l", str(share)], check=True)


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Path]:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("only root mounts a file system")
    share = tmp_path / "share"
    share.mkdir()
    try:
        mount(share)
    except subprocess.CalledProcessError:
        pytest.skip("a file system cannot be mounted here")
    yield share
    while os.path.ismount(share):
        unmount(share)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "a.ome.zarr"
    dimensions = [
        Dimension(name="t", count=2, type="time"),
        Dimension(name="y", count=8),
        Dimension(name="x", count=8),
    ]
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint8"):
        pass
    (path / "0" / "c" / "0" / "0").mkdir(parents=True)
    (path / "0" / "c" / "0" / "0" / "0").write_bytes(bytes(range(1, 65)))
    return path


@pytest.fixture
def copy(dataset: Path, share: Path) -> Iterator[StoreCopy]:
    copy = StoreCopy(dataset, (share / "copy").as_uri())
    copy.claim()
    yield copy
    copy.journal.close()


@pytest.fixture
def file(dataset: Path) -> DatasetFile:
    return next(file for file in scan(dataset) if file.key == "0/c/0/0/0")


def files_below(share: Path) -> list[Path]:
    return [path for path in share.rglob("*") if path.is_file()]


def test_file_is_not_sent_below_the_mount_point(
    copy: StoreCopy, file: DatasetFile, share: Path
) -> None:
    unmount(share)
    (share / "copy").mkdir()
    with pytest.raises(OSError, match="the share was unmounted"):
        copy.send(file)
    assert not files_below(share)
    assert copy.has_changed(file)


def test_file_that_was_sent_below_the_mount_point_is_removed(
    copy: StoreCopy, file: DatasetFile, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share is unmounted after the check and before the file is written."""
    assert copy.folder is not None
    check = copy.folder.check

    def check_and_unmount() -> None:
        check()
        unmount(share)

    monkeypatch.setattr(copy.folder, "check", check_and_unmount)
    with pytest.raises(OSError, match="the share was unmounted"):
        copy.send(file)
    assert not files_below(share)
    assert copy.has_changed(file)


def test_file_below_the_mount_point_proves_nothing(
    copy: StoreCopy, file: DatasetFile, share: Path
) -> None:
    """Even if it has the right content."""
    copy.send(file)
    expected = copy.sent_checksum(file, in_this_call=True)
    assert expected is not None
    assert copy.problem(file.key, file.size, expected, read_back=True) is None
    unmount(share)
    twin = share / "copy" / file.key
    twin.parent.mkdir(parents=True)
    twin.write_bytes(file.path.read_bytes())
    with pytest.raises(OSError, match="the share was unmounted"):
        copy.problem(file.key, file.size, expected, read_back=True)
    with pytest.raises(UploadError, match="has vanished"):
        copy.claim()


def test_share_that_is_mounted_again_has_another_device_number(
    copy: StoreCopy, file: DatasetFile, share: Path
) -> None:
    """As network shares do; it is recognized by the claim."""
    assert copy.folder is not None
    before, claim = copy.folder.device, next((share / "copy").iterdir())
    content = claim.read_bytes()
    mount(share)  # above the first one, whose number is not used again
    claim.parent.mkdir()
    claim.write_bytes(content)
    with pytest.raises(OSError, match="mounted again"):
        copy.send(file)
    copy.claim()
    assert copy.folder.device not in (None, before)
    assert copy.send(file)
    assert (share / "copy" / file.key).read_bytes() == file.path.read_bytes()
