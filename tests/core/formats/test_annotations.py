"""MapAnnotation values: strings verbatim, other values as JSON."""

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
from ome_writers.formats.ome_xml.annotations import FRAME_NAMESPACE, map_annotation, parse_value

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


@given(VALUES, st.sampled_from(["lab", FRAME_NAMESPACE]))
def test_map_annotation_value_round_trip(value: Any, namespace: str) -> None:
    """Every JSON value, including strings that parse as JSON."""
    xml = ElementTree.fromstring(map_annotation("Annotation:0", namespace, {"key": value}))
    (entry,) = xml.iter("M")
    assert parse_value(entry.text or "") == value


@given(VALUES)
def test_every_value_of_global_metadata_is_json(value: Any) -> None:
    """Clients of version 0.3 call `json.loads` on each."""
    xml = ElementTree.fromstring(map_annotation("Annotation:0", "lab", {"key": value}))
    (entry,) = xml.iter("M")
    assert json.loads(entry.text or "") == value


@given(TEXTS)
def test_string_is_quoted_only_if_it_parses_as_json(text: str) -> None:
    (entry,) = ElementTree.fromstring(
        map_annotation("Annotation:0", FRAME_NAMESPACE, {"key": text})
    ).iter("M")
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


def test_third_party_readers_show_strings_of_frames_without_quotes(tmp_path: Path) -> None:
    """Tifffile and ome-types show `mouse 7`; `read_frame_metadata` returns the original values."""
    facts = {"sample": "mouse 7", "plain number": 7, "number as text": "7", "list": ["a", 1]}
    path = tmp_path / "x.ome.tiff"
    dimensions = dims_from_standard_axes({"t": 1, "y": 8, "x": 8})
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16")
    with create_stream(settings) as stream:
        stream.set_global_metadata("lab", {"microscope": "B 12"})
        stream.append(np.ones((8, 8), np.uint16), frame_metadata=facts)
    with tifffile.TiffFile(path) as tiff:
        text = tiff.ome_metadata or ""
    assert '<M K="sample">mouse 7</M>' in text
    annotations = from_tiff(path).structured_annotations.map_annotations
    found = {key: value for annotation in annotations for key, value in annotation.value.items()}
    assert (found["sample"], found["microscope"]) == ("mouse 7", '"B 12"')
    assert (found["plain number"], found["number as text"]) == ("7", '"7"')
    assert found["list"] == '["a",1]'
    assert read_frame_metadata(path) == [{"storage_index": [0, 0, 0], "index": {"t": 0}, **facts}]
