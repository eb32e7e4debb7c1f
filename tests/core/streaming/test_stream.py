"""`OMEStream`: accepted and refused frames, and the data on disk."""

from __future__ import annotations

import copy
import gc
import json
import logging
import pickle
import re
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as ow
from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes
from support.waiting import wait_until

zarr = pytest.importorskip(
    "zarr", minversion="3", reason="the independent reader needs zarr 3 (Python 3.11)"
)


def settings(path: Path, sizes: dict[str, Any] | None = None, **more: Any) -> AcquisitionSettings:
    axes = {**(sizes or {"t": 4}), "y": 8, "x": 6}
    options = {"dtype": "uint16", **more}
    return AcquisitionSettings(
        root_path=path / "x.ome.zarr", dimensions=dims_from_standard_axes(axes), **options
    )


def frame(value: int) -> np.ndarray:
    """Return a frame with unique pixel values."""
    return (np.arange(48, dtype="uint16") + 100 * value).reshape(8, 6)


def stored(path: Path, key: str = "0") -> np.ndarray:
    """Return an array as zarr-python reads it."""
    return np.asarray(zarr.open_array(path / "x.ome.zarr" / key, mode="r")[...])


def status(path: Path) -> dict[str, Any]:
    document = json.loads((path / "x.ome.zarr" / "zarr.json").read_text())
    return document["attributes"]["ome_writers"]


def test_array_may_be_reused_after_append(tmp_path: Path) -> None:
    buffer = np.empty((8, 6), "uint16")
    with create_stream(settings(tmp_path)) as stream:
        for i in range(4):
            buffer[...] = frame(i)
            stream.append(buffer)
    assert np.array_equal(stored(tmp_path), [frame(i) for i in range(4)])


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (np.zeros((8, 7), "uint16"), ValueError, r"shape \(8, 6\), got \(8, 7\)"),
        (np.zeros((1, 8, 6), "uint16"), ValueError, r"got \(1, 8, 6\)"),
        (np.zeros((0, 6), "uint16"), ValueError, r"got \(0, 6\)"),
        (np.zeros((8, 6), "float32"), TypeError, "dtype uint16, got float32"),
        (np.zeros((8, 6), object), TypeError, "dtype uint16, got object"),
        (np.ma.masked_array(np.zeros((8, 6), "uint16")), TypeError, "masked"),
        ([[1, 2], [3, 4]], TypeError, "got list"),
        (None, TypeError, "got NoneType"),
    ],
)
def test_invalid_frame_leaves_stream_unchanged(
    tmp_path: Path, wrong: Any, error: type[Exception], message: str
) -> None:
    with create_stream(settings(tmp_path)) as stream:
        stream.append(frame(0))
        with pytest.raises(error, match=message):
            stream.append(wrong)
        for i in range(1, 4):
            stream.append(frame(i))
    assert np.array_equal(stored(tmp_path), [frame(i) for i in range(4)])


def test_strided_and_foreign_byte_order_frames_are_exact(tmp_path: Path) -> None:
    """Read-only, strided and big-endian frames are stored pixel for pixel."""
    fixed = frame(2)
    fixed.flags.writeable = False
    variants = [frame(0)[::-1, ::-1], np.asfortranarray(frame(1)), fixed, frame(3).astype(">u2")]
    with create_stream(settings(tmp_path)) as stream:
        for variant in variants:
            stream.append(variant)
    expected = [frame(0)[::-1, ::-1], frame(1), frame(2), frame(3)]
    assert np.array_equal(stored(tmp_path), expected)


