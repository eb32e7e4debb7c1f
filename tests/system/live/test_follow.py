"""`follow` and `wait_for` in another process than the writer's: each written frame, with its final pixels."""

from __future__ import annotations

import json
import os
import random
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tifffile

import ome_writers as ow
from ome_writers.file_sharing import retry_while_open
from support.preloaded import running_python
from support.sweeps import swept

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import FrameType

    from support.preloaded import Running

SIZE = 32

# Appends frames of the values in a list of [t, c, value], or [t, c, None] for `skip`. Without index if `ordered`.
_WRITER = """
import json, os, sys, time
import numpy as np
import ome_writers as ow
settings, frames, ordered, pause, end = json.load(sys.stdin)
stream = ow.create_stream(ow.AcquisitionSettings.model_validate(settings))
start = time.perf_counter()
for number, (t, c, value) in enumerate(frames):
    time.sleep(max(0, start + number * pause - time.perf_counter()))
    if value is None:
        stream.skip()
    else:
        frame = np.full((32, 32), value, "uint16")
        stream.append(frame, index=None if ordered else {"t": t, "c": c})
if end == "close":
    stream.close()
elif end == "flush and die":
    stream.flush()
    os._exit(1)
"""


def zarr_python() -> Any:
    return pytest.importorskip("zarr", reason="zarr-python needs Python 3.11")


LAYOUTS: dict[str, tuple[str, int | None, dict[str, Any]]] = {
    "OME-Zarr, shards": ("a.ome.zarr", None, {"chunk_size": 1, "shard_size_chunks": 50}),
    "OME-Zarr, files": ("a.ome.zarr", 1, {"chunk_size": 1}),
    "OME-Zarr, chunks of several planes": ("a.ome.zarr", None, {"chunk_size": 7}),
    "OME-TIFF, growing": ("a.ome.tiff", None, {}),
    "OME-TIFF": ("a.ome.tiff", 1, {}),
}
RESUMABLE = ["OME-Zarr, shards", "OME-Zarr, files", "OME-TIFF, growing"]
MAIN = ["OME-Zarr, shards", "OME-TIFF, growing"]  # in each run; the others in the sweep


def settings_of(
    path: Path, layout: str, points: int = 100, **fields: Any
) -> ow.AcquisitionSettings:
    name, count, chunks = LAYOUTS[layout]
    return ow.AcquisitionSettings(
        root_path=str(path / name),
        dimensions=[
            ow.Dimension(name="t", count=count and points, **chunks),
            ow.Dimension(name="c", count=2),
            ow.Dimension(name="y", count=SIZE),
            ow.Dimension(name="x", count=SIZE),
        ],
        dtype="uint16",
        **{"flush_interval": 0.02, **fields},
    )


Frames = list[tuple[int, int, "int | None"]]


def writer(
    settings: ow.AcquisitionSettings,
    frames: Frames,
    *,
    ordered: bool = False,
    pause_s: float = 0.0,
    end: str = "close",
) -> AbstractContextManager[Running]:
    given = [settings.model_dump(mode="json"), frames, ordered, pause_s, end]
    return running_python(["-c", _WRITER], stdin=json.dumps(given))


def free_order(points: int, seed: int) -> tuple[Frames, dict[tuple[int, int], int]]:
    """Return frames in random order, of which some are missing and some are written again; and their final values."""
    chance = random.Random(seed)
    order = [(t, c) for t in range(points) for c in range(2) if chance.random() > 0.1]
    chance.shuffle(order)
    frames: Frames = []
    for number, (t, c) in enumerate(order):
        frames.append((t, c, len(frames) + 1))
        if chance.random() < 0.1:
            frames.append((*order[chance.randrange(number + 1)], len(frames) + 1))
    return frames, {(t, c): value or 0 for t, c, value in frames}


def check_followed(
    settings: ow.AcquisitionSettings,
    frames: Frames,
    final: dict[tuple[int, int], int],
    **options: Any,
) -> None:
    """Follow a writer; compare with what it writes, and with the closed dataset."""
    written: dict[tuple[int, int], list[int]] = {}
    for t, c, value in frames:
        written.setdefault((t, c), []).append(value or 0)
    found: dict[tuple[int, int], list[int]] = {}
    with writer(settings, frames, **options):
        for index, plane in ow.follow(settings.root_path, timeout=300):
            assert plane.min() == plane.max()
            found.setdefault((index["t"], index["c"]), []).append(int(plane[0, 0]))
    assert found.keys() == final.keys()
    for key, values in found.items():
        assert values[-1] == final[key]
        assert len(values) <= len(written[key])
        assert set(values) <= set(written[key])
    closed = {(i["t"], i["c"]): int(p[0, 0]) for i, p in ow.follow(settings.root_path)}
    if settings.dimensions[0].chunk_size in (
        None,
        1,
    ):  # else the missing planes of a chunk are zeros
        assert closed == final
    assert {key: closed[key] for key in final} == final


