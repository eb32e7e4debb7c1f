"""Datasets whose writer was killed, and what repair makes of them."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    Dimension,
    OutputLockedError,
    UnsupportedError,
    convert,
    create_stream,
    validate,
)
from ome_writers.repair import Repair, repair
from ome_writers.repair.omezarr import plan_of
from ome_writers.storage import ENGINES
from ome_writers.storage.lock_file import lock_content
from ome_writers.storage.zarr.array_metadata import BLOSC
from support.acquisitions import IMAGES, LAYOUTS, acquisition

CHILD = """
import json, os, signal, sys
import numpy as np
from ome_writers import AcquisitionSettings, create_stream
settings, flushed, appended = json.load(sys.stdin)
stream = create_stream(AcquisitionSettings.model_validate(settings))
for i in range(appended):
    stream.append(np.full((4, 6), i + 1, "uint16"), frame_metadata={"delta_t": i / 4})
    if i + 1 == flushed:
        stream.flush()
os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
"""


def killed(settings: Any, flushed: int, appended: int) -> Path:
    """Write frames in a process that kills itself; return the dataset it leaves."""
    settings = settings.model_copy(update={"flush_interval": 3600.0})
    told = json.dumps([settings.model_dump(mode="json"), flushed, appended])
    done = subprocess.run(
        [sys.executable, "-c", CHILD], input=told, text=True, capture_output=True, timeout=60
    )
    assert done.returncode in (-getattr(signal, "SIGKILL", 9), 1, 15), done.stderr
    return Path(settings.output_path)


def unbounded(path: Path, *, chunk: int = 1, shard: int | None = None, **more: Any) -> Any:
    """Return settings for a time-lapse of two channels without an end."""
    time = Dimension(name="t", count=None, chunk_size=chunk, shard_size_chunks=shard)
    return acquisition(
        "single", path, dimensions=[time, *acquisition("single").dimensions[1:]], **more
    )


def pixels(array: Path) -> np.ndarray:
    """Return an array as tensorstore reads it."""
    tensorstore = pytest.importorskip("tensorstore")
    kvstore = {"driver": "file", "path": f"{array.as_posix()}/"}
    opened = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True).result()
    return np.asarray(opened.read().result())


def said(path: Path, group: str = "") -> dict[str, Any]:
    """Return what a group says in ome_writers."""
    document = json.loads((path / group / "zarr.json").read_text(encoding="utf-8"))
    found: dict[str, Any] = document["attributes"]["ome_writers"]
    return found


def state(path: Path) -> dict[str, str]:
    """Return a checksum of every file below a folder."""
    files = [f for f in sorted(path.rglob("*")) if f.is_file()]
    return {str(f.relative_to(path)): hashlib.md5(f.read_bytes()).hexdigest() for f in files}


def repaired(path: Path) -> Repair:
    """Repair, after a dry run that changes nothing and says the same, and before one that finds nothing."""
    before = state(path)
    planned = repair(path, dry_run=True)
    assert state(path) == before
    made = repair(path)
    assert [(f.path, f.what) for f in planned.findings] == [(f.path, f.what) for f in made.findings]
    assert not made.unsolved
    after = state(path)
    assert repair(path).findings == ()
    assert state(path) == after
    assert not any(name.startswith(".") for f in after for name in Path(f).parts)
    return made


CODECS = ["none", "blosc-zstd"]
SHAPES = {"files": (1, None), "shards": (1, 4), "thick": (3, None), "thick shards": (2, 3)}


@pytest.mark.parametrize("compression", CODECS)
@pytest.mark.parametrize("kind", SHAPES)
def test_a_killed_time_lapse_becomes_tidy(kind: str, compression: str, tmp_path: Path) -> None:
    """All frames older than the last flush are there with their metadata, and the shape says so."""
    chunk, shard = SHAPES[kind]
    path = killed(
        unbounded(tmp_path / "a.ome.zarr", chunk=chunk, shard=shard, compression=compression),
        14,
        17,
    )
    before = pixels(path / "0")
    repaired(path)
    after = pixels(path / "0")
    assert 7 <= len(after) <= 9
    assert after[:7, :, 0, 0].ravel().tolist() == list(range(1, 15))
    np.testing.assert_array_equal(after[: len(before)], before)
    ours = said(path)
    assert ours["status"] == "failed"
    assert 14 <= ours["frames"]["written"] <= 17
    assert [f["delta_t"] for f in ours["frame_metadata"]] == [i / 4 for i in range(14)]
    assert not list(path.rglob("*.jsonl"))


def test_frames_after_the_last_flush_become_visible(tmp_path: Path) -> None:
    """Chunk files beyond the shape that was shown last are not given up: the shape grows to them."""
    path = killed(unbounded(tmp_path / "a.ome.zarr"), 6, 7)
    for channel in "01":  # as if two more frames had come to the disk, but no flush
        folder = path / "0" / "c" / "3" / channel / "0"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "0").write_bytes(np.full((4, 6), 50 + int(channel), "<u2").tobytes())
    repaired(path)
    assert pixels(path / "0")[:, :, 0, 0].tolist() == [[1, 2], [3, 4], [5, 6], [50, 51]]


def test_half_a_frame_does_not_become_visible(tmp_path: Path) -> None:
    """A frame beyond the last flush, of which only some chunks came to the disk, is not shown."""
    settings = unbounded(tmp_path / "a.ome.zarr")
    y = settings.dimensions[2].model_copy(update={"chunk_size": 2})
    settings.dimensions = [*settings.dimensions[:2], y, settings.dimensions[3]]
    path = killed(settings, 4, 4)
    folder = path / "0" / "c" / "2" / "0" / "1"
    folder.mkdir(parents=True)
    (folder / "0").write_bytes(np.ones((2, 6), "<u2").tobytes())
    repaired(path)
    assert validate(path).valid
    assert pixels(path / "0").shape == (2, 2, 4, 6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_killed_acquisition_of_any_layout_is_cut_and_valid(layout: str, tmp_path: Path) -> None:
    """What was never reached is cut off; a validator takes the result; every image has its metadata."""
    yaozarrs = pytest.importorskip("yaozarrs")
    count = len(IMAGES[layout])
    frames = 2 * count * 2  # two of three times
    path = killed(acquisition(layout, tmp_path / "a.ome.zarr"), frames, frames)
    repaired(path)
    os.environ["YAOZARRS_IGNORE_RISKY_FOV_NAMES"] = "1"  # name_row_column
    yaozarrs.validate_zarr_store(str(path))
    assert said(path)["frames"] == {"expected": 6 * count, "written": frames}
    for number, group in enumerate(IMAGES[layout]):
        first = 2 * number + 1
        wanted = [[first, first + 1], [first + 2 * count, first + 2 * count + 1]]
        assert pixels(path / group / "0")[:, :, 0, 0].tolist() == wanted
        assert len(said(path, group)["frame_metadata"]) == 4
        document = json.loads((path / group / "zarr.json").read_text())
        window = document["attributes"]["ome"]["omero"]["channels"][0]["window"]
        assert window["end"] == first + 2 * count
    if layout == "collection":
        assert (path / "OME" / "METADATA.ome.xml").read_text().count("<Plane ") == frames


def test_the_planned_shape_stays_when_that_was_asked_for(tmp_path: Path) -> None:
    """With on_incomplete="keep" nothing is cut off."""
    path = killed(acquisition("single", tmp_path / "a.ome.zarr", on_incomplete="keep"), 2, 2)
    repaired(path)
    assert pixels(path / "0").shape == (3, 2, 4, 6)


@pytest.mark.parametrize(("on_incomplete", "times"), [("keep", 3), ("trim", 2)])
def test_frames_that_an_array_with_an_end_does_not_show_become_visible(
    tmp_path: Path, on_incomplete: str, times: int
) -> None:
    """An array's document that says less than was written, as acquire-zarr's own may, is put right."""
    settings = acquisition("single", tmp_path / "a.ome.zarr", on_incomplete=on_incomplete)
    path = killed(settings, 4, 4)
    document = path / "0" / "zarr.json"
    said_there = json.loads(document.read_text())
    document.write_text(json.dumps({**said_there, "shape": [1, 2, 4, 6]}))
    repaired(path)
    shown = pixels(path / "0")
    assert shown.shape == (times, 2, 4, 6)
    assert shown[:2, :, 0, 0].tolist() == [[1, 2], [3, 4]]
    assert validate(path).valid


def test_a_dataset_killed_after_its_last_frame_is_complete(tmp_path: Path) -> None:
    """When every planned frame is on disk the status says complete."""
    path = killed(acquisition("single", tmp_path / "a.ome.zarr"), 6, 6)
    repaired(path)
    assert said(path)["status"] == "complete"
    assert pixels(path / "0")[:, :, 0, 0].tolist() == [[1, 2], [3, 4], [5, 6]]


def test_a_dataset_killed_before_its_first_frame_is_empty(tmp_path: Path) -> None:
    """Without any frame the array keeps one place, which reads as zeros."""
    path = killed(unbounded(tmp_path / "a.ome.zarr"), 0, 0)
    repaired(path)
    assert said(path)["frames"]["written"] == 0
    assert pixels(path / "0").shape == (1, 2, 4, 6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_closed_dataset_is_left_alone(layout: str, tmp_path: Path) -> None:
    """Repairing what was closed finds nothing."""
    settings = acquisition(layout, tmp_path / "a.ome.zarr")
    with create_stream(settings) as stream:
        stream.append(np.ones((4, 6), "uint16"), frame_metadata={"a": 1})
    assert repair(settings.output_path).findings == ()


@pytest.mark.parametrize("shard", [None, 2])
@pytest.mark.parametrize("engine", ["direct", "acquire-zarr"])
def test_blosc_at_another_level_is_repaired_and_converted(
    engine: str, shard: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Datasets that an earlier version compressed at level 3 are repaired, validated and converted."""
    if ENGINES[engine].missing_requirement():
        pytest.skip(f"{engine} is not installed")
    settings = acquisition(
        "single", tmp_path / "a.ome.zarr", format=engine, compression="blosc-zstd"
    )
    settings.dimensions[0].shard_size_chunks = shard
    path = tmp_path / "a.ome.zarr"
    with monkeypatch.context() as earlier:
        earlier.setitem(BLOSC, "blosc-zstd", ("zstd", 3))
        with create_stream(settings) as stream:
            for i in range(4):
                stream.append(np.full((4, 6), i + 1, "uint16"))
    assert '"clevel": 3' in (path / "0" / "zarr.json").read_text()
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome_writers"]["status"] = "writing"
    (path / "zarr.json").write_text(json.dumps(document))
    in_shards = engine == "acquire-zarr" or shard is not None
    assert (plan_of(path).images[0].array.shards is not None) == in_shards
    repaired(path)
    assert '"clevel": 3' in (path / "0" / "zarr.json").read_text()
    assert validate(path).valid
    copy = tmp_path / "copy.ome.zarr"
    convert(path, copy)
    for dataset in (path, copy):
        assert pixels(dataset / "0")[:, :, 0, 0].tolist() == [[1, 2], [3, 4]]


