"""Key-value pairs of OME-XML: strings as they are, other values as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from ome_types import from_tiff

from ome_writers import (
    AcquisitionSettings,
    create_stream,
    dims_from_standard_axes,
    read_frame_metadata,
)
from ome_writers.formats.ome_xml.annotations import map_annotation, parse_value

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    [
        "",
        "1",
        "-0",
        "1e5",
        "true",
        "null",
        "NaN",
        "Infinity",
        '"quoted"',
        "[1]",
        "{}",
        " 1 ",
        "\r\n",
    ]
)
VALUES = st.recursive(
    TEXTS | st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
).filter(lambda value: "inf" not in repr(value))


@given(VALUES)
def test_a_value_is_read_back_as_it_was_given(value: Any) -> None:
    """Every JSON value survives, strings that look like JSON among them."""
    xml = ElementTree.fromstring(map_annotation("Annotation:0", "lab", {"key": value}))
    (entry,) = xml.iter("M")
    assert parse_value(entry.text or "") == value


@given(TEXTS)
def test_a_string_is_written_as_it_is_unless_it_parses_as_json(text: str) -> None:
    """Other readers show a string without quotes, unless it could be taken for another value."""
    (entry,) = ElementTree.fromstring(map_annotation("Annotation:0", "lab", {"key": text})).iter(
        "M"
    )
    stored = entry.text or ""
    try:
        json.loads(text)
        json_like = True
    except ValueError:
        json_like = False
    if json_like:
        assert json.loads(stored) == text
    elif text.isprintable():
        assert stored == text


def test_other_readers_find_strings_without_quotes(tmp_path: Path) -> None:
    """Tifffile and ome-types show `mouse 7`; `read_frame_metadata` returns all values as they were given."""
    facts = {"sample": "mouse 7", "plain number": 7, "number as text": "7", "list": ["a", 1]}
    path = tmp_path / "x.ome.tiff"
    dimensions = dims_from_standard_axes({"t": 1, "y": 8, "x": 8})
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16")
    with create_stream(settings) as stream:
        stream.set_global_metadata("lab", {"room": "B 12"})
        stream.append(np.ones((8, 8), np.uint16), frame_metadata=facts)
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata or ""
    assert '<M K="sample">mouse 7</M>' in text
    annotations = from_tiff(path).structured_annotations.map_annotations
    found = {key: value for annotation in annotations for key, value in annotation.value.items()}
    assert (found["sample"], found["room"]) == ("mouse 7", "B 12")
    assert (found["plain number"], found["number as text"]) == ("7", '"7"')
    assert found["list"] == '["a",1]'
    assert read_frame_metadata(path) == [{"storage_index": [0, 0, 0], **facts}]
