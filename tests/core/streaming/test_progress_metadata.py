"""Progress of an acquisition in the metadata on disk."""

from __future__ import annotations

import itertools
import json
import os
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from ome_types import from_xml

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    OmeTiffFormat,
    Plate,
    Position,
    create_stream,
    dims_from_standard_axes,
)
from ome_writers.formats.omezarr import MAX_WINDOW_UPDATES
from ome_writers.repair import repair
from ome_writers_tools.cli import main
from ome_writers_tools.cli.commands.watch import DatasetMonitor
from support.preloaded import run_python

zarr = pytest.importorskip(
    "zarr", minversion="3", reason="the independent reader needs zarr 3 (Python 3.11)"
)

KILLED = """
import os, signal, sys
import numpy as np
from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes
dims = dims_from_standard_axes({"t": 20, "y": 8, "x": 8})
stream = create_stream(AcquisitionSettings(root_path=sys.argv[1], dimensions=dims, dtype="uint16"))
for number in range(7):
    stream.append(np.full((8, 8), 100 + number, "uint16"))
stream.flush()
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""
FORMATS = ["x.ome.zarr", "x.ome.tiff"]


def settings(path: Path, sizes: dict[str, Any], **more: Any) -> AcquisitionSettings:
    """Return settings without periodic flushes."""
    dimensions = dims_from_standard_axes({**sizes, "y": 8, "x": 8})
    more = {"dtype": "uint16", "flush_interval": 3600, "dimensions": dimensions, **more}
    return AcquisitionSettings(root_path=path, **more)


def frame(value: int) -> np.ndarray[Any, Any]:
    """Return a frame of one value, with another one in a corner that is sampled."""
    pixels = np.full((8, 8), value, np.uint16)
    pixels[0, 0] = 50
    return pixels


def facts(path: Path) -> dict[str, Any]:
    """Return status, frames and time, as zarr-python or tifffile and ome-types read them."""
    if path.suffix == ".zarr":
        found: Any = zarr.open_group(path, mode="r").attrs["ome_writers"]
        return {"status": found["status"], "updated": found.get("updated"), **found["frames"]}
    with tifffile.TiffFile(path) as tiff:
        annotations = from_xml(tiff.ome_metadata or "").structured_annotations.comment_annotations
    (own,) = (a for a in annotations if a.namespace == "ome_writers")
    annotation = json.loads(own.value)
    counts = {"expected": annotation["frames_expected"], "written": annotation["frames_written"]}
    return {"status": annotation["status"], "updated": annotation["updated"], **counts}


def windows(path: Path) -> list[tuple[float, float]]:
    """Return the display windows of an image, as zarr-python reads them."""
    ome: Any = zarr.open_group(path, mode="r").attrs["ome"]
    return [(c["window"]["start"], c["window"]["end"]) for c in ome["omero"]["channels"]]


def stamps(root: Path) -> dict[Path, tuple[int, int]]:
    """Return modification time and inode of every file."""
    found = {path: path.stat() for path in root.rglob("zarr.json")}
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}


@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_flush_writes_frame_count_and_time(name: str, unbounded: bool, tmp_path: Path) -> None:
    path = tmp_path / name
    with create_stream(settings(path, {"t": None if unbounded else 20})) as stream:
        for written in (0, 7, 9):
            while stream.stats().frames_accepted < written:
                stream.append(frame(200))
            before = datetime.now(timezone.utc)
            stream.flush()
            found = facts(path)
            expected = None if unbounded else 20
            assert (found["status"], found["written"]) == ("writing", written)
            assert found["expected"] == expected
            if written:
                updated = datetime.fromisoformat(found["updated"].replace("Z", "+00:00"))
                assert abs((updated - before).total_seconds()) < 30
    assert facts(path)["written"] == 9


@pytest.mark.parametrize("mode", ["redundant", "master-tiff", "companion-file"])
def test_info_of_any_file_of_a_set_shows_frame_count(
    mode: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiff = OmeTiffFormat(multi_file_metadata=mode)
    made = settings(tmp_path / "x.ome.tiff", {"t": 4, "p": ["a", "b", "c"]}, format=tiff)
    with create_stream(made) as stream:
        for _ in range(5):
            stream.append(frame(200))
        stream.flush()
        files = [tmp_path / "x", *sorted((tmp_path / "x").glob("*.tiff"))]
        assert len(files) == 4
        for file in files:
            assert main(["info", str(file), "--json"]) == 0
            assert json.loads(capsys.readouterr().out)["frames_written"] == 5
        with tifffile.TiffFile(files[1]) as opened:  # it does not follow companion files
            assert len(opened.series) == (1 if mode == "companion-file" else 3)


@pytest.mark.parametrize("name", FORMATS)
def test_info_of_killed_dataset_shows_frame_count(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It shows "7 of 20", and has a display range, before any repair."""
    path = tmp_path / name
    run_python(["-c", KILLED, str(path)])
    assert main(["info", str(path)]) == 0
    assert "7 of 20" in capsys.readouterr().out
    if path.is_dir():
        assert windows(path) == [(100, 104)]  # frames 0, 1, 2 and 4 are sampled
    repair(path)
    assert facts(path)["written"] == 7