def test_a_large_journal_stays_and_loses_half_a_line(tmp_path: Path) -> None:
    """A journal over 1 MiB is pointed to; a line that the kill cut short is cut off."""
    path = killed(unbounded(tmp_path / "a.ome.zarr"), 4, 4)
    with (path / "frame_metadata.jsonl").open("ab") as file:
        for i in range(1200):
            file.write(b'{"storage_index":[1,1],"i":%d,"text":"%s"}\n' % (i, b"x" * 1000))
        file.write(b'{"storage_index":[1,1],"te')
    repaired(path)
    pointer = said(path)["frame_metadata"]
    assert pointer == {"journal": "frame_metadata.jsonl", "count": 1204}
    assert (path / "frame_metadata.jsonl").read_bytes().endswith(b"}\n")


@pytest.mark.parametrize("compression", CODECS)
def test_a_torn_index_is_rebuilt(compression: str, tmp_path: Path) -> None:
    """An index half of which is old, so that its checksum is wrong, becomes one that readers take."""
    settings = unbounded(tmp_path / "a.ome.zarr", shard=4, compression=compression)
    path = killed(settings, 6, 6)
    wanted = pixels(path / "0")
    shard = path / "0" / "c" / "0" / "0" / "0" / "0"
    content = bytearray(shard.read_bytes())
    content[-4 - 4 * 16 : -4 - 3 * 16] = struct.pack("<QQ", 2**63, 48)  # leads far out of the file
    shard.write_bytes(content)
    with pytest.raises(Exception, match="."):
        pixels(path / "0")
    found = repaired(path)
    assert any("torn index: rebuilt, 2 of 4 chunks" in f.what for f in found.findings)
    after = pixels(path / "0")
    assert not after[0, 0].any()
    wanted[0, 0] = 0
    np.testing.assert_array_equal(after, wanted)


