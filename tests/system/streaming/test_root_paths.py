"""Relative, unusual and non-UTF-8 root paths, with every engine."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    UnsupportedError,
    WriteError,
    create_stream,
    dims_from_standard_axes,
    read_frame_metadata,
)
from ome_writers import open as open_dataset
from ome_writers.storage import ENGINES
from support.sweeps import swept

SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff", "scratch": ""}
READY = [row.name for row in ENGINES.values() if row.missing_requirement() is None]
OURS = ("direct", "tifffile", "scratch")
AXES = {"t": 6, "y": 32, "x": 32}


def settings(path: str | Path, engine: str, **more: Any) -> AcquisitionSettings:
    """Return settings of an engine."""
    fields = {
        "dimensions": dims_from_standard_axes(AXES),
        "dtype": "uint16",
        "format": engine,
        **more,
    }
    return AcquisitionSettings(root_path=path, **fields)


def names(folder: Path) -> set[str]:
    """Return the names in a folder."""
    return {p.name for p in folder.iterdir()}


@pytest.mark.parametrize(
    "case",
    swept(
        [(engine, positions) for engine in READY for positions in (1, 2)],
        lambda case: case[0] in OURS or case[1] == 1 + READY.index(case[0]) % 2,
        lambda case: f"{case[0]}-{case[1]}",
    ),
)
def test_chdir_does_not_move_the_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: tuple[str, int]
) -> None:
    engine, positions = case
    start, other = tmp_path / "start", tmp_path / "other"
    start.mkdir()
    other.mkdir()
    monkeypatch.chdir(start)
    axes = dims_from_standard_axes({"p": 2, **AXES} if positions == 2 else AXES)
    path = f"run{SUFFIXES[ENGINES[engine].format]}"
    stream = create_stream(settings(path, engine, dimensions=axes))
    asked = stream.settings.output_path
    assert not os.path.isabs(asked)
    os.chdir(other)
    view = stream.view()
    for number in range(6 * positions):
        frame = np.full((32, 32), number + 1, "uint16")
        stream.append(frame, frame_metadata={"number": number})
        if number == 3:
            stream.flush()
    stream.set_global_metadata("lab", {"room": 7})
    stream.close()
    shown = np.asarray(view)
    if engine != "scratch":
        stream.update_metadata(stream.get_metadata())
        output = start / asked
        stored = np.asarray(open_dataset(output)).reshape(-1, 32, 32)
        assert stored[:, 0, 0].tolist() == list(range(1, 6 * positions + 1))
        assert len(read_frame_metadata(output)) == 6 * positions
    assert (shown.reshape(-1, 32, 32)[:, 0, 0] == np.arange(1, 6 * positions + 1)).all()
    del stream, view, shown
    gc.collect()
    assert names(other) == set()
    assert names(start) == {asked, path}  # of a set, `path` is the entry file


def test_restart_after_chdir_keeps_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = settings("run.ome.zarr", "direct", dtype="uint8")
    with create_stream(asked) as stream:
        os.chdir(tmp_path / "other")
        for _ in range(6):
            stream.append(np.ones((32, 32, 3), "uint8"))
    assert names(tmp_path / "other") == set()
    assert names(tmp_path) == {"other", "run.ome.zarr"}
    assert np.asarray(open_dataset(tmp_path / "run.ome.zarr")).all()


@pytest.mark.parametrize("engine", READY)
def test_root_path_with_parent_folder_and_symlink(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.chdir(tmp_path)
    suffix = SUFFIXES[ENGINES[engine].format]
    (tmp_path / "real" / "inner").mkdir(parents=True)
    paths = {f"missing/../a{suffix}": tmp_path / f"a{suffix}"}
    if os.name != "nt":
        (tmp_path / "link").symlink_to(tmp_path / "real" / "inner")
        paths[f"link/../b{suffix}"] = tmp_path / "real" / f"b{suffix}"
    for path, expected in paths.items():
        for overwrite in (False, True):
            with create_stream(settings(path, engine, overwrite=overwrite)) as stream:
                for number in range(6):
                    stream.append(np.full((32, 32), number + 1, "uint16"))
            assert os.path.lexists(expected)
    assert names(tmp_path) - {"link"} == {f"a{suffix}", "real"}
    assert names(tmp_path / "real" / "inner") == set()


@pytest.mark.skipif(
    os.name == "nt" or sys.platform == "darwin",
    reason="paths that are not Unicode: Windows and macOS have none",
)
@pytest.mark.parametrize("engine", READY)
def test_root_path_that_is_not_utf8_per_engine(tmp_path: Path, engine: str) -> None:
    """An engine writes it, or raises an error with its name; ``auto`` selects one that can."""
    name = os.fsdecode(b"caf\xe9" + SUFFIXES[ENGINES[engine].format].encode())
    asked = settings(tmp_path / name, engine)
    if not ENGINES[engine].any_path:
        with pytest.raises(UnsupportedError, match=f"{engine}.*valid UTF-8"):
            create_stream(asked)
        assert names(tmp_path) == set()
        asked = settings(tmp_path / name, "ome-zarr")
    with create_stream(asked) as stream:
        for number in range(6):
            stream.append(np.full((32, 32), number + 1, "uint16"))
    assert names(tmp_path) == {name}


@pytest.mark.thread_writer  # there is no memory to share with another process
@pytest.mark.skipif("acquire-zarr" not in READY, reason="acquire-zarr is not installed")
def test_error_of_library_at_creation_is_write_error(tmp_path: Path) -> None:
    count = 2**31 - 1
    huge = dims_from_standard_axes(dict.fromkeys("tzyx", count))
    with pytest.raises(
        WriteError, match=r"acquire-zarr could not create .*run\.ome\.zarr: RuntimeError"
    ):
        create_stream(settings(tmp_path / "run.ome.zarr", "acquire-zarr", dimensions=huge))
    assert names(tmp_path) == set()


@pytest.mark.skipif(os.name == "nt", reason="a removed working folder: Windows does not remove it")
def test_removed_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative root_path raises; an absolute one works."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(WriteError, match="is relative, and the working folder does not exist"):
        create_stream(settings("run.ome.zarr", "direct"))
    with create_stream(settings(tmp_path / "run.ome.zarr", "direct")) as stream:
        stream.append(np.ones((32, 32), "uint16"))
    monkeypatch.chdir(tmp_path)
    assert names(tmp_path) == {"run.ome.zarr"}
