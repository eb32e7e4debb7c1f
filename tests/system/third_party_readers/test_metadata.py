"""The metadata of OME-Zarr as third-party validators and readers see it, also after acquisitions that end early."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as ow
from ome_writers import AcquisitionSettings, Dimension, Position, create_stream
from system.third_party_readers.datasets import (
    ENGINES,
    PLATE,
    POSITIONS,
    X,
    Y,
    attributes,
    axis,
    collection,
    frame,
    multiscale,
    plane_axes,
    read_strict_json,
    read_with_tensorstore,
    read_with_zarr_python,
    validate_with_ome_zarr_models,
    write,
)

yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")


def test_collection_lists_its_images(tmp_path: Path) -> None:
    """`series` is in acquisition order; the OME-XML is valid and has the same names."""
    ome_types = pytest.importorskip("ome_types")
    root = write(tmp_path / "x.ome.zarr", "collection", "tczyx", "direct").root
    assert attributes(root)["ome"]["bioformats2raw.layout"] == 3
    assert attributes(root, "OME")["ome"]["series"] == ["0", "1", "2"]
    xml = (root / "OME" / "METADATA.ome.xml").read_text(encoding="utf-8")
    ome_types.validate_xml(xml)
    images = ome_types.from_xml(xml, validate=True).images
    names = [multiscale(root, str(n))["name"] for n in range(3)]
    assert [image.name for image in images] == names == ["left", "right", "third"]
    pixels = images[0].pixels
    sizes = pixels.size_t, pixels.size_c, pixels.size_z, pixels.size_y, pixels.size_x
    assert sizes == (3, 2, 2, Y, X)
    assert [channel.name for channel in pixels.channels] == ["DAPI", "BF"]
    assert [str(p.stage_label.x) for p in images] == ["100.0", "250.0", "0.0"]


def test_axes_scales_and_translations(tmp_path: Path) -> None:
    """The stage position is added to the translation of the dimension."""
    root = write(tmp_path / "x.ome.zarr", "collection", "tzcyx", "direct").root
    image = multiscale(root, "1")
    assert image["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    assert image["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [2.5, 1.0, 0.5, 0.25, 0.25]},
        {"type": "translation", "translation": [0.0, 0.0, 4.0 - 1.0, 0.0, 250.0 + 10.0]},
    ]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_omero_windows_are_the_range_of_the_data(tmp_path: Path, dtype: str) -> None:
    root = tmp_path / "x.ome.zarr"
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[Dimension(name="t", count=4), axis("c", 2, []), *plane_axes()],
        dtype=dtype,
    )
    ramp = np.linspace(10, 100, Y * X).astype(dtype).reshape(Y, X)
    with create_stream(settings) as stream:
        for number in range(8):
            stream.append(ramp if number % 2 == 0 else (ramp + 20).astype(dtype))
    yaozarrs.validate_zarr_store(str(root))
    dapi, bright = attributes(root)["ome"]["omero"]["channels"]
    assert [(c["label"], c["color"], c["active"]) for c in (dapi, bright)] == [
        ("DAPI", "0000FF", True),
        ("BF", "FFFFFF", True),
    ]
    assert [(c["window"]["start"], c["window"]["end"]) for c in (dapi, bright)] == [
        (10, 100),
        (30, 120),
    ]
    assert np.array_equal(read_with_tensorstore(root / "0")[:, 0], [ramp] * 4)


UNUSUAL_NAMES = [
    "a/b",
    "..",
    "../../escaped",
    "🔬 naïve",
    "CON",
    "n" * 300,
    "back\\slash",
    " dot. ",
]


def test_position_names_do_not_affect_paths(tmp_path: Path) -> None:
    """Nothing is written outside of the output, and the metadata has the unchanged names."""
    outer = tmp_path / "outer"
    outer.mkdir()
    written = collection(outer / "x.ome.zarr", UNUSUAL_NAMES)
    check_files_below(tmp_path, written.root)
    assert [
        multiscale(written.root, str(n))["name"] for n in range(len(UNUSUAL_NAMES))
    ] == UNUSUAL_NAMES
    for group, pixels in written.images.items():
        assert np.array_equal(read_with_tensorstore(written.root / group / "0"), pixels)
    yaozarrs.validate_zarr_store(str(written.root))
    ome_types = pytest.importorskip("ome_types")
    xml = (written.root / "OME" / "METADATA.ome.xml").read_text(encoding="utf-8")
    assert [i.name for i in ome_types.from_xml(xml, validate=True).images] == UNUSUAL_NAMES


def check_files_below(folder: Path, root: Path) -> None:
    """Check that all files below `folder` are below `root`."""
    files = {path for path in folder.rglob("*") if path.is_file()}
    assert files == {path for path in root.rglob("*") if path.is_file()}
    assert files


def field_paths(root: Path, well: str) -> list[str]:
    return [f"{well}/{i['path']}" for i in attributes(root, well)["ome"]["well"]["images"]]


@pytest.mark.filterwarnings("error:The FieldOfView.path:UserWarning")
def test_fields_of_view_never_share_a_path(tmp_path: Path) -> None:
    """Also if their names are equal after sanitization or case folding."""
    cells = {"plate_row": "A", "plate_column": "1"}
    names = [*UNUSUAL_NAMES, "a_b", "A_B", "a.b", "a_b_1", "f_0_1"]
    positions = [Position(name=name, **cells) for name in names]
    positions.append(Position(name="f", grid_row=0, grid_column=1, **cells))
    outer = tmp_path / "outer"
    outer.mkdir()
    written = collection(outer / "x.ome.zarr", positions, plate=PLATE)
    check_files_below(tmp_path, written.root)
    paths = field_paths(written.root, "A/1")
    assert len({path.casefold() for path in paths}) == len(positions)
    for path, position, pixels in zip(paths, positions, written.images.values(), strict=True):
        assert np.array_equal(read_with_tensorstore(written.root / path / "0"), pixels)
        cell = "" if position.grid_row is None else f"_{position.grid_row}_{position.grid_column}"
        assert multiscale(written.root, path)["name"] == position.name + cell
    yaozarrs.validate_zarr_store(str(written.root))


@pytest.mark.parametrize(("keep", "times"), [("trim", 2), ("keep", 5)])
@pytest.mark.parametrize("engine", ENGINES)
def test_fewer_frames_than_planned(tmp_path: Path, engine: str, keep: Any, times: int) -> None:
    """on_incomplete: "trim" cuts the array, "keep" leaves its shape; the status is cancelled."""
    root = tmp_path / "x.ome.zarr"
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[Dimension(name="t", count=5), axis("c", 2, []), *plane_axes()],
        dtype="uint16",
        format=engine,
        on_incomplete=keep,
    )
    with create_stream(settings) as stream:
        for number in range(3):
            stream.append(frame(number))
    expected = np.zeros((times, 2, Y, X), "uint16")
    expected.reshape(-1, Y, X)[:3] = [frame(n) for n in range(3)]
    assert np.array_equal(read_with_tensorstore(root / "0"), expected)
    if sys.version_info >= (3, 11):
        assert np.array_equal(read_with_zarr_python(root / "0"), expected)
        validate_with_ome_zarr_models(root, [""])
    yaozarrs.validate_zarr_store(str(root))
    own = attributes(root)["ome_writers"]
    frames = {"expected": 10, "written": 3, "in_order": 3}
    assert (own["status"], own["frames"]) == ("cancelled", frames)


def test_positions_without_frames(tmp_path: Path) -> None:
    """They are valid images of zeros."""
    root = tmp_path / "x.ome.zarr"
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[axis("p", 3, POSITIONS), axis("t", 3, []), *plane_axes()],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        stream.append(frame(0))
    yaozarrs.validate_zarr_store(str(root))
    assert np.array_equal(read_with_tensorstore(root / "0" / "0")[0], frame(0))
    assert attributes(root, "OME")["ome"]["series"] == ["0", "1", "2"]
    for group in ("1", "2"):
        assert not read_with_tensorstore(root / group / "0").any()
    assert attributes(root)["ome_writers"]["status"] == "cancelled"


def test_small_frame_metadata_is_embedded(tmp_path: Path) -> None:
    """zarr.json contains the frame metadata with storage indices; the journal is removed."""
    root = tmp_path / "x.ome.zarr"
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[axis("c", 2, []), axis("t", 2, []), *plane_axes()],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        for number in range(4):
            metadata = {"delta_t": number / 2, "temperature": math.nan, "gain": np.float32(1.5)}
            stream.append(frame(number), frame_metadata=metadata)
    others = {"temperature": None, "gain": 1.5}
    assert read_strict_json(root / "zarr.json")["attributes"]["ome_writers"]["frame_metadata"] == [
        {"storage_index": [0, 0], "delta_t": 0.0, **others},
        {"storage_index": [1, 0], "delta_t": 0.5, **others},
        {"storage_index": [0, 1], "delta_t": 1.0, **others},
        {"storage_index": [1, 1], "delta_t": 1.5, **others},
    ]
    assert not list(root.rglob("*.jsonl"))
    assert [f["delta_t"] for f in ow.read_frame_metadata(root)] == [0.0, 0.5, 1.0, 1.5]


def test_large_frame_metadata_stays_in_the_journal(tmp_path: Path) -> None:
    """More than 1 MiB per image stays in the journal; zarr.json refers to it."""
    root = tmp_path / "x.ome.zarr"
    settings = AcquisitionSettings(
        root_path=root, dimensions=[Dimension(name="t", count=12), *plane_axes()], dtype="uint16"
    )
    with create_stream(settings) as stream:
        for number in range(12):
            stream.append(frame(number), frame_metadata={"n": number, "note": "x" * 100_000})
    pointer = attributes(root)["ome_writers"]["frame_metadata"]
    assert (root / "zarr.json").stat().st_size < 20_000
    lines = (root / pointer["journal"]).read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    assert [(e["storage_index"], e["n"]) for e in entries] == [([n], n) for n in range(12)]
    assert [f["n"] for f in ow.read_frame_metadata(root)] == list(range(12))
    yaozarrs.validate_zarr_store(str(root))