def test_a_shard_that_nothing_is_known_of_is_left(tmp_path: Path) -> None:
    """A shard without any index is reported, not removed and not guessed at."""
    path = killed(unbounded(tmp_path / "a.ome.zarr", shard=4), 6, 6)
    shard = path / "0" / "c" / "0" / "0" / "0" / "0"
    shard.write_bytes(b"\0" * 300)
    found = repair(path)
    assert [f.path for f in found.unsolved] == [shard]
    assert shard.read_bytes() == b"\0" * 300


def test_a_crash_between_the_documents_is_made_up_for(tmp_path: Path) -> None:
    """When the root says that all is done, but an image has not taken in its journal yet, it does now."""
    path = killed(acquisition("collection", tmp_path / "a.ome.zarr"), 12, 12)
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["ome_writers"]["status"] = "complete"
    (path / "zarr.json").write_text(json.dumps(document))
    (path / "1" / "zarr.json").unlink()
    repaired(path)
    assert said(path)["status"] == "complete"
    assert [len(said(path, group)["frame_metadata"]) for group in "01"] == [6, 6]


def test_what_clients_wrote_stays(tmp_path: Path) -> None:
    """Attributes and global metadata that are in the documents survive."""
    path = killed(acquisition("collection", tmp_path / "a.ome.zarr"), 4, 4)
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["lab"] = {"room": 7}
    (path / "zarr.json").write_text(json.dumps(document))
    repaired(path)
    assert json.loads((path / "zarr.json").read_text())["attributes"]["lab"] == {"room": 7}
    assert 'Namespace="lab"' in (path / "OME" / "METADATA.ome.xml").read_text()


