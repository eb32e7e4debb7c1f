"""Frames and metadata that are wrong: refused with a clear error, the stream where it was; or stored exactly."""

from __future__ import annotations

import datetime
import enum
import math
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import OMEStream, create_stream, read_frame_metadata
from ome_writers.errors import (
    EndOfAcquisitionError,
    FrameShapeError,
    FrameTypeError,
    MetadataError,
    UnsupportedError,
)
from ome_writers.storage import ENGINES
from refusals.bad import READY, frame, refusal, settings
from support.dataset_readers import read_images

pytestmark = pytest.mark.parametrize("engine", READY)


class Ruler:
    """Offers an array only when asked."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self._array, dtype)


def wrong_frames() -> list[tuple[Any, type[Exception], str]]:
    """Return what is no frame, the error that says so, and words of its message."""
    right = frame(1)
    shape, dtype, kind = FrameShapeError, FrameTypeError, FrameTypeError
    return [
        (right[:, :5], shape, r"has shape \(8, 6\), got \(8, 5\)"),
        (right.T, shape, r"got \(6, 8\)"),
        (right[0], shape, r"got \(6,\)"),
        (right[None], shape, r"got \(1, 8, 6\)"),
        (right[:0], shape, r"got \(0, 6\)"),
        (np.zeros((0,), "uint16"), shape, r"got \(0,\)"),
        (np.uint16(3), shape, r"got \(\)"),
        (right.ravel(), shape, r"got \(48,\)"),
        (Ruler(right[1:]), shape, r"got \(7, 6\)"),
        (right.astype("int16"), dtype, r"dtype uint16, got int16.*frame\.astype\('uint16'\)"),
        (right.astype("uint8"), dtype, "dtype uint16, got uint8"),
        (right.astype("float64"), dtype, "got float64"),
        (right.astype(object), dtype, "got object"),
        (right.astype("S2"), dtype, r"got \|S2"),
        (right > 0, dtype, "got bool"),
        (right.view([("a", "u1"), ("b", "u1")]), dtype, "got"),
        (right.astype("M8[s]"), dtype, "got datetime64"),
        (np.ma.masked_less(right, 9), kind, r"masked array.*frame\.filled\(0\)"),
        (np.ma.masked_array(right), kind, "masked array"),
        (right.tolist(), kind, "must be an array of dtype uint16.*got list"),
        ((), kind, "got tuple"),
        (b"pixels", kind, "got bytes"),
        ("frame.tif", kind, "got str"),
        (None, kind, "got NoneType"),
        (7, kind, "got int"),
        (object(), kind, "got object"),
        ({}, kind, "got"),
    ]


def judge(stream: OMEStream) -> None:
    """Look whether the three frames are there and nothing else."""
    read = read_images(stream.plan, [stream.plan.images[0].array.shape])[0]
    assert np.array_equal(read, [frame(0), frame(1), frame(2)])


def test_a_wrong_frame_is_refused(tmp_path: Path, engine: str) -> None:
    """Each wrong frame raises an error with what was expected and what came; the next frame takes its place."""
    with create_stream(settings(tmp_path, engine)) as stream:
        stream.append(frame(0))
        for wrong, error, message in wrong_frames():
            with refusal(error, match=message):
                stream.append(wrong)
            with refusal(error, match=message):
                stream.append(wrong, copy=False, frame_metadata={"serial": 1})
            assert stream.stats().frames_accepted == 1
        stream.append(frame(1))
        stream.append(frame(2))
        with refusal(EndOfAcquisitionError, match="would exceed total of 3 frames"):
            stream.append(frame(3))
    judge(stream)
    assert read_frame_metadata(stream.settings.output_path) == []


def test_unusual_frames_are_exact(tmp_path: Path, engine: str) -> None:
    """Frames in any order of bytes and axes, read-only, strided, or offered by other objects are stored exactly."""
    fixed = frame(1)
    fixed.flags.writeable = False
    strided = np.zeros((16, 18), "uint16")
    strided[::2, ::3] = frame(2)
    rounds = [
        [frame(0).astype(">u2"), fixed, strided[::2, ::3]],
        [np.asfortranarray(frame(0)), memoryview(frame(1)), Ruler(frame(2))],
        [frame(0)[::-1][::-1], frame(1).astype(">u2")[::-1][::-1], frame(2).view(np.matrix)],
    ]
    for number, frames in enumerate(rounds):
        for copy in (True, False):
            path = tmp_path / f"{number}-{copy}"
            with create_stream(settings(path, engine)) as stream:
                for one in frames:
                    stream.append(one, copy=copy)
            judge(stream)


def test_wrong_metadata_is_refused(tmp_path: Path, engine: str) -> None:
    """Metadata that JSON cannot hold raises an error that names the key; the frame is not taken."""
    loop: dict[str, Any] = {"list": []}
    loop["list"].append(loop)
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    cases = [
        ({"a": object()}, "'a'"),
        ({1: 2}, "string"),
        ({("x", "y"): 1}, "string"),
        (loop, "frame_metadata"),
        ({"deep": deep}, "frame_metadata"),
        ({"b": b"\xff\xfe"}, "'b'"),
        ({"text": "\ud800"}, "frame_metadata"),
        ({"storage_index": 3}, "storage_index.*is reserved for the storage index"),
        ({"f": print}, "'f'"),
        ([("a", 1)], "must be a mapping with string keys, got list"),
        ("a", "must be a mapping with string keys, got str"),
    ]
    with create_stream(settings(tmp_path, engine)) as stream:
        stream.append(frame(0))
        for metadata, message in cases:
            with refusal(MetadataError, match=message):
                stream.append(frame(9), frame_metadata=metadata)  # type: ignore[arg-type]  # wrong on purpose
            assert stream.stats().frames_accepted == 1
        stream.append(frame(1), frame_metadata={})
        stream.append(frame(2))
    judge(stream)


def test_unusual_metadata_is_kept(tmp_path: Path, engine: str) -> None:
    """Numpy values, dates, paths and the like become JSON; NaN becomes null; text comes back as it was."""

    class Mode(enum.Enum):
        FAST = "fast"

    text = 'µ 🔬 \x00 \x1b \ufffe \uffff \u2028 ]]> </OME> " \\ {'
    key = 'µ 🔬 ]]> </OME> " \\ {'  # XML attributes cannot hold control characters
    known = uuid.UUID(int=7)
    given = {
        "i": np.int64(-3),
        "f": np.float32(0.5),
        "flag": np.bool_(True),
        "array": np.arange(3),
        "nan": math.nan,
        "inf": [-math.inf],
        "when": datetime.datetime(2026, 11, 21, 9, 30),
        "path": Path("a") / "b",
        "mode": Mode.FAST,
        "id": known,
        "set": {1},
        "big": 2**60,
        "text": text,
        key: "as a key",
        "": "no name",
        "nested": {"k": [1, {"z": None}]},
        "delta_t": np.float64(1.5),
    }
    with create_stream(settings(tmp_path, engine)) as stream:
        for number in range(3):
            stream.append(frame(number), frame_metadata={**given, "serial": number})
    judge(stream)
    entries = read_frame_metadata(stream.settings.output_path)
    assert [entry["serial"] for entry in entries] == [0, 1, 2]
    for entry in entries:
        assert (entry["i"], entry["f"], entry["flag"], entry["big"]) == (-3, 0.5, True, 2**60)
        assert entry["array"] == [0, 1, 2]
        assert entry["nan"] is None
        assert entry["inf"] == [None]
        assert entry["when"].startswith("2026-11-21T09:30")
        assert Path(entry["path"]) == Path("a/b")
        assert (entry["mode"], entry["id"], entry["set"]) == ("fast", str(known), [1])
        assert (entry["text"], entry[key], entry[""]) == (text, "as a key", "no name")
        assert entry["nested"] == {"k": [1, {"z": None}]}
        assert entry["delta_t"] == 1.5


def test_a_wrong_index_is_refused(tmp_path: Path, engine: str) -> None:
    """An index outside of the acquisition, or of axes that it does not have, raises; the stream is where it was."""
    with create_stream(settings(tmp_path, engine)) as stream:
        if not ENGINES[engine].random_access:
            with refusal(UnsupportedError, match=r"in order only: index=\{'t': 1\}"):
                stream.append(frame(1), index={"t": 1})
        else:
            for index, message in (
                ({"t": 3}, r"index \{'t': 3\} is out of range: the axis has 3 places"),
                ({"t": -1}, "out of range"),
                ({"q": 0}, r"index names \['q'\], but the axes .* are \['t'\]"),
                ({"y": 0}, r"index names \['y'\]"),
            ):
                with refusal(IndexError, match=message):
                    stream.append(frame(9), index=index)
        for frames in (0, -1):
            with refusal(ValueError, match=f"frames must be positive, got {frames}"):
                stream.skip(frames=frames)
        for odd in (1.5, "2"):
            with refusal(TypeError, match=f"frames must be a whole number, got {odd!r}"):
                stream.skip(frames=odd)  # type: ignore[arg-type]  # wrong on purpose
        with refusal(IndexError, match=r"would exceed total of 3 frames \(tried to skip 4\)"):
            stream.skip(frames=4)
        for number in range(3):
            stream.append(frame(number))
    judge(stream)
