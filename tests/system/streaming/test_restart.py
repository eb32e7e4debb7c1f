"""`OMEStream.restart`: other settings, with the frames, listeners, views and metadata so far."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Camera,
    CoordUpdate,
    Dimension,
    FrameShapeError,
    OutputExistsError,
    Pyramid,
    RestartError,
    SettingsError,
    StreamClosedError,
    UnsupportedError,
    WriteError,
    create_stream,
    dims_from_standard_axes,
    read_frame_metadata,
    validate,
)
from ome_writers import open as open_dataset
from ome_writers.storage import ENGINES
from support.sweeps import SWEEPS
from support.waiting import WAIT_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff", "scratch": ""}
READY = [row.name for row in ENGINES.values() if row.missing_requirement() is None]
BOTH_FORMATS = pytest.mark.parametrize("engine", ["direct", "tifffile"])
SMALL, LARGE = (8, 6), (10, 14)


def dims(shape: tuple[int, int], **sizes: Any) -> list[Dimension]:
    return dims_from_standard_axes({**sizes, "y": shape[0], "x": shape[1]})


def settings(folder: Path, engine: str, **more: Any) -> AcquisitionSettings:
    """Return settings for six small frames."""
    fields: dict[str, Any] = {
        "root_path": folder / f"run{SUFFIXES[ENGINES[engine].format]}",
        "dimensions": dims(SMALL, t=6),
        "dtype": "uint16",
        "format": engine,
        "rgb": False,
        **more,
    }
    return AcquisitionSettings(**fields)


def frame(value: int, shape: tuple[int, ...] = SMALL, dtype: str = "uint16") -> np.ndarray:
    return np.full(shape, value, dtype)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stored_values(path: Path) -> list[int]:
    """Return the first pixel of each stored frame."""
    return [int(plane.flat[0]) for plane in open_dataset(path)]


@pytest.mark.parametrize("engine", READY)
def test_restart_before_first_frame(tmp_path: Path, engine: str) -> None:
    """Views, listeners and signals follow to the new output, which replaces the first one."""
    asked = settings(tmp_path, engine)
    updates: list[CoordUpdate] = []
    numbers: list[int] = []
    with create_stream(asked) as stream:
        view = stream.view()
        changed = threading.Event()
        view.coords_changed.connect(changed.set)
        stream.on("coords_changed", updates.append)
        stream.events.frame_written.connect(lambda number, _: numbers.append(number))
        assert (view.shape, view.dtype) == ((0, *SMALL), np.uint16)
        stream.restart(settings(tmp_path, engine, dimensions=dims(LARGE, t=3), dtype="uint8"))
        assert (view.shape, view.dtype) == ((0, *LARGE), np.uint8)
        with pytest.raises(FrameShapeError):
            stream.append(frame(1, dtype="uint8"))
        for n in range(3):
            stream.append(frame(n + 1, LARGE, "uint8"), frame_metadata={"n": n})
        assert view[:, 0, 0].tolist() == [1, 2, 3]
        assert changed.wait(WAIT_S)
        assert stream.settings.dtype == "uint8"
        assert stream.stats().frames_accepted == 3
    assert [update.frame_number for update in updates] == numbers == [0, 1, 2]
    assert updates[-1].max_coords == {
        "t": range(3), "y": range(LARGE[0]), "x": range(LARGE[1])
    }  # fmt: skip
    assert view[:, 0, 0].tolist() == [1, 2, 3]
    if engine != "scratch":
        path = tmp_path / asked.output_path
        assert names(tmp_path) == [path.name]
        assert open_dataset(path).shape == (3, *LARGE)
        assert stored_values(path) == [1, 2, 3]
        assert [entry["n"] for entry in read_frame_metadata(path)] == [0, 1, 2]
        assert validate(path).valid


@pytest.mark.parametrize("flushed", [False, True])
@pytest.mark.parametrize("engine", READY)
def test_frames_so_far_are_written_again(tmp_path: Path, engine: str, flushed: bool) -> None:
    """With their metadata, and with the frames that were skipped in between."""
    asked = settings(tmp_path, engine)
    with create_stream(asked) as stream:
        received: list[int] = []
        stream.on("coords_changed", lambda update: received.append(update.frame_number))
        stream.append(frame(1), frame_metadata={"n": 0})
        stream.append(frame(2), frame_metadata={"n": 1})
        if flushed:
            stream.flush()
        stream.skip()
        stream.append(frame(4), frame_metadata={"n": 3})
        stream.restart(settings(tmp_path, engine, dimensions=dims(SMALL, t=8)))
        assert stream.view()[:, 0, 0].tolist() == [1, 2, 0, 4]
        assert stream.stats().frames_accepted == 3
        for n in range(4, 8):
            stream.append(frame(n + 1), frame_metadata={"n": n})
    assert received == [0, 1, 2, 3, 4, 5, 6, 7]  # each frame, and the skip, once
    assert stream.view()[:, 0, 0].tolist() == [1, 2, 0, 4, 5, 6, 7, 8]
    if engine != "scratch":
        path = tmp_path / asked.output_path
        assert stored_values(path) == [1, 2, 0, 4, 5, 6, 7, 8]
        found = {entry["n"]: entry["storage_index"][-1] for entry in read_frame_metadata(path)}
        assert found == {n: n for n in (0, 1, 3, 4, 5, 6, 7)}
        assert validate(path).valid


@BOTH_FORMATS
def test_frames_keep_their_index_by_axis_name(tmp_path: Path, engine: str) -> None:
    """Earlier frames are at index 0 of a new axis, which an earlier view reads; replaced frames count once."""
    updates: list[CoordUpdate] = []
    cameras = [Camera(name="A"), Camera(name="B", height=10, width=14, dtype="uint8")]
    cam = Dimension(name="cam", type="other", coords=cameras)
    t, c, y, x = dims(SMALL, t=3, c=["DAPI", "FITC"])
    with create_stream(settings(tmp_path, engine, dimensions=[t, c, y, x])) as stream:
        view = stream.view()
        stream.on("coords_changed", updates.append)
        stream.append(frame(9), index={"t": 1, "c": 0})
        stream.append(frame(1), index={"t": 1, "c": 0})
        stream.append(frame(2), index={"t": 0, "c": 1})
        stream.restart(settings(tmp_path, engine, dimensions=[c, t, cam, y, x]))
        assert (view.dims, view.shape, view.dtype) == (("t", "c", "y", "x"), (2, 2, *SMALL), "u2")
        stream.append(frame(7, LARGE, "uint8"), index={"t": 2, "c": 1, "cam": 1})
        stream.append(frame(3), index={"t": 2, "c": 1, "cam": 0})
        assert view[..., 0, 0].tolist() == [[0, 2], [1, 0], [0, 3]]
        assert list(view.coords["c"]) == ["DAPI", "FITC"]
        again = stream.view()
        assert (again.dims, again.shape) == (("c", "t", "cam", "y", "x"), (2, 3, 2, *LARGE))
        assert again[..., 0, 0].tolist() == [[[0, 0], [1, 0], [0, 0]], [[2, 0], [0, 0], [3, 7]]]
    assert [list(update.current_indices) for update in updates] == [
        *[["t", "c", "y", "x"]] * 3, *[["c", "t", "cam", "y", "x"]] * 2
    ]  # fmt: skip
    assert view[..., 0, 0].tolist() == [[0, 2], [1, 0], [0, 3]]
    path = tmp_path / stream.settings.output_path
    assert len(open_dataset(path).dims) == 5
    assert validate(path).valid


@BOTH_FORMATS
def test_view_of_an_axis_that_is_removed(tmp_path: Path, engine: str) -> None:
    with create_stream(settings(tmp_path, engine, dimensions=dims(SMALL, t=3, z=2))) as stream:
        view = stream.view()
        stream.append(frame(1), index={"t": 0, "z": 0})
        stream.restart(settings(tmp_path, engine, dimensions=dims(SMALL, t=3)))
        stream.append(frame(2), index={"t": 2})
        assert view.dims == ("t", "z", "y", "x")
        assert view[..., 0, 0].tolist() == [[1], [0], [2]]


@BOTH_FORMATS
def test_too_many_frames(tmp_path: Path, engine: str) -> None:
    """More than 64 frames, or than fit into `buffer_bytes`: the restart is refused, the stream continues."""
    asked = settings(tmp_path, engine, dimensions=dims(SMALL, t=66))
    with create_stream(asked) as stream:
        for n in range(65):
            stream.append(frame(n))
        with pytest.raises(RestartError, match=r"has 65 frames.*at most the first 64"):
            stream.restart(asked)
        stream.append(frame(65))
    assert stored_values(tmp_path / asked.output_path) == list(range(66))
    asked = settings(tmp_path, engine, overwrite=True, buffer_bytes=2 * frame(0).nbytes)
    with create_stream(asked) as stream:
        for n in range(3):
            stream.append(frame(n))
        with pytest.raises(RestartError, match=r"has 3 frames.*at most the first 2"):
            stream.restart(asked)


def invalid_index(stream: Any) -> None:
    stream.append(frame(1), index={"t": 4})


def out_of_order(stream: Any) -> None:
    stream.append(frame(1))
    stream.append(frame(1))


@pytest.mark.parametrize(
    ("append", "changes", "message"),
    [
        (out_of_order, {"dtype": "uint8"}, r"dtype uint16, the settings require .* uint8"),
        (out_of_order, {"dimensions": dims(LARGE, t=6)}, r"shape \(8, 6\)"),
        (out_of_order, {"dimensions": dims(SMALL, c=6)}, r"\{'t': 1\} would be lost.*'t'"),
        (out_of_order, {"dimensions": dims(SMALL, t=3, c=2)}, r"frame 1 would not be the next"),
        (invalid_index, {"dimensions": dims(SMALL, t=4)}, r"\{'t': 4\} would be lost.*count 4"),
        (lambda stream: stream.skip(frames=5), {"dimensions": dims(SMALL, t=4)}, r"5 frames .* of 4"),
    ],
)  # fmt: skip
@BOTH_FORMATS
def test_settings_that_cannot_store_the_frames_are_refused(
    tmp_path: Path,
    engine: str,
    append: Callable[[Any], None],
    changes: dict[str, Any],
    message: str,
) -> None:
    """The stream is unchanged and continues."""
    with create_stream(settings(tmp_path, engine)) as stream:
        append(stream)
        accepted, before = stream.stats().frames_accepted, stream.settings
        with pytest.raises(RestartError, match=message):
            stream.restart(settings(tmp_path, engine, **changes))
        assert stream.settings is before
        stream.append(frame(5), index={"t": 5})
        assert stream.stats().frames_accepted == accepted + 1
    path = tmp_path / stream.settings.output_path
    assert stored_values(path)[-1] == 5
    assert validate(path).valid


@pytest.mark.skipif("acquire-zarr" not in READY, reason="acquire-zarr is not installed")
def test_sequential_engine_refuses_frames_with_index(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path, "direct")) as stream:
        stream.append(frame(1), index={"t": 3})
        with pytest.raises(RestartError, match=r"\{'t': 3\}.*'acquire-zarr' does not support"):
            stream.restart(settings(tmp_path, "acquire-zarr"))
        assert stream.view()[3, 0, 0] == 1


@BOTH_FORMATS
def test_refused_settings_leave_the_stream_unchanged(tmp_path: Path, engine: str) -> None:
    """Incomplete settings, those that no backend supports, and a path that exists."""
    existing = tmp_path / f"other{SUFFIXES[ENGINES[engine].format]}"
    existing.write_text("not a dataset")
    with create_stream(settings(tmp_path, engine)) as stream:
        stream.append(frame(1))
        with pytest.raises(SettingsError, match="dimensions must be set"):
            stream.restart(AcquisitionSettings(root_path=tmp_path / "run.zarr", dtype="uint16"))
        unbounded = [Dimension(name="a", count=None, type="other"), *dims(SMALL, c=2)]
        with pytest.raises(UnsupportedError, match="unbounded axis 'a'"):
            stream.restart(settings(tmp_path, engine, dimensions=unbounded))
        with pytest.raises(OutputExistsError, match="other"):
            stream.restart(settings(tmp_path, engine, root_path=existing))
        stream.append(frame(2))
    assert existing.read_text() == "not a dataset"
    path = tmp_path / stream.settings.output_path
    assert names(tmp_path) == sorted([existing.name, path.name])
    assert stored_values(path)[:2] == [1, 2]
    with pytest.raises(StreamClosedError):
        stream.restart(settings(tmp_path, engine))


@pytest.mark.parametrize("engine", [name for name in READY if name != "scratch"])
def test_restart_at_another_path(
    tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first output is removed; a relative path refers to the folder in which the stream was created."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    asked = settings(tmp_path, engine)
    other = f"other{SUFFIXES[ENGINES[engine].format]}"
    with create_stream(asked) as stream:
        stream.append(frame(1))
        monkeypatch.chdir(tmp_path / "elsewhere")
        stream.restart(settings(tmp_path, engine, root_path=other))
        stream.append(frame(2))
    assert names(tmp_path) == ["elsewhere", other]
    assert names(tmp_path / "elsewhere") == []
    assert stored_values(tmp_path / other)[:2] == [1, 2]


def test_restart_in_another_format(tmp_path: Path) -> None:
    """With global metadata and frame metadata; attributes of groups exist in OME-Zarr only."""
    with create_stream(settings(tmp_path, "direct")) as stream:
        stream.set_global_metadata("lab", {"who": "me"})
        stream.update_metadata(stream.get_metadata())
        stream.append(frame(1), frame_metadata={"n": 0})
        stream.restart(settings(tmp_path, "tifffile"))
        stream.append(frame(2), frame_metadata={"n": 1})
    assert names(tmp_path) == ["run.ome.tiff"]
    assert [entry["n"] for entry in read_frame_metadata(tmp_path / "run.ome.tiff")] == [0, 1]
    assert b"who" in (tmp_path / "run.ome.tiff").read_bytes()


def test_restart_with_resolution_levels(tmp_path: Path) -> None:
    """Frames that are written again are in every level."""
    asked = settings(tmp_path, "direct")
    with create_stream(asked) as stream:
        for n in range(2):
            stream.append(frame(n + 1))
        stream.restart(settings(tmp_path, "direct", pyramid=Pyramid(levels=1)))
        for n in range(2, 6):
            stream.append(frame(n + 1))
    small = open_dataset(tmp_path / "run.ome.zarr", level=1)
    assert small.shape == (6, 4, 3)
    assert small[:, 0, 0].tolist() == stored_values(tmp_path / "run.ome.zarr") == [*range(1, 7)]


@BOTH_FORMATS
def test_restart_of_a_collection(tmp_path: Path, engine: str) -> None:
    """Several positions instead of one: of an OME-TIFF, the file becomes a folder and its entry file."""
    several = dims(SMALL, p=["left", "right"], t=2)
    with create_stream(settings(tmp_path, engine)) as stream:
        stream.append(frame(1))
        stream.restart(settings(tmp_path, engine, dimensions=several))
        assert stream.view().shape == (1, 1, *SMALL)
        for n in (2, 3, 4):
            stream.append(frame(n))
        output = tmp_path / stream.settings.output_path
    assert names(tmp_path) == (["run.ome.zarr"] if engine == "direct" else ["run", "run.ome.tiff"])
    assert open_dataset(output)[..., 0, 0].tolist() == [[1, 2], [3, 4]]
    assert validate(output).valid


@pytest.mark.skipif(
    sys.platform == "win32",
    reason="output removed during a run: Windows does not remove open files",
)
@BOTH_FORMATS
def test_failed_restart(tmp_path: Path, engine: str) -> None:
    """If the output cannot be created again, every call lists the lost frames, and nothing is left on disk."""
    folder = tmp_path / "disk"
    folder.mkdir()
    stream = create_stream(settings(folder, engine))
    stream.append(frame(1))
    shutil.rmtree(folder)
    folder.write_text("not a folder")
    for call in (lambda: stream.restart(settings(folder, engine)), stream.flush, stream.close):
        with pytest.raises(WriteError, match="frame 0 is not on disk") as caught:
            call()
        assert caught.value.frames == (0,)
    assert names(tmp_path) == ["disk"]
    assert folder.read_text() == "not a folder"


@pytest.mark.parametrize("engine", ["direct", "tifffile", "scratch"])
def test_lent_frame_is_appended_after_restart(tmp_path: Path, engine: str) -> None:
    """If it has the new shape and dtype; otherwise an error names both."""
    asked = settings(tmp_path, engine)
    with create_stream(asked) as stream:
        with stream.frame_buffer() as lent:
            lent[...] = 1
            stream.restart(settings(tmp_path, engine, dimensions=dims(SMALL, t=2)))
        assert stream.view()[:, 0, 0].tolist() == [1]
    with create_stream(settings(tmp_path, engine, overwrite=True)) as stream:
        with (
            pytest.raises(FrameShapeError, match=r"shape \(10, 14\), got \(8, 6\)"),
            stream.frame_buffer() as lent,
        ):
            stream.restart(settings(tmp_path, engine, dimensions=dims(LARGE, t=2)))
        stream.append(frame(3, LARGE))
        assert stream.view()[:, 0, 0].tolist() == [3]


@BOTH_FORMATS
def test_restart_keeps_user_metadata(tmp_path: Path, engine: str) -> None:
    """Global metadata, and updated attributes of an OME-Zarr. OME-XML is that of the new settings."""
    pytest.importorskip("ome_types")
    with create_stream(settings(tmp_path, engine)) as stream:
        stream.set_global_metadata("lab", {"who": "me"})
        metadata = stream.get_metadata()
        if engine == "direct":
            metadata["."]["engine"] = {"summary": 1}
        else:
            metadata[0].images[0].description = "of the first output"
        stream.update_metadata(metadata)
        stream.append(frame(1))
        stream.restart(settings(tmp_path, engine, dimensions=dims(SMALL, t=2)))
        stream.append(frame(2))
    found = stream.get_metadata()
    if engine == "direct":
        assert (found["."]["lab"], found["."]["engine"]) == ({"who": "me"}, {"summary": 1})
        return
    assert found[0].images[0].pixels.size_t == 2
    assert "first output" not in found[0].to_xml()
    assert "who" in found[0].to_xml()


def test_new_flush_interval_is_used(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path, "direct", flush_interval=0.01)) as stream:
        stream.restart(settings(tmp_path, "direct", flush_interval=1000))
        stream.append(frame(1))
        stream.restart(settings(tmp_path, "direct", flush_interval=0.01))
        stream.append(frame(2))
        path = tmp_path / "run.ome.zarr"
        wait_until(lambda: open_dataset(path)[:2, 0, 0].tolist() == [1, 2])


@pytest.mark.parametrize("engine", ["direct", "tifffile", "scratch"])
def test_view_is_read_during_restarts(tmp_path: Path, engine: str) -> None:
    """A reader in another thread gets the frames so far at every time, in one of the shapes."""
    several = dims(SMALL, t=6, c=2)
    done = threading.Event()
    errors: list[BaseException] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        try:
            while not done.is_set():
                pixels = view[:2]
                assert pixels.shape == (2, *SMALL)
                assert pixels[:, 0, 0].tolist() == [1, 2]
                reads += 1
        except BaseException as error:
            errors.append(error)

    with create_stream(settings(tmp_path, engine)) as stream:
        view = stream.view()
        stream.append(frame(1), index={"t": 0})
        stream.append(frame(2), index={"t": 1})
        reader = threading.Thread(target=read)
        reader.start()
        wait_until(lambda: reads or errors)
        for restart in range(20 if SWEEPS else 10):
            changes = {"dimensions": several} if restart % 2 == 0 else {}
            stream.restart(settings(tmp_path, engine, **changes))
        done.set()
        reader.join(WAIT_S)
    assert errors == []


@BOTH_FORMATS
def test_restarts_while_another_thread_appends(tmp_path: Path, engine: str) -> None:
    """No frame is lost or stored twice."""
    count = 60 if SWEEPS else 30
    asked = settings(tmp_path, engine, dimensions=dims(SMALL, t=count))

    def append() -> None:
        for n in range(count):
            stream.append(frame(n), frame_metadata={"n": n})
            time.sleep(0.001)

    with create_stream(asked) as stream:
        thread = threading.Thread(target=append)
        thread.start()
        while thread.is_alive():
            stream.restart(asked)
        thread.join()
    path = tmp_path / stream.settings.output_path
    assert stored_values(path) == list(range(count))
    assert [entry["n"] for entry in read_frame_metadata(path)] == list(range(count))