def test_leftovers_go_and_nothing_else(tmp_path: Path) -> None:
    """Temporary files and the stale lock are removed; files that others put there are not."""
    path = killed(acquisition("single", tmp_path / "a.ome.zarr"), 2, 2)
    assert (path / ".ome-writers.lock").exists()
    (path / "0" / ".zarr.json.1-2.tmp").write_bytes(b"half")
    (path / "0" / "c" / "0.__lock").write_bytes(b"")
    (path / "notes.txt").write_text("mine")
    (path / "0" / "c" / "1").mkdir(exist_ok=True)
    repaired(path)
    assert (path / "notes.txt").read_text() == "mine"
    assert not (path / ".ome-writers.lock").exists()
    assert not (path / "0" / "c" / "0.__lock").exists()


@pytest.mark.parametrize("engine", ["zarr-python", "zarrs-python"])
def test_the_folder_of_files_that_were_not_whole_goes(tmp_path: Path, engine: str) -> None:
    """Libraries that write over files do so in a folder of their own: nothing of it is left."""
    if (missing := ENGINES[engine].missing_requirement()) is not None:
        pytest.skip(missing)
    path = killed(unbounded(tmp_path / "a.ome.zarr", chunk=3, format=engine), 4, 7)
    assert [p for p in path.rglob(".*") if p.is_dir()]
    repaired(path)
    assert not list(path.rglob(".*"))
    assert pixels(path / "0")[:2, :, 0, 0].ravel().tolist() == [1, 2, 3, 4]


def test_a_moved_dataset_is_repaired_where_it_is(tmp_path: Path) -> None:
    """The path that the settings name does not matter; nothing is made there."""
    path = killed(acquisition("plate", tmp_path / "a.ome.zarr"), 4, 4)
    path.rename(tmp_path / "moved")
    repaired(tmp_path / "moved")
    assert os.listdir(tmp_path) == ["moved"]


def test_a_living_writer_is_not_disturbed(tmp_path: Path) -> None:
    """While the process that holds the lock lives nothing is touched."""
    settings = acquisition("single", tmp_path / "a.ome.zarr")
    with create_stream(settings), pytest.raises(OutputLockedError, match=f"process {os.getpid()}"):
        repair(settings.output_path)
    (Path(settings.output_path) / ".ome-writers.lock").write_bytes(lock_content())
    with pytest.raises(OutputLockedError):
        repair(settings.output_path)


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_nothing_is_changed_behind_a_link(tmp_path: Path) -> None:
    """An image group that is a link to elsewhere is refused."""
    path = killed(acquisition("collection", tmp_path / "a.ome.zarr"), 4, 4)
    (path / "1").rename(tmp_path / "outside")
    (path / "1").symlink_to(tmp_path / "outside", target_is_directory=True)
    before = state(tmp_path / "outside")
    with pytest.raises((PermissionError, UnsupportedError), match="symbolic link|leads out"):
        repair(path)
    assert state(tmp_path / "outside") == before


def test_what_is_not_ours_is_refused(tmp_path: Path) -> None:
    """A missing path, another folder and an OME-Zarr of somebody else get their errors."""
    with pytest.raises(FileNotFoundError, match="does not exist"):
        repair(tmp_path / "none")
    with pytest.raises(UnsupportedError, match="holds neither an OME-Zarr nor TIFF files"):
        repair(tmp_path)
    (tmp_path / "zarr.json").write_text("{torn")
    with pytest.raises(UnsupportedError, match=r"its zarr.json is no JSON document"):
        repair(tmp_path)
    (tmp_path / "zarr.json").write_text('{"attributes": {"ome": {"version": "0.5"}}}')
    with pytest.raises(
        UnsupportedError, match="was not written by this library and cannot be repaired"
    ):
        repair(tmp_path)