def test_invalid_frame_metadata_leaves_stream_unchanged(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    with create_stream(settings(tmp_path)) as stream:
        for bad in ({"a": object()}, {1: 2}, loop, {"storage_index": 3}, {"b": b"\xff\xfe"}):
            with pytest.raises(ow.MetadataError, match="frame_metadata"):
                stream.append(frame(9), frame_metadata=bad)
        for i in range(4):
            stream.append(frame(i))
    assert np.array_equal(stored(tmp_path), [frame(i) for i in range(4)])


def test_frame_metadata_is_stored(tmp_path: Path) -> None:
    """Numpy values are converted, NaN becomes null, and each entry contains its index."""
    with create_stream(settings(tmp_path, {"t": 2, "c": 2})) as stream:
        for i in range(4):
            facts = {"delta_t": i / 10, "n": np.int64(i), "a": np.arange(2), "bad": float("nan")}
            stream.append(frame(i), frame_metadata=facts)
    entries = status(tmp_path)["frame_metadata"]
    assert entries[3] == {"storage_index": [1, 1], "delta_t": 0.3, "n": 3, "a": [0, 1], "bad": None}
    assert len(entries) == 4


def test_append_past_the_end_raises(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path)) as stream:
        for i in range(4):
            stream.append(frame(i))
        with pytest.raises(IndexError, match="Cannot append frame: would exceed total of 4 frames"):
            stream.append(frame(4))
    assert np.array_equal(stored(tmp_path), [frame(i) for i in range(4)])


def test_skipped_frames_read_as_zero(tmp_path: Path) -> None:
    """A skip past the end raises and leaves the stream unchanged."""
    with create_stream(settings(tmp_path)) as stream:
        stream.append(frame(1))
        stream.skip(frames=2)
        with pytest.raises(ValueError, match="frames must be positive, got 0"):
            stream.skip(frames=0)
        with pytest.raises(IndexError, match="Cannot skip frames: would exceed total of 4"):
            stream.skip(frames=2)
        stream.append(frame(2))
    zero = np.zeros((8, 6))
    assert np.array_equal(stored(tmp_path), [frame(1), zero, zero, frame(2)])
    assert status(tmp_path)["status"] == "complete"


def test_append_with_index_in_any_order(tmp_path: Path) -> None:
    """A frame can be replaced; the last one is kept."""
    with create_stream(settings(tmp_path, {"t": 2, "c": 2})) as stream:
        for t, c, value in [(1, 1, 4), (0, 0, 9), (1, 0, 3), (0, 1, 2), (0, 0, 1)]:
            stream.append(frame(value), index={"t": t, "c": c}, frame_metadata={"v": value})
        with pytest.raises(IndexError, match="out of range"):
            stream.append(frame(0), index={"t": 2, "c": 0})
    assert np.array_equal(stored(tmp_path), [[frame(1), frame(2)], [frame(3), frame(4)]])
    entries = {tuple(e["storage_index"]): e["v"] for e in status(tmp_path)["frame_metadata"]}
    assert entries == {(1, 1): 4, (0, 0): 1, (1, 0): 3, (0, 1): 2}
    assert status(tmp_path)["status"] == "complete"


def test_append_without_copy_and_frame_buffer(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path)) as stream:
        stream.append(frame(0), copy=False)
        with stream.frame_buffer(frame_metadata={"a": 1}) as lent:
            lent[...] = frame(1)
        with pytest.raises(RuntimeError, match="camera"), stream.frame_buffer() as lent:
            lent[...] = 7
            raise RuntimeError("camera")
        stream.append(frame(2))
        with stream.frame_buffer() as lent:
            lent[...] = frame(3)
    assert np.array_equal(stored(tmp_path), [frame(i) for i in range(4)])


def test_frame_buffer_with_index(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path)) as stream:
        for number, index in enumerate([{"t": 1}, {"t": 0}]):
            with stream.frame_buffer(index=index) as lent:
                lent[...] = frame(number)
    found = stored(tmp_path)
    assert np.array_equal(found[:2], [frame(1), frame(0)])


def test_on_incomplete_trim_and_keep(tmp_path: Path) -> None:
    for on_incomplete, length in (("trim", 2), ("keep", 4)):
        folder = tmp_path / on_incomplete
        with create_stream(settings(folder, on_incomplete=on_incomplete)) as stream:
            stream.append(frame(0))
            stream.append(frame(1))
        assert stored(folder).shape == (length, 8, 6)
        assert status(folder)["status"] == "cancelled"
        assert status(folder)["frames"] == {"expected": 4, "written": 2, "in_order": 2}


