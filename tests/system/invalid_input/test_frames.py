"""Invalid frames, frame metadata and indices are refused without side effects; unusual ones are stored exactly."""

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
from support.dataset_readers import read_images
from system.invalid_input.cases import INSTALLED, frame, refusal, settings

pytestmark = pytest.mark.parametrize("engine", INSTALLED)


class ArrayLike:
    """An object with `__array__` only."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return np.asarray(self._array, dtype)


def invalid_frames() -> list[tuple[Any, type[Exception], str]]:
    """Return invalid frames with the error and a pattern of its message."""
    valid = frame(1)
    shape, dtype, kind = FrameShapeError, FrameTypeError, FrameTypeError
    return [
        (valid[:, :5], shape, r"has shape \(8, 6\), got \(8, 5\)"),
        (valid.T, shape, r"got \(6, 8\)"),
        (valid[0], shape, r"got \(6,\)"),
        (valid[None], shape, r"got \(1, 8, 6\)"),
        (valid[:0], shape, r"got \(0, 6\)"),
        (np.zeros((0,), "uint16"), shape, r"got \(0,\)"),
        (np.uint16(3), shape, r"got \(\)"),
        (valid.ravel(), shape, r"got \(48,\)"),
        (ArrayLike(valid[1:]), shape, r"got \(7, 6\)"),
        (valid.astype("int16"), dtype, r"dtype uint16, got int16.*frame\.astype\('uint16'\)"),
        (valid.astype("uint8"), dtype, "dtype uint16, got uint8"),
        (valid.astype("float64"), dtype, "got float64"),
        (valid.astype(object), dtype, "got object"),
        (valid.astype("S2"), dtype, r"got \|S2"),
        (valid > 0, dtype, "got bool"),
        (valid.view([("a", "u1"), ("b", "u1")]), dtype, "got"),
        (valid.astype("M8[s]"), dtype, "got datetime64"),
        (np.ma.masked_less(valid, 9), kind, r"masked array.*frame\.filled\(0\)"),
        (np.ma.masked_array(valid), kind, "masked array"),
        (valid.tolist(), kind, "must be an array of dtype uint16.*got list"),
        ((), kind, "got tuple"),
        (b"pixels", kind, "got bytes"),
        ("frame.tif", kind, "got str"),
        (None, kind, "got NoneType"),
        (7, kind, "got int"),
        (object(), kind, "got object"),
        ({}, kind, "got"),
    ]


def check_stored_frames(stream: OMEStream) -> None:
    """Check that exactly frames 0, 1 and 2 are stored."""
    read = read_images(stream.plan, [stream.plan.images[0].array.shape])[0]
    assert np.array_equal(read, [frame(0), frame(1), frame(2)])


def test_invalid_frame_is_refused(tmp_path: Path, engine: str) -> None:
    """The error names the expected and the actual value; the next frame is stored at the same index."""
    with create_stream(settings(tmp_path, engine)) as stream:
        stream.append(frame(0))
        for invalid, error, message in invalid_frames():
            with refusal(error, match=message):
                stream.append(invalid)
            with refusal(error, match=message):
                stream.append(invalid, copy=False, frame_metadata={"serial": 1})
            assert stream.stats().frames_accepted == 1
        stream.append(frame(1))
        stream.append(frame(2))
        with refusal(EndOfAcquisitionError, match="would exceed total of 3 frames"):
            stream.append(frame(3))
    check_stored_frames(stream)
    assert read_frame_metadata(stream.settings.output_path) == []


def test_unusual_frames_are_stored_exactly(tmp_path: Path, engine: str) -> None:
    """Any byte order and memory order, read-only, strided, and array-likes."""
    fixed = frame(1)
    fixed.flags.writeable = False
    strided = np.zeros((16, 18), "uint16")
    strided[::2, ::3] = frame(2)
    rounds = [
        [frame(0).astype(">u2"), fixed, strided[::2, ::3]],
        [np.asfortranarray(frame(0)), memoryview(frame(1)), ArrayLike(frame(2))],
        [frame(0)[::-1][::-1], frame(1).astype(">u2")[::-1][::-1], frame(2).view(np.matrix)],
    ]
    for number, frames in enumerate(rounds):
        for copy in (True, False):
            path = tmp_path / f"{number}-{copy}"
            with create_stream(settings(path, engine)) as stream:
                for one in frames:
                    stream.append(one, copy=copy)
            check_stored_frames(stream)


def test_invalid_frame_metadata_is_refused(tmp_path: Path, engine: str) -> None:
    """Metadata without a JSON form raises an error that names the key; the frame is not accepted."""
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
                stream.append(frame(9), frame_metadata=metadata)  # type: ignore[arg-type]  # deliberately invalid
            assert stream.stats().frames_accepted == 1
        stream.append(frame(1), frame_metadata={})
        stream.append(frame(2))
    check_stored_frames(stream)


def test_unusual_frame_metadata_is_converted(tmp_path: Path, engine: str) -> None:
    """Numpy values, dates and paths become JSON values, NaN becomes null, text is unchanged."""

    class Mode(enum.Enum):
        FAST = "fast"

    text = 'µ 🔬 \x00 \x1b \ufffe \uffff \u2028 ]]> </OME> " \\ {'
    key = 'µ 🔬 ]]> </OME> " \\ {'  # XML attributes cannot contain control characters
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
    check_stored_frames(stream)
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


def test_invalid_index_is_refused(tmp_path: Path, engine: str) -> None:
    """Also `skip` beyond the end; the stream is unchanged."""
    with create_stream(settings(tmp_path, engine)) as stream:
        if not ENGINES[engine].random_access:
            with refusal(
                UnsupportedError, match=r"in acquisition order only, got index=\{'t': 1\}"
            ):
                stream.append(frame(1), index={"t": 1})
        else:
            for index, message in (
                ({"t": 3}, r"index \{'t': 3\} is out of range: the axis has count 3"),
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
                stream.skip(frames=odd)  # type: ignore[arg-type]  # deliberately invalid
        with refusal(IndexError, match=r"would exceed total of 3 frames \(tried to skip 4\)"):
            stream.skip(frames=4)
        for number in range(3):
            stream.append(frame(number))
    check_stored_frames(stream)
