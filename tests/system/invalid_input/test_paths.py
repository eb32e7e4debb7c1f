"""Invalid output paths: an error with the path and the reason, without changes on disk."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from ome_writers import (
    Dimension,
    OutputExistsError,
    SettingsError,
    UnsupportedError,
    WriteError,
    create_stream,
)
from ome_writers.storage import ENGINES
from support.dataset_readers import read_images
from support.links import create_link
from system.invalid_input.cases import INSTALLED, SUFFIXES, contents, frame, refusal, settings

if sys.platform == "win32":
    from ome_writers.windows_api import are_long_paths_enabled

pytestmark = pytest.mark.parametrize("engine", INSTALLED)
IS_ROOT = getattr(os, "geteuid", lambda: 1)() == 0


def check_refused(
    path: Path | str, folder: Path, engine: str, error: type[Exception], message: str
) -> None:
    """Create a stream at `path`, with and without overwrite, and check that nothing changes in `folder`."""
    before = contents(folder)
    for overwrite in (False, True):
        with refusal(error, match=message):
            create_stream(settings(folder, engine, root_path=path, overwrite=overwrite))
        assert contents(folder) == before


def in_code_page(name: str) -> bool:
    """Return whether the ANSI functions of Windows can open a file of this name; True on other platforms."""
    try:
        return sys.platform != "win32" or bool(name.encode("mbcs"))
    except UnicodeEncodeError:
        return False


def test_path_below_a_file(tmp_path: Path, engine: str) -> None:
    (tmp_path / "diary").write_text("unrelated")
    path = tmp_path / "diary" / "deeper" / f"run{SUFFIXES[ENGINES[engine].format]}"
    check_refused(
        path, tmp_path, engine, WriteError, r"diary.*could not be created: \w+Error.*root_path"
    )


def test_existing_foreign_path(tmp_path: Path, engine: str) -> None:
    """Files and directories of other programs are refused even with overwrite=True."""
    suffix = SUFFIXES[ENGINES[engine].format]
    (tmp_path / f"file{suffix}").write_text("unrelated")
    (tmp_path / f"folder{suffix}").mkdir()
    (tmp_path / f"folder{suffix}" / "photograph.jpg").write_bytes(b"\xff\xd8")
    (tmp_path / f"empty{suffix}").mkdir()
    for name in ("file", "folder", "empty"):
        check_refused(tmp_path / f"{name}{suffix}", tmp_path, engine, OutputExistsError, "exists")


def test_existing_dangling_link(tmp_path: Path, engine: str) -> None:
    path = tmp_path / f"dangling{SUFFIXES[ENGINES[engine].format]}"
    create_link(path, tmp_path / "nowhere", "overwrite=True keeps dangling links")
    check_refused(path, tmp_path, engine, OutputExistsError, "exists")


def test_path_too_long(tmp_path: Path, engine: str) -> None:
    """Paths of 4,096 characters and names of 300: no parent directory is created."""
    suffix = SUFFIXES[ENGINES[engine].format]
    error, reason = WriteError, "could not be created"
    if sys.platform == "win32" and not are_long_paths_enabled():
        error, reason = SettingsError, "long paths are not enabled"
    for path in (tmp_path / ("x" * 300 + suffix), f"{tmp_path}{'/deeper' * 600}/run{suffix}"):
        check_refused(path, tmp_path, engine, error, reason)


@pytest.mark.skipif(
    sys.platform == "win32" and not are_long_paths_enabled(),
    reason="names of 255 characters: Windows needs a setting for paths of 260 characters",
)
def test_longest_valid_name(tmp_path: Path, engine: str) -> None:
    """The name leaves room for `.NAME.jsonl` beside a TIFF."""
    suffix = SUFFIXES[ENGINES[engine].format]
    length = 255 - len(
        "..jsonl" if suffix == ".ome.tiff" else ""
    )  # a directory contains its journals
    path = tmp_path / ("x" * (length - len(suffix)) + suffix)
    for overwrite in (False, True):
        with create_stream(settings(tmp_path, engine, root_path=path, overwrite=overwrite)) as s:
            for number in range(3):
                s.append(frame(number + overwrite))
        assert list(tmp_path.iterdir()) == [path]
        read = read_images(s.plan, [s.plan.images[0].array.shape])[0]
        assert np.array_equal(read, [frame(n + overwrite) for n in range(3)])


@pytest.mark.skipif(
    sys.platform == "win32",
    reason="NUL and surrogates in paths: Windows has other rules",
)
def test_path_with_nul_or_surrogate(tmp_path: Path, engine: str) -> None:
    suffix = SUFFIXES[ENGINES[engine].format]
    for name in ("a\0b", "a\ud800b"):
        path = f"{tmp_path}/{name}{suffix}"
        check_refused(
            path, tmp_path, engine, SettingsError, "root_path .* cannot be the name of a file"
        )


@pytest.mark.skipif(
    sys.platform == "win32" or IS_ROOT,
    reason="a folder without write permission: root may write to it, and Windows has no such mode",
)
def test_directory_without_permission(tmp_path: Path, engine: str) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    path = closed / f"run{SUFFIXES[ENGINES[engine].format]}"
    check_refused(path, tmp_path, engine, WriteError, "(?i)permission")


@pytest.mark.parametrize(
    "name", ["🔬 and more", "über", "trail. ", "..", "a'b\"c", "CON", "%20", "#?&"]
)
def test_unusual_valid_name(tmp_path: Path, engine: str, name: str) -> None:
    """The name is used unchanged, and nothing is created beside it."""
    suffix = SUFFIXES[ENGINES[engine].format]
    if name + suffix == "..":
        check_refused(tmp_path / "inner" / name, tmp_path, engine, OutputExistsError, "exists")
        return
    path = tmp_path / f"{name}{suffix}"
    if sys.platform == "win32" and (name in ("CON", "#?&", "a'b\"c") or path.name[-1] in ". "):
        pytest.skip(f"the name {path.name!r} is used unchanged: Windows does not have it")
    if ENGINES[engine].ansi_paths and not in_code_page(name):
        check_refused(path, tmp_path, engine, UnsupportedError, f"{engine}: .*code page")
        return
    with create_stream(settings(tmp_path, engine, root_path=path)) as stream:
        for number in range(3):
            stream.append(frame(number))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    read = read_images(stream.plan, [stream.plan.images[0].array.shape])[0]
    assert np.array_equal(read, [frame(n) for n in range(3)])


@pytest.mark.parametrize("parent", ["", "Jürgen"])
def test_path_outside_ascii_with_two_positions(tmp_path: Path, engine: str, parent: str) -> None:
    """Every position is written to the same folder; acquire-zarr created another one on Windows."""
    (tmp_path / parent).mkdir(exist_ok=True)
    path = tmp_path / parent / f"über{SUFFIXES[ENGINES[engine].format]}"
    axes = (Dimension(name="p", type="position", coords=["a", "b"]), Dimension(name="t", count=2))
    if ENGINES[engine].ansi_paths and not in_code_page("ü"):
        asked = settings(tmp_path, engine, *axes, root_path=path)
        with refusal(UnsupportedError, match=f"{engine}: .*code page"):
            create_stream(asked)
        return
    with create_stream(settings(tmp_path, engine, *axes, root_path=path)) as stream:
        for number in range(4):
            stream.append(frame(number))
    assert all(p.name.startswith("über") for p in (tmp_path / parent).iterdir())
    first, second = read_images(stream.plan, [image.array.shape for image in stream.plan.images])
    assert np.array_equal([*first, *second], [frame(n) for n in range(4)])


@pytest.mark.skipif(
    sys.platform != "win32",
    reason="refusal of names that Windows cannot store: valid on other platforms",
)
@pytest.mark.parametrize("name", ["NUL", "con", "a:b", "what?", "a|b", "..\\x. \\run"])
def test_name_that_windows_cannot_store(tmp_path: Path, engine: str, name: str) -> None:
    """Windows would discard the frames, or store them in a hidden stream."""
    path = f"{tmp_path}\\inner\\{name}{SUFFIXES[ENGINES[engine].format]}"
    check_refused(
        path, tmp_path, engine, SettingsError, "cannot be used on Windows.*Choose another"
    )


def test_name_that_differs_in_case(tmp_path: Path, engine: str) -> None:
    """Windows and macOS do not distinguish the names: the first dataset is kept."""
    (tmp_path / "probe").touch()
    if not (tmp_path / "PROBE").exists():
        pytest.skip("names that differ in case: the file system distinguishes them")
    suffix = SUFFIXES[ENGINES[engine].format]
    with create_stream(settings(tmp_path, engine, root_path=tmp_path / f"run{suffix}")) as stream:
        for overwrite in (False, True):
            again = settings(
                tmp_path, engine, root_path=tmp_path / f"RUN{suffix}", overwrite=overwrite
            )
            with pytest.raises(OSError, match="RUN.*(exists|being written)"):
                create_stream(again)
        for number in range(3):
            stream.append(frame(number))
    read = read_images(stream.plan, [stream.plan.images[0].array.shape])[0]
    assert np.array_equal(read, [frame(n) for n in range(3)])