def test_exception_inside_with_block_propagates(tmp_path: Path) -> None:
    """The stream is closed, and accepted frames are complete."""
    with pytest.raises(ZeroDivisionError), create_stream(settings(tmp_path)) as stream:
        stream.append(frame(0))
        raise ZeroDivisionError
    assert stream.closed
    assert np.array_equal(stored(tmp_path), [frame(0)])
    assert status(tmp_path)["status"] == "failed"


def test_append_after_close_raises(tmp_path: Path) -> None:
    stream = create_stream(settings(tmp_path))
    stream.close()
    stream.close()
    with pytest.raises(RuntimeError, match="closed"):
        stream.append(frame(0))


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_copy_and_pickle_raise(tmp_path: Path, duplicate: Callable[[object], object]) -> None:
    with create_stream(settings(tmp_path)) as stream:
        stream.append(frame(0))
        with pytest.raises(TypeError, match=r"Cannot copy or pickle the OMEStream .*x\.ome\.zarr"):
            duplicate(stream)
        gc.collect()
        for i in range(1, 4):
            stream.append(frame(i))
    assert np.array_equal(stored(tmp_path), [frame(i) for i in range(4)])


def test_garbage_collection_of_unclosed_stream_warns_and_writes(tmp_path: Path) -> None:
    stream = create_stream(settings(tmp_path))
    stream.append(frame(0))
    with pytest.warns(ow.UnclosedStreamWarning, match="OMEStream was not closed"):
        del stream
        gc.collect()
    assert np.array_equal(stored(tmp_path), [frame(0)])


def test_flush_makes_frames_visible_to_readers(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path, {"t": None}, flush_interval=60)) as stream:
        for i in range(3):
            stream.append(frame(i), frame_metadata={"i": i})
        stream.flush()
        assert np.array_equal(stored(tmp_path), [frame(i) for i in range(3)])
        lines = (tmp_path / "x.ome.zarr" / "frame_metadata.jsonl").read_text().splitlines()
        assert [json.loads(line)["i"] for line in lines] == [0, 1, 2]
    assert status(tmp_path)["status"] == "complete"


def test_flush_interval(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path, {"t": None}, flush_interval=0.05)) as stream:
        for i in range(3):
            stream.append(frame(i))
        wait_until(lambda: stored(tmp_path).shape[0] == 3)
        assert np.array_equal(stored(tmp_path), [frame(i) for i in range(3)])


