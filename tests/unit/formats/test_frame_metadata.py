"""The journal of the frames' metadata."""

from __future__ import annotations

import datetime
import json
import os
import tracemalloc
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome_writers import MetadataError
from ome_writers.formats import Journal
from ome_writers.formats.frame_metadata import latest_entries, read_lines


def new(root: Path, images: int = 1) -> Journal:
    """Return an empty journal."""
    return Journal(root, [f"{i}.jsonl" for i in range(images)], durable=False)


def written(journal: Journal, *frames: dict[str, Any]) -> None:
    """Journal frames of image 0, one after the other along t."""
    for i, frame in enumerate(frames):
        journal.record(0, (i, 0), journal.encode(frame))
    journal.write(journal.pop_pending())


def test_a_frame_is_a_line(tmp_path: Path) -> None:
    """Each line is strict JSON: the place, then the caller's keys."""
    journal = new(tmp_path)
    written(journal, {"a": 1.5, "b": "µ"}, {})
    lines = (tmp_path / "0.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines == ['{"storage_index":[0,0],"a":1.5,"b":"µ"}', '{"storage_index":[1,0]}']
    assert (journal.count(0), journal.size(0)) == (2, os.path.getsize(tmp_path / "0.jsonl"))


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (float("nan"), None),
        (np.float64("inf"), None),
        (np.float32(0.5), 0.5),
        (np.int64(-3), -3),
        (np.bool_(True), True),
        (np.str_("s"), "s"),
        (np.array([[1, 2]], "uint8"), [[1, 2]]),
        (np.array([1.0, np.nan]), [1.0, None]),
        (1 + 2j, [1.0, 2.0]),
        (np.complex64(1j), [0.0, 1.0]),
        (Path("a"), "a"),
        (datetime.datetime(2020, 1, 2, 3, 4, 5), "2020-01-02T03:04:05"),
        (np.datetime64("2020-01-02"), "2020-01-02"),
        (np.array(["2020-01-02"], "M8[D]"), ["2020-01-02"]),
        ({"deep": [{"er": np.int8(1)}]}, {"deep": [{"er": 1}]}),
        ((1, 2), [1, 2]),
        (2**70, 2**70),
        (MappingProxyType({"a": 1}), {"a": 1}),
    ],
    ids=repr,
)
def test_values_that_json_does_not_know_are_converted(
    value: Any, stored: Any, tmp_path: Path
) -> None:
    """Numpy's types, paths, dates and complex numbers get a JSON form; NaN and infinity become null."""
    assert json.loads(new(tmp_path).encode({"key": value, "other": 1})) == {
        "key": stored,
        "other": 1,
    }


cycle: dict[str, Any] = {}
cycle["again"] = [cycle]


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"raw": b"x"}, "key 'raw'.*bytes"),
        ({"deep": {"er": [bytearray(b"x")]}}, "key 'deep'"),
        ({"view": memoryview(b"x")}, "key 'view'"),
        ({"fixed": np.array([b"x"])}, "key 'fixed'"),
        ({"cycle": cycle}, "key 'cycle'"),
        ({"good": 1, 2: "two"}, "key 2"),
        ({"deep": {3: "three"}}, "key 'deep'.*3"),
        ({"thing": object()}, "key 'thing'"),
        ({"half": "\ud800"}, "key 'half'"),
        ({"storage_index": [0]}, "storage_index"),
        ("text", "mapping"),
        ([("a", 1)], "must be a mapping with string keys, got list"),
        (5, "must be a mapping with string keys, got int"),
    ],
)
def test_what_has_no_json_form_is_refused(metadata: Any, message: str, tmp_path: Path) -> None:
    """Bytes, cycles, keys that are no strings and other objects raise an error that names the key."""
    with pytest.raises(MetadataError, match=message):
        new(tmp_path).encode(metadata)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "storage_index"), JSON, max_size=5))
def test_json_comes_back_as_it_was(metadata: dict[str, Any]) -> None:
    """What JSON can hold is not changed, whatever its keys and characters are."""
    encoded = Journal(Path("nowhere"), ["x"], durable=False).encode(metadata)
    assert b"\n" not in encoded
    assert json.loads(encoded) == metadata


def test_a_place_that_was_filled_twice_counts_once(tmp_path: Path) -> None:
    """Of two lines of one place the later one counts, where the first one stood."""
    journal = new(tmp_path)
    for index, value in [((0,), 1), ((1,), 2), ((0,), 3)]:
        journal.record(0, index, journal.encode({"v": value}))
    journal.write(journal.pop_pending())
    assert latest_entries(journal.lines(0)) == [
        {"storage_index": [0], "v": 3},
        {"storage_index": [1], "v": 2},
    ]


def test_a_line_that_a_crash_cut_short_is_left_out(tmp_path: Path) -> None:
    """Only whole lines are read."""
    file = tmp_path / "0.jsonl"
    file.write_bytes(b'{"storage_index":[0],"a":1}\n{"storage_index":[1],"a')
    assert latest_entries(read_lines(file)) == [{"storage_index": [0], "a": 1}]
    assert Journal.open_existing(tmp_path, ["0.jsonl"]).count(0) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is full")
def test_a_full_disk_is_an_error(tmp_path: Path) -> None:
    """Lines that the disk does not take raise; they are never lost in silence."""
    (tmp_path / "0.jsonl").symlink_to("/dev/full")
    journal = new(tmp_path)
    with pytest.raises(OSError, match="No space"):
        written(journal, {"a": 1})


def test_images_without_metadata_have_no_file(tmp_path: Path) -> None:
    """A file is made when its first line comes, and reading one that is not there gives nothing."""
    journal = new(tmp_path, images=2)
    written(journal, {"a": 1})
    assert [file.name for file in tmp_path.iterdir()] == ["0.jsonl"]
    assert (journal.count(1), journal.size(1), list(journal.lines(1))) == (0, 0, [])
    journal.discard(0)
    assert not list(tmp_path.iterdir())


def test_lines_on_disk_are_not_in_memory(tmp_path: Path) -> None:
    """After `write` a hundred thousand lines take next to no memory."""
    journal = new(tmp_path)
    encoded = journal.encode({"note": "n" * 100})
    tracemalloc.start()
    try:
        for block in range(10):
            for i in range(10_000):
                journal.record(0, (block, i), encoded)
            journal.write(journal.pop_pending())
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert journal.size(0) > 13_000_000
    assert now < 1_000_000


def test_durable_lines_are_forced_to_the_medium(tmp_path: Path) -> None:
    """With durable=True the same lines are there."""
    journal = Journal(tmp_path, ["0.jsonl"], durable=True)
    written(journal, {"a": 1})
    assert list(read_lines(tmp_path / "0.jsonl")) == [b'{"storage_index":[0,0],"a":1}\n']