def test_flush_without_new_frames_writes_no_metadata(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    with create_stream(settings(path, {"t": 4, "p": ["a", "b"]})) as stream:
        for value in (100, 150, 200):
            stream.append(frame(value))
        stream.flush()
        first = stamps(path)
        stream.flush()
        assert stamps(path) == first
        stream.append(frame(300))
        stream.flush()
        second = stamps(path)
        assert {p for p in second if second[p] != first[p]} == {
            path / "zarr.json",
            path / "1/zarr.json",
        }


def test_flush_of_many_positions_writes_few_files(tmp_path: Path) -> None:
    """With 96 wells: the root, and the display ranges of a few images."""
    plate = Plate.from_standard_wells(96)
    names = itertools.product(plate.row_names, plate.column_names)
    coords = [Position(name="f", plate_row=row, plate_column=column) for row, column in names]
    frames = [Dimension(name="p", coords=coords), Dimension(name="c", count=1)]
    dimensions = [Dimension(name="t", count=3), *frames, *dims_from_standard_axes({"y": 8, "x": 8})]
    path = tmp_path / "x.ome.zarr"
    with create_stream(settings(path, {}, dimensions=dimensions, plate=plate)) as stream:
        before = stamps(path)
        for _ in range(3):
            for _ in range(20):
                stream.append(frame(200))
            stream.flush()
            after = stamps(path)
            changed = {p for p in after if after[p] != before[p]}
            assert path / "zarr.json" in changed
            assert len(changed) <= 1 + MAX_WINDOW_UPDATES
            before = after
    assert windows(path / "A/1/f") == windows(path / "H/12/f") == [(50, 200)]


def test_display_window_is_updated_by_flush(tmp_path: Path) -> None:
    """By the first flush with data, then when the range has grown by half."""
    path = tmp_path / "x.ome.zarr"
    with create_stream(settings(path, {"t": 40, "c": 2})) as stream:
        assert windows(path) == [(0, 65535)] * 2
        found = []
        for value in (150, 180, 250, 250, 1050):
            stream.append(frame(value))
            stream.append(frame(100))
            stream.flush()
            found.append(windows(path))
        assert found == [
            [(50, 150), (50, 100)], [(50, 150), (50, 100)], *[[(50, 250), (50, 100)]] * 2, [(50, 1050), (50, 100)]
        ]  # fmt: skip
        for value in (1100, 100, 1100, 100, 1100):
            stream.append(frame(value))
    assert windows(path) == [(50, 1100), (50, 100)]  # the whole range, once it is complete


def test_display_window_of_update_metadata_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    with create_stream(settings(path, {"t": 40})) as stream:
        metadata = stream.get_metadata()
        mine = {"min": 0, "max": 4095, "start": 10, "end": 20}
        metadata["."]["ome"]["omero"]["channels"][0]["window"] = mine
        stream.update_metadata(metadata)
        stream.append(frame(200))
        stream.flush()
        assert windows(path) == [(10, 20)]
    assert windows(path) == [(10, 20)]


def test_open_during_acquisition_has_flushed_shape(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    with create_stream(settings(path, {"t": 5, "c": 2})) as stream:
        view = ome_writers.open(path)
        shapes = []
        for _ in range(5):
            stream.append(frame(200))
            stream.append(frame(300))
            stream.flush()
            shapes.append(view.shape)
        assert shapes == [(t, 2, 8, 8) for t in range(1, 6)]
        assert view[3, 1, 5, 5] == 300
    assert view.shape == (5, 2, 8, 8)


def test_summary_of_growing_tiff_shows_frame_count(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.tiff"
    for count in (20, None):
        with create_stream(settings(path, {"t": count}, overwrite=True)) as stream:
            view = ome_writers.open(path)
            for written in (1, 2, 3):
                stream.append(frame(200))
                stream.flush()
                assert (view.summary().state, view.summary().frames) == ("writing", written)
                assert view.shape == (count or written, 8, 8)


def test_failed_metadata_write_in_flush_is_retried(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    with create_stream(settings(path, {"t": 4})) as stream:
        stream.append(frame(200))
        document = path / "zarr.json"
        document.rename(tmp_path / "kept.json")
        document.mkdir()  # nothing can be renamed over a folder
        stream.flush()
        document.rmdir()
        os.replace(tmp_path / "kept.json", document)
        assert facts(path)["written"] == 0
        stream.flush()
        assert facts(path)["written"] == 1
    assert facts(path) | {"updated": ""} == {
        "status": "cancelled", "updated": "", "expected": 4, "written": 1, "in_order": 1
    }  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_watch_estimates_remaining_time(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    monitor = DatasetMonitor(time.monotonic())
    with create_stream(settings(path, {"t": 100})) as stream:
        stream.append(frame(200))
        stream.flush()
        assert "time left" not in monitor.poll(path)[1]
        time.sleep(0.5)
        for _ in range(9):
            stream.append(frame(200))
        stream.flush()
        shown = monitor.poll(path)[1]
    assert shown["frames"] == "10 of 100"
    speed = float(shown["speed"].split()[0])
    assert 0.2 < speed < 18  # 9 frames in half a second or more
    hours, minutes, seconds = map(int, shown["time left"].removeprefix("about ").split(":"))
    assert hours * 3600 + minutes * 60 + seconds == pytest.approx(90 / speed, rel=0.2, abs=1)


def test_watch_counts_bytes_less_often_than_it_reads_progress(tmp_path: Path) -> None:
    """Counting visits every file: with a file per frame, it would slow down the acquisition."""
    path = tmp_path / "run.ome.zarr"
    monitor = DatasetMonitor(time.monotonic())
    with create_stream(settings(path, {"t": 100})) as stream:
        stream.append(frame(200))
        stream.flush()
        monitor.poll(path)
        counted, monitor.next_count_s = monitor.bytes_on_disk, time.monotonic() + 60
        stream.append(frame(200))
        stream.flush()
        assert monitor.poll(path)[1]["frames"] == "2 of 100"
        assert monitor.bytes_on_disk == counted > 0
    monitor.poll(path)  # the dataset is complete: its size is final
    assert monitor.bytes_on_disk > counted
