"""The frame metadata journal."""

from __future__ import annotations

import datetime
import json
import os
import sys
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
from ome_writers.formats.frame_metadata import latest_entries
from ome_writers.untrusted import read_lines


def new_journal(root: Path, images: int = 1) -> Journal:
    return Journal(root, [f"{i}.jsonl" for i in range(images)], durable=False)


def write_frames(journal: Journal, *frames: dict[str, Any]) -> None:
    """Journal frames of image 0, along t."""
    for i, frame in enumerate(frames):
        journal.record(0, (i, 0), journal.encode(frame))
    journal.write(journal.pop_pending())


def test_journal_has_one_json_line_per_frame(tmp_path: Path) -> None:
    """Strict JSON: the storage index, then the caller's keys."""
    journal = new_journal(tmp_path)
    write_frames(journal, {"a": 1.5, "b": "µ"}, {})
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
def test_values_without_json_type_are_converted(value: Any, stored: Any, tmp_path: Path) -> None:
    """NumPy types, paths, dates, complex numbers; NaN and infinity become null."""
    assert json.loads(new_journal(tmp_path).encode({"key": value, "other": 1})) == {
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
        ({"good": 1, 2: "two"}, r"\(key 2\): the key 2 is not a string"),
        ({"deep": {3: "three"}}, "key 'deep'.*3"),
        ({"thing": object()}, "key 'thing'"),
        ({"half": "\ud800"}, "key 'half'"),
        ({"storage_index": [0]}, "storage_index"),
        ("text", "mapping"),
        ([("a", 1)], "must be a mapping with string keys, got list"),
        (5, "must be a mapping with string keys, got int"),
    ],
)
def test_values_that_json_cannot_represent_are_refused(
    metadata: Any, message: str, tmp_path: Path
) -> None:
    """The error names the key of bytes, cycles, non-string keys and other objects."""
    with pytest.raises(MetadataError, match=message):
        new_journal(tmp_path).encode(metadata)


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
def test_json_round_trip(metadata: dict[str, Any]) -> None:
    encoded = Journal(Path("nowhere"), ["x"], durable=False).encode(metadata)
    assert b"\n" not in encoded
    assert json.loads(encoded) == metadata


def test_latest_entry_of_a_storage_index_replaces_earlier_ones(tmp_path: Path) -> None:
    """It keeps the position of the first entry."""
    journal = new_journal(tmp_path)
    for index, value in [((0,), 1), ((1,), 2), ((0,), 3)]:
        journal.record(0, index, journal.encode({"v": value}))
    journal.write(journal.pop_pending())
    assert latest_entries(journal.lines(0)) == [
        {"storage_index": [0], "v": 3},
        {"storage_index": [1], "v": 2},
    ]


def test_partial_last_line_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "0.jsonl"
    file.write_bytes(b'{"storage_index":[0],"a":1}\n{"storage_index":[1],"a')
    assert latest_entries(read_lines(file)) == [{"storage_index": [0], "a": 1}]
    assert Journal.open_existing(tmp_path, ["0.jsonl"]).count(0) == 1


@pytest.mark.skipif(
    sys.platform != "linux", reason="a journal on a full disk: only Linux has /dev/full"
)
def test_full_disk_raises(tmp_path: Path) -> None:
    (tmp_path / "0.jsonl").symlink_to("/dev/full")
    journal = new_journal(tmp_path)
    with pytest.raises(OSError, match="No space"):
        write_frames(journal, {"a": 1})


def test_journal_file_is_created_with_its_first_line(tmp_path: Path) -> None:
    journal = new_journal(tmp_path, images=2)
    write_frames(journal, {"a": 1})
    assert [file.name for file in tmp_path.iterdir()] == ["0.jsonl"]
    assert (journal.count(1), journal.size(1), list(journal.lines(1))) == (0, 0, [])
    journal.discard(0)
    assert not list(tmp_path.iterdir())


def test_written_entries_are_not_kept_in_memory(tmp_path: Path) -> None:
    """25,000 entries."""
    journal = new_journal(tmp_path)
    encoded = journal.encode({"note": "n" * 100})
    tracemalloc.start()
    try:
        for block in range(10):
            for i in range(2_500):
                journal.record(0, (block, i), encoded)
            journal.write(journal.pop_pending())
        now, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert journal.size(0) > 3_400_000
    assert now < 300_000


def test_durable_journal_writes_the_same_lines(tmp_path: Path) -> None:
    journal = Journal(tmp_path, ["0.jsonl"], durable=True)
    write_frames(journal, {"a": 1})
    assert list(read_lines(tmp_path / "0.jsonl")) == [b'{"storage_index":[0,0],"a":1}\n']
