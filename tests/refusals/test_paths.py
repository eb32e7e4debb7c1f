"""Output paths that cannot be: an error that names the path and the reason, and a disk as it was."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ome_writers import OutputExistsError, SettingsError, WriteError, create_stream
from ome_writers.storage import ENGINES
from refusals.bad import READY, SUFFIXES, contents, frame, refusal, settings
from support.dataset_readers import read_images

pytestmark = pytest.mark.parametrize("engine", READY)
ROOT = getattr(os, "geteuid", lambda: 1)() == 0


def refused(
    path: Path | str, folder: Path, engine: str, error: type[Exception], words: str
) -> None:
    """Ask for a stream at `path`, with and without overwriting, and look that nothing has changed."""
    before = contents(folder)
    for overwrite in (False, True):
        with refusal(error, match=words):
            create_stream(settings(folder, engine, root_path=path, overwrite=overwrite))
        assert contents(folder) == before


def test_a_path_below_a_file(tmp_path: Path, engine: str) -> None:
    """A path that leads through a file is refused with the path and the reason; the file stays."""
    (tmp_path / "diary").write_text("of mine")
    path = tmp_path / "diary" / "deeper" / f"run{SUFFIXES[ENGINES[engine].format]}"
    refused(path, tmp_path, engine, WriteError, r"diary.*could not be created: \w+Error.*root_path")


def test_a_path_that_is_taken(tmp_path: Path, engine: str) -> None:
    """A file, a folder or a link that is somebody else's is refused, also with overwrite=True."""
    suffix = SUFFIXES[ENGINES[engine].format]
    (tmp_path / f"file{suffix}").write_text("of mine")
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"folder{suffix}" / "photograph.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / f"empty{suffix}").mkdir()
    for name in ("file", "folder", "empty"):
        refused(tmp_path / f"{name}{suffix}", tmp_path, engine, OutputExistsError, "exists")
    if sys.platform != "win32":
        (tmp_path / f"dangling{suffix}").symlink_to(tmp_path / "nowhere")
        refused(tmp_path / f"dangling{suffix}", tmp_path, engine, OutputExistsError, "exists")


def test_a_path_that_is_too_long(tmp_path: Path, engine: str) -> None:
    """A path of 4,096 characters, or with a name of 300, is refused; no part of it is made."""
    suffix = SUFFIXES[ENGINES[engine].format]
    for path in (tmp_path / ("x" * 300 + suffix), f"{tmp_path}{'/deeper' * 600}/run{suffix}"):
        refused(path, tmp_path, engine, WriteError, "could not be created")


@pytest.mark.skipif(sys.platform == "win32", reason="paths of 260 characters need a setting there")
def test_longest_legal_name(tmp_path: Path, engine: str) -> None:
    """The longest name that allows for `.NAME.jsonl` beside a TIFF is written, and overwritten."""
    suffix = SUFFIXES[ENGINES[engine].format]
    length = 255 - len("..jsonl" if suffix == ".ome.tiff" else "")  # a folder has its files inside
    path = tmp_path / ("x" * (length - len(suffix)) + suffix)
    for overwrite in (False, True):
        with create_stream(settings(tmp_path, engine, root_path=path, overwrite=overwrite)) as s:
            for number in range(3):
                s.append(frame(number + overwrite))
        assert list(tmp_path.iterdir()) == [path]
        read = read_images(s.plan, [s.plan.images[0].array.shape])[0]
        assert np.array_equal(read, [frame(n + overwrite) for n in range(3)])


@pytest.mark.skipif(sys.platform == "win32", reason="other names are impossible there")
def test_a_path_that_no_file_system_has(tmp_path: Path, engine: str) -> None:
    """A path with a NUL, or with half a character, is refused as such."""
    suffix = SUFFIXES[ENGINES[engine].format]
    for name in ("a\0b", "a\ud800b"):
        path = f"{tmp_path}/{name}{suffix}"
        refused(path, tmp_path, engine, SettingsError, "root_path .* cannot be the name of a file")


@pytest.mark.skipif(sys.platform == "win32" or ROOT, reason="every folder lets root in")
def test_a_folder_without_permission(tmp_path: Path, engine: str) -> None:
    """A folder that one may not write into is refused with the reason."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    path = closed / f"run{SUFFIXES[ENGINES[engine].format]}"
    refused(path, tmp_path, engine, WriteError, "(?i)permission")


@pytest.mark.parametrize("name", ["🔬 and more", "trail. ", "..", "a'b\"c", "CON", "%20", "#?&"])
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has fewer names")
def test_an_unusual_name_is_a_name(tmp_path: Path, engine: str, name: str) -> None:
    """A legal file name is used as it is, whatever characters it has, and nothing is made beside it."""
    suffix = SUFFIXES[ENGINES[engine].format]
    if name + suffix == "..":
        refused(tmp_path / "inner" / name, tmp_path, engine, OutputExistsError, "exists")
        return
    path = tmp_path / f"{name}{suffix}"
    with create_stream(settings(tmp_path, engine, root_path=path)) as stream:
        for number in range(3):
            stream.append(frame(number))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    read = read_images(stream.plan, [stream.plan.images[0].array.shape])[0]
    assert np.array_equal(read, [frame(n) for n in range(3)])