def test_append_from_several_threads(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path, {"t": 80})) as stream:

        def append(first: int) -> None:
            for i in range(first, 80, 4):
                stream.append(frame(i))

        threads = [threading.Thread(target=append, args=(k,)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    values = sorted(int(f[0, 0]) // 100 for f in stored(tmp_path))
    assert values == list(range(80))


def test_stats_count_frames(tmp_path: Path) -> None:
    """Frames accepted and written, and bytes, agree with what was appended."""
    with create_stream(settings(tmp_path)) as stream:
        for i in range(4):
            stream.append(frame(i))
    stats = stream.stats()
    assert (stats.frames_accepted, stats.frames_written) == (4, 4)
    assert stats.bytes_written == 4 * 96
    assert stats.queue_depth == 0
    assert stats.longest_append > 0


def test_rgb_frames_become_three_channels(tmp_path: Path) -> None:
    """`view` returns them as RGB frames."""
    rgb = np.arange(8 * 6 * 3, dtype="uint8").reshape(8, 6, 3)
    with create_stream(settings(tmp_path, {"t": 2}, dtype="uint8", rgb=True)) as stream:
        stream.append(rgb)
        stream.append(rgb[::-1])
        view = stream.view()
        assert np.array_equal(view[1], rgb[::-1])
    assert np.array_equal(stored(tmp_path), [rgb.transpose(2, 0, 1), rgb[::-1].transpose(2, 0, 1)])


@pytest.mark.parametrize("first", ["index", "order"])
def test_status_cancelled_if_one_frame_is_missing(tmp_path: Path, first: str) -> None:
    """Although another address was written twice."""
    with create_stream(settings(tmp_path)) as stream:
        if first == "index":
            stream.append(frame(7), index={"t": 0})
        stream.append(frame(0))
        stream.append(frame(1))
        if first == "order":
            stream.append(frame(0), index={"t": 0})
        stream.append(frame(2))
    assert status(tmp_path)["status"] == "cancelled"
    assert np.array_equal(stored(tmp_path), [frame(i) for i in range(3)])


def test_status_complete_with_explicit_indices(tmp_path: Path) -> None:
    with create_stream(settings(tmp_path)) as stream:
        stream.append(frame(3), index={"t": 3})
        stream.append(frame(1), index={"t": 1})
        stream.append(frame(0))
        stream.append(frame(2), index={"t": 2})
    assert status(tmp_path)["status"] == "complete"
    assert np.array_equal(stored(tmp_path), [frame(i) for i in range(4)])


def test_append_with_index_after_close_writes_nothing(tmp_path: Path) -> None:
    stream = create_stream(settings(tmp_path))
    for i in range(4):
        stream.append(frame(i))
    stream.close()
    shutil.rmtree(tmp_path / "x.ome.zarr")
    for index in (None, {"t": 0}, {"t": 9}):
        with pytest.raises(RuntimeError, match="closed"):
            stream.append(frame(9), index=index)
    assert not (tmp_path / "x.ome.zarr").exists()


def test_close_retries_failed_write_of_frame_metadata(tmp_path: Path) -> None:
    journal = tmp_path / "x.ome.zarr" / "frame_metadata.jsonl"
    stream = create_stream(settings(tmp_path, flush_interval=3600))
    for i in range(3):
        stream.append(frame(i), frame_metadata={"serial": i})
    journal.mkdir()  # nothing can be appended to a folder
    with pytest.raises(ow.WriteError, match="not complete on disk"):
        stream.flush()
    journal.rmdir()
    with pytest.raises(ow.WriteError, match="not complete on disk"):
        stream.close()
    known = ow.read_frame_metadata(tmp_path / "x.ome.zarr")
    assert [entry["serial"] for entry in known] == [0, 1, 2]
    assert np.array_equal(stored(tmp_path)[:3], [frame(i) for i in range(3)])


@pytest.mark.thread_writer  # frames of another one are on disk before the folder is replaced
def test_error_of_with_block_names_all_frames(tmp_path: Path) -> None:
    """When `append` raises, other frames have not been compressed and written yet."""
    options = settings(tmp_path, {"t": None}, compression="blosc-zstd")
    accepted = 0
    with pytest.raises(ow.WriteError) as caught, create_stream(options) as stream:
        (tmp_path / "x.ome.zarr" / "0" / "c").touch()  # instead of a folder
        while True:
            stream.append(frame(accepted))
            accepted += 1
    assert caught.value.frames == tuple(range(accepted))


def test_error_in_one_position_leaves_the_others_readable(tmp_path: Path) -> None:
    options = settings(tmp_path, {"t": None, "p": 3})
    with pytest.raises(ow.WriteError), create_stream(options) as stream:
        metadata = tmp_path / "x.ome.zarr" / "0" / "0" / "zarr.json"
        metadata.unlink()
        metadata.mkdir()
        (metadata / "in the way").touch()
        for number in range(6):
            stream.append(frame(number))
    for position in (1, 2):
        expected = [frame(position), frame(position + 3)]
        assert np.array_equal(stored(tmp_path, f"{position}/0"), expected)


@pytest.mark.parametrize(
    ("frames", "expected"),
    [(4, "complete, 4 of 4 frames, 2 images, "), (1, "cancelled, 1 of 4 frames, 2 images, ")],
)
def test_close_logs_path_and_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, frames: int, expected: str
) -> None:
    options = settings(tmp_path, {"t": 2, "p": 2})
    with caplog.at_level(logging.INFO, "ome_writers"), create_stream(options) as stream:
        for number in range(frames):
            stream.append(frame(number))
    (message,) = (r.getMessage() for r in caplog.records if r.levelname == "INFO")
    assert re.fullmatch(re.escape(f"{options.output_path}: {expected}") + r"\d+\.\d s", message)


def test_each_of_two_streams_reports_its_frames(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An error of one stream ends the `with` blocks of both."""
    streams = []
    for name in ("first", "second"):
        options = settings(tmp_path / name)
        time_axis = options.dimensions[0].model_copy(update={"chunk_size": 4})
        dimensions = (time_axis, *options.dimensions[1:])
        streams.append(create_stream(options.model_copy(update={"dimensions": dimensions})))
    with pytest.raises(ow.WriteError, match="first"), streams[0], streams[1]:
        for stream in streams:
            stream.append(frame(0))
        for name in ("first", "second"):
            (tmp_path / name / "x.ome.zarr" / "0" / "c").touch()  # instead of a folder
        streams[0].flush()
    assert "second" in caplog.text
    assert "frame 0 is not on disk" in caplog.text


@pytest.mark.parametrize("dtype", ["float32", "complex64"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_frame_without_finite_pixels(tmp_path: Path, dtype: str, value: float) -> None:
    """No warning, and no display range."""
    with create_stream(settings(tmp_path, {"t": 2}, dtype=dtype)) as stream:
        stream.append(np.full((8, 6), value, dtype))
        stream.append(np.full((8, 6), 7, dtype))
    document = json.loads((tmp_path / "x.ome.zarr" / "zarr.json").read_text())
    window = document["attributes"]["ome"]["omero"]["channels"][0]["window"]
    assert (window["start"], window["end"]) == (7, 8)


def test_create_stream_with_settings_fields(tmp_path: Path) -> None:
    fields = {name: getattr(settings(tmp_path), name) for name in ("dimensions", "dtype")}
    with create_stream(root_path=tmp_path / "x.ome.zarr", **fields) as stream:
        stream.append(frame(3))
    assert np.array_equal(stored(tmp_path), [frame(3)])
    with pytest.raises(TypeError, match="takes settings or their fields, got both"):
        create_stream(settings(tmp_path), overwrite=True)  # type: ignore[call-overload]  # wrong on purpose
    with pytest.raises(TypeError, match="got None: write create_stream\\(root_path=...,"):
        create_stream()  # type: ignore[call-overload]  # wrong on purpose
    with pytest.raises(
        ValueError, match="unknown field overwrites=True. Did you mean .overwrite.\\?"
    ):
        create_stream(overwrites=True, **fields)  # type: ignore[call-overload]  # wrong on purpose


@pytest.mark.parametrize("wrong", ["metadata", "meta"])
def test_unknown_keyword_of_append_lists_keywords(tmp_path: Path, wrong: str) -> None:
    with create_stream(settings(tmp_path)) as stream:
        with pytest.raises(
            TypeError, match=f"frame_metadata.*unexpected keyword argument '{wrong}'"
        ):
            stream.append(frame(0), **{wrong: {"delta_t": 0.5}})
        stream.append(frame(1), frame_metadata={"delta_t": 0.5})
    assert np.array_equal(stored(tmp_path), [frame(1)])


@pytest.mark.parametrize("root", ["x.ome.zarr", "x.ome.tiff", ""])
def test_invalid_global_metadata_raises(tmp_path: Path, root: str) -> None:
    if root.endswith("tiff"):
        pytest.importorskip("tifffile", reason="the engine of OME-TIFF asks for it")
    dims = dims_from_standard_axes({"t": 1, "y": 8, "x": 6})
    path = tmp_path / root if root else ""
    with create_stream(
        AcquisitionSettings(root_path=path, dimensions=dims, dtype="uint8")
    ) as stream:
        for namespace in (3, "", None):
            with pytest.raises(ValueError, match="The namespace must be a non-empty string, got"):
                stream.set_global_metadata(namespace, {})  # type: ignore[arg-type]  # wrong on purpose
        for namespace in ("ome", "ome_writers"):
            with pytest.raises(ValueError, match=f"namespace '{namespace}' is reserved by ome-w"):
                stream.set_global_metadata(namespace, {})
        with pytest.raises(TypeError, match="The metadata of 'lab' must be a mapping, got int"):
            stream.set_global_metadata("lab", 3)  # type: ignore[arg-type]  # wrong on purpose