@pytest.mark.parametrize("layout", swept(LAYOUTS, MAIN.__contains__))
def test_follow_yields_each_frame_with_its_final_pixels(tmp_path: Path, layout: str) -> None:
    """In free order, with frames that are missing and frames that are written again."""
    frames, final = free_order(40, seed=len(layout))
    check_followed(settings_of(tmp_path, layout), frames, final, pause_s=0.001)


@pytest.mark.sweep
@pytest.mark.timeout(600)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_follow_10_000_frames(tmp_path: Path, layout: str) -> None:
    frames, final = free_order(5000, seed=7)
    check_followed(settings_of(tmp_path, layout, 5000), frames, final)


def test_follow_omits_skipped_frames(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "OME-TIFF, growing")
    values = [None if number % 5 == 3 else number + 1 for number in range(60)]
    frames: Frames = [(number // 2, number % 2, value) for number, value in enumerate(values)]
    final = {(t, c): value for t, c, value in frames if value is not None}
    check_followed(settings, frames, final, ordered=True)


def test_follow_in_the_order_of_a_schedule(tmp_path: Path) -> None:
    """Ragged: the order of the frames is not that of nested loops over the axes."""
    order = [(0, 1), (0, 0), (2, 1), (1, 1)]
    schedule = {"axes": ["t", "c"], "indices": order}
    settings = settings_of(tmp_path, "OME-Zarr, files", 3, schedule=schedule)
    with ow.create_stream(settings) as stream:
        followed = ow.follow(settings.root_path, timeout=300)
        for number, (t, c) in enumerate(order):
            stream.append(np.full((SIZE, SIZE), number + 1, np.uint16))
            assert next(followed)[0] == {"t": t, "c": c}
    assert next(followed, None) is None


def test_wait_for_returns_the_frame_before_the_writer_has_closed(tmp_path: Path) -> None:
    """It starts before the dataset exists."""
    settings = settings_of(tmp_path, "OME-Zarr, shards")
    frames: Frames = [(n // 2, n % 2, n + 1) for n in range(100)]
    with writer(settings, frames, pause_s=0.02) as process:
        plane = ow.wait_for(settings.root_path, t=5, c=1, timeout=300)
        assert process.is_alive()
        assert plane.shape == (SIZE, SIZE)
        assert (plane == 12).all()
        process.kill()


def test_frame_is_readable_by_other_libraries_when_it_is_yielded(tmp_path: Path) -> None:
    """By zarr-python and tifffile, opened at that moment."""
    for layout, read in READERS.items():
        settings = settings_of(tmp_path, layout)
        frames: Frames = [(n // 2, n % 2, n + 1) for n in range(30)]
        with writer(settings, frames, ordered=True, pause_s=0.01):
            for index, _ in ow.follow(settings.root_path, timeout=300):
                # Windows refuses to open a file that is being replaced
                plane = retry_while_open(partial(read, settings.root_path, index["t"], index["c"]))
                assert (plane == 2 * index["t"] + index["c"] + 1).all()


def test_metadata_is_not_replaced_for_each_frame_that_is_reported(tmp_path: Path) -> None:
    """Replacing a file may take as long as several flushes. The number of frames in it is correct a moment later."""
    settings = settings_of(tmp_path, "OME-Zarr, shards", flush_interval=0.01)
    document = tmp_path / "a.ome.zarr" / "zarr.json"
    replaced, began = set(), time.monotonic()
    with ow.create_stream(settings) as stream:
        followed = ow.follow(settings.root_path, timeout=300)
        for number in range(40):
            stream.append(np.full((SIZE, SIZE), number + 1, np.uint16))
            assert next(followed)[1][0, 0] == number + 1
            replaced.add(document.stat().st_mtime_ns)
        elapsed = time.monotonic() - began
        assert len(replaced) <= 3 + 10 * elapsed
        while ow.read(settings.root_path).frames_written != 40:
            assert time.monotonic() < began + 60
            time.sleep(0.02)
        assert ow.read(settings.root_path).status == "writing"


READERS: dict[str, Callable[[str, int, int], np.ndarray[Any, Any]]] = {
    "OME-Zarr, shards": lambda path, t, c: zarr_python().open_array(path, path="0", mode="r")[t, c],
    "OME-TIFF, growing": lambda path, t, c: tifffile.imread(path, key=2 * t + c),
}


@pytest.mark.parametrize("layout", ["OME-TIFF, growing", "OME-TIFF"])
def test_following_a_tiff_reads_each_link_of_its_ifd_chain_once(
    tmp_path: Path, layout: str
) -> None:
    settings = settings_of(tmp_path, layout, flush_interval=60.0)
    links = 0

    def count(frame: FrameType, event: str, _: object) -> None:
        nonlocal links
        links += event == "call" and frame.f_code.co_name == "next_directory"

    with ow.create_stream(settings) as stream:
        followed = ow.follow(settings.root_path, timeout=300)
        for number in range(60):
            stream.append(np.full((SIZE, SIZE), number + 1, np.uint16))
            stream.flush()  # another number of frames in the metadata
            sys.setprofile(count)
            try:
                assert next(followed)[1][0, 0] == number + 1
            finally:
                sys.setprofile(None)
    assert links < 2 * 60


@pytest.mark.thread_writer  # with another one, the killed program leaves a complete dataset
@pytest.mark.parametrize("layout", ["OME-Zarr, shards", "OME-TIFF, growing"])
def test_killed_writer_ends_follow_with_an_error(tmp_path: Path, layout: str) -> None:
    settings = settings_of(tmp_path, layout)
    frames: Frames = [(n // 2, n % 2, n + 1) for n in range(20)]
    found = []
    with (
        writer(settings, frames, end="flush and die"),
        pytest.raises(ow.WriteError, match="has ended without closing it, after 20 frames"),
    ):
        for _, plane in ow.follow(settings.root_path, timeout=300):
            found.append(int(plane[0, 0]))
    assert found == [*range(1, 21)]
    with pytest.raises(ow.WriteError, match="has ended without closing it"):
        ow.wait_for(settings.root_path, t=10, c=0)
    ow.repair(settings.root_path)
    assert not [*tmp_path.rglob("*.progress")]
    assert len([*ow.follow(settings.root_path)]) == 20


def flush_and_die(settings: ow.AcquisitionSettings) -> None:
    """Write 20 frames of the values 1 to 20 in a process that does not close the dataset."""
    with writer(settings, [(n // 2, n % 2, n + 1) for n in range(20)], end="flush and die"):
        pass


def append_values(stream: ow.OMEStream, values: range) -> None:
    for value in values:
        stream.append(np.full((SIZE, SIZE), value, np.uint16))
    stream.flush()


@pytest.mark.thread_writer  # with another one, the killed program leaves a complete dataset
@pytest.mark.parametrize("layout", swept(RESUMABLE, MAIN.__contains__))
@pytest.mark.parametrize("seen", ["while it is resumed", "afterwards"])
def test_follow_goes_on_when_a_killed_dataset_is_resumed(
    tmp_path: Path, layout: str, seen: str
) -> None:
    """Before the end of the killed writer is noticed, which is checked between frames."""
    settings = settings_of(tmp_path, layout)
    flush_and_die(settings)
    followed = (int(plane[0, 0]) for _, plane in ow.follow(settings.root_path, timeout=300))
    assert [next(followed) for _ in range(20)] == [*range(1, 21)]
    with ow.resume(settings.root_path) as stream:
        append_values(stream, range(21, 26))
        if seen == "while it is resumed":
            assert [next(followed) for _ in range(5)] == [*range(21, 26)]
        append_values(stream, range(26, 31))
    assert [*followed] == [*range(31 - (5 if seen == "while it is resumed" else 10), 31)]


@pytest.mark.thread_writer  # with another one, the killed program leaves a complete dataset
@pytest.mark.parametrize("layout", swept(RESUMABLE, MAIN.__contains__))
def test_follow_a_resumed_dataset_from_its_first_frame(tmp_path: Path, layout: str) -> None:
    settings = settings_of(tmp_path, layout)
    flush_and_die(settings)
    with pytest.raises(ow.WriteError, match="has ended without closing it"):
        [*ow.follow(settings.root_path)]
    with ow.resume(settings.root_path) as stream:
        append_values(stream, range(21, 26))
        followed = (int(plane[0, 0]) for _, plane in ow.follow(settings.root_path, timeout=300))
        assert [next(followed) for _ in range(25)] == [*range(1, 26)]
        append_values(stream, range(26, 31))
    assert [*followed] == [*range(26, 31)]


@pytest.mark.thread_writer  # with another one, the killed program leaves a complete dataset
def test_follow_a_killed_dataset_that_is_repaired(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "OME-Zarr, shards")
    flush_and_die(settings)
    followed = ow.follow(settings.root_path)
    assert len([next(followed) for _ in range(20)]) == 20
    ow.repair(settings.root_path)
    with pytest.raises(ow.WriteError, match="has failed, after 20 frames"):
        next(followed)


@pytest.mark.skipif(os.name == "nt", reason="the writer's open file cannot be removed there")
@pytest.mark.parametrize("layout", swept(RESUMABLE, MAIN.__contains__))
def test_follow_without_progress_file(tmp_path: Path, layout: str) -> None:
    """As of earlier versions: by the metadata."""
    settings = settings_of(tmp_path, layout)
    stream = ow.create_stream(settings)
    progress = next(tmp_path.rglob("*.progress"))
    progress.unlink()
    followed = ow.follow(settings.root_path, timeout=300)
    for number in (0, 1, 3):
        if number == 3:
            stream.skip()
        stream.append(np.full((SIZE, SIZE), number + 1, np.uint16))
        if number == 1:
            assert [next(followed)[0] for _ in range(2)] == [{"t": 0, "c": 0}, {"t": 0, "c": 1}]
    stream.append(np.full((SIZE, SIZE), 9, np.uint16), index={"t": 7, "c": 1})
    stream.close()
    rest = [(index, int(plane[0, 0])) for index, plane in followed]
    assert rest == [({"t": 1, "c": 1}, 4), ({"t": 7, "c": 1}, 9)]


@pytest.mark.thread_writer  # with another one, the killed program leaves a complete dataset
def test_follow_killed_writer_without_progress_file(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "OME-Zarr, shards")
    frames: Frames = [(n // 2, n % 2, n + 1) for n in range(20)]
    with writer(settings, frames, end="flush and die"):
        pass
    next(tmp_path.rglob("*.progress")).unlink()
    followed = ow.follow(settings.root_path)
    assert len([next(followed) for _ in range(20)]) == 20
    with pytest.raises(ow.WriteError, match="ended without closing it, after 20 frames"):
        next(followed)


def test_follow_array_that_another_program_extends(tmp_path: Path) -> None:
    """zarr-python: the end is that no frame arrives."""
    path = tmp_path / "other.ome.zarr"
    axes = [{"name": "t", "type": "time"}, *({"name": n, "type": "space"} for n in "yx")]
    scale = {"type": "scale", "scale": [1.0, 1.0, 1.0]}
    datasets = [{"path": "0", "coordinateTransformations": [scale]}]
    multiscale = {"axes": axes, "datasets": datasets}
    group = zarr_python().create_group(
        path, attributes={"ome": {"version": "0.5", "multiscales": [multiscale]}}
    )
    array = group.create_array("0", shape=(2, 8, 8), chunks=(1, 8, 8), dtype="uint16")
    array[:2] = 7
    followed = ow.follow(path, timeout=1.0)
    assert [next(followed)[0] for _ in range(2)] == [{"t": 0}, {"t": 1}]
    array.resize((4, 8, 8))
    array[3] = 8
    assert [(index, int(plane[0, 0])) for index, plane in followed] == [({"t": 3}, 8)]


def test_follow_stream_that_restarts(tmp_path: Path) -> None:
    """Then the dataset is created again, with the frames so far."""
    settings = settings_of(tmp_path, "OME-Zarr, shards")
    stream = ow.create_stream(settings)
    followed = ow.follow(settings.root_path, timeout=300)
    stream.append(np.full((SIZE, SIZE), 1, np.uint16))
    assert next(followed)[0] == {"t": 0, "c": 0}
    t, c, *yx = settings.dimensions
    z = ow.Dimension(name="z", count=2)
    stream.restart(settings.model_copy(update={"dimensions": [t, c, z, *yx]}))
    stream.append(np.full((SIZE, SIZE), 2, np.uint16), index={"z": 1})
    stream.close()
    indices = [index for index, _ in followed]
    assert indices == [{"t": 0, "c": 0, "z": 0}, {"t": 0, "c": 0, "z": 1}]


def test_errors_of_wait_for(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "OME-Zarr, files")
    with pytest.raises(FileNotFoundError):
        ow.wait_for(settings.root_path, t=0, c=0)
    with pytest.raises(FileNotFoundError):
        ow.wait_for(settings.root_path, t=0, c=0, timeout=0.1)
    with ow.create_stream(settings):
        with pytest.raises(TimeoutError, match="no new frame for 0.1 seconds"):
            ow.wait_for(settings.root_path, t=0, c=0, timeout=0.1)
        with pytest.raises(IndexError, match="has the axes t, c, got an index along t"):
            ow.wait_for(settings.root_path, t=0)
        with pytest.raises(IndexError, match="c=2 is out of range, the axis has length 2"):
            ow.wait_for(settings.root_path, t=0, c=2)
    with pytest.raises(IndexError, match="closed without a frame at"):
        ow.wait_for(settings.root_path, t=0, c=0)


def test_progress_file_that_is_damaged(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "OME-Zarr, files")
    settings.flush_interval = 3600.0
    with ow.create_stream(settings):
        next(tmp_path.rglob("*.progress")).write_bytes(b"x" * 200)
        with pytest.raises(ow.InvalidFileError, match="not a progress file"):
            next(ow.follow(settings.root_path))
