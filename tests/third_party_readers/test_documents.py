"""What the documents of an OME-Zarr say, judged by validators: names, windows, metadata, and runs that ended early."""

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
from third_party_readers.datasets import (
    ENGINES,
    PLATE,
    POSITIONS,
    X,
    Y,
    accepted_by_ome_zarr_models,
    axis,
    collection,
    document,
    frame,
    multiscale,
    plane_axes,
    strict,
    through_tensorstore,
    through_zarr_python,
    write,
)

yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")


def test_a_collection_lists_its_images(tmp_path: Path) -> None:
    """The series are the images in acquisition order, and the OME-XML is valid and has the same names."""
    ome_types = pytest.importorskip("ome_types")
    root = write(tmp_path / "x.ome.zarr", "collection", "tczyx", "direct").root
    assert document(root)["ome"]["bioformats2raw.layout"] == 3
    assert document(root, "OME")["ome"]["series"] == ["0", "1", "2"]
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
    """Axes have types and units, scales are the dimensions', and the stage's place is added to the origin."""
    root = write(tmp_path / "x.ome.zarr", "collection", "tzcyx", "direct").root
    found = multiscale(root, "1")
    assert found["axes"] == [
        {"name": "t", "type": "time", "unit": "second"},
        {"name": "c", "type": "channel"},
        {"name": "z", "type": "space", "unit": "micrometer"},
        {"name": "y", "type": "space", "unit": "micrometer"},
        {"name": "x", "type": "space", "unit": "micrometer"},
    ]
    assert found["datasets"][0]["coordinateTransformations"] == [
        {"type": "scale", "scale": [2.5, 1.0, 0.5, 0.25, 0.25]},
        {"type": "translation", "translation": [0.0, 0.0, 4.0 - 1.0, 0.0, 250.0 + 10.0]},
    ]


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_display_windows_are_the_range_of_the_data(tmp_path: Path, dtype: str) -> None:
    """Channels have label, colour and a window from the smallest to the largest value that was seen."""
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
    dapi, bright = document(root)["ome"]["omero"]["channels"]
    assert [(c["label"], c["color"], c["active"]) for c in (dapi, bright)] == [
        ("DAPI", "0000FF", True),
        ("BF", "FFFFFF", True),
    ]
    assert [(c["window"]["start"], c["window"]["end"]) for c in (dapi, bright)] == [
        (10, 100),
        (30, 120),
    ]
    assert np.array_equal(through_tensorstore(root / "0")[:, 0], [ramp] * 4)


HOSTILE = ["a/b", "..", "../../escaped", "🔬 naïve", "CON", "n" * 300, "back\\slash", " dot. "]


def test_hostile_names_of_positions_stay_in_the_metadata(tmp_path: Path) -> None:
    """Whatever a position is called, nothing is written outside the output, and its name is kept."""
    outer = tmp_path / "outer"
    outer.mkdir()
    written = collection(outer / "x.ome.zarr", HOSTILE)
    check_nothing_beside(tmp_path, written.root)
    assert [multiscale(written.root, str(n))["name"] for n in range(len(HOSTILE))] == HOSTILE
    for group, pixels in written.images.items():
        assert np.array_equal(through_tensorstore(written.root / group / "0"), pixels)
    yaozarrs.validate_zarr_store(str(written.root))
    ome_types = pytest.importorskip("ome_types")
    xml = (written.root / "OME" / "METADATA.ome.xml").read_text(encoding="utf-8")
    assert [i.name for i in ome_types.from_xml(xml, validate=True).images] == HOSTILE


def check_nothing_beside(folder: Path, root: Path) -> None:
    """Compare what lies below a folder with what lies below the one output in it."""
    files = {path for path in folder.rglob("*") if path.is_file()}
    assert files == {path for path in root.rglob("*") if path.is_file()}
    assert files


def fields_of(root: Path, well: str) -> list[str]:
    """Return the paths of a well's images, as its document lists them."""
    return [f"{well}/{i['path']}" for i in document(root, well)["ome"]["well"]["images"]]


@pytest.mark.filterwarnings("error:The FieldOfView.path:UserWarning")
def test_fields_of_a_well_never_share_an_array(tmp_path: Path) -> None:
    """Positions whose names become the same path, by any way, have an array each, below the output."""
    cells = {"plate_row": "A", "plate_column": "1"}
    names = [*HOSTILE, "a_b", "A_B", "a.b", "a_b_1", "f_0_1"]
    positions = [Position(name=name, **cells) for name in names]
    positions.append(Position(name="f", grid_row=0, grid_column=1, **cells))
    outer = tmp_path / "outer"
    outer.mkdir()
    written = collection(outer / "x.ome.zarr", positions, plate=PLATE)
    check_nothing_beside(tmp_path, written.root)
    paths = fields_of(written.root, "A/1")
    assert len({path.casefold() for path in paths}) == len(positions)
    for path, position, pixels in zip(paths, positions, written.images.values(), strict=True):
        assert np.array_equal(through_tensorstore(written.root / path / "0"), pixels)
        cell = "" if position.grid_row is None else f"_{position.grid_row}_{position.grid_column}"
        assert multiscale(written.root, path)["name"] == position.name + cell
    yaozarrs.validate_zarr_store(str(written.root))


@pytest.mark.parametrize(("keep", "times"), [("trim", 2), ("keep", 5)])
@pytest.mark.parametrize("engine", ENGINES)
def test_fewer_frames_than_planned(tmp_path: Path, engine: str, keep: Any, times: int) -> None:
    """A run that ends early is cut where it ended or left as planned; the status says cancelled."""
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
    assert np.array_equal(through_tensorstore(root / "0"), expected)
    if sys.version_info >= (3, 11):
        assert np.array_equal(through_zarr_python(root / "0"), expected)
        accepted_by_ome_zarr_models(root, [""])
    yaozarrs.validate_zarr_store(str(root))
    ours = document(root)["ome_writers"]
    assert (ours["status"], ours["frames"]) == ("cancelled", {"expected": 10, "written": 3})


def test_positions_that_were_never_reached(tmp_path: Path) -> None:
    """A run that ends within its first position leaves the others as valid images that read 0."""
    root = tmp_path / "x.ome.zarr"
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[axis("p", 3, POSITIONS), axis("t", 3, []), *plane_axes()],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        stream.append(frame(0))
    yaozarrs.validate_zarr_store(str(root))
    assert np.array_equal(through_tensorstore(root / "0" / "0")[0], frame(0))
    assert document(root, "OME")["ome"]["series"] == ["0", "1", "2"]
    for group in ("1", "2"):
        assert not through_tensorstore(root / group / "0").any()
    assert document(root)["ome_writers"]["status"] == "cancelled"


def test_small_frame_metadata_is_embedded(tmp_path: Path) -> None:
    """Each frame's facts stand in its image's document with the frame's place; the journal is gone."""
    root = tmp_path / "x.ome.zarr"
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[axis("c", 2, []), axis("t", 2, []), *plane_axes()],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        for number in range(4):
            facts = {"delta_t": number / 2, "temperature": math.nan, "gain": np.float32(1.5)}
            stream.append(frame(number), frame_metadata=facts)
    rest = {"temperature": None, "gain": 1.5}
    assert strict(root / "zarr.json")["attributes"]["ome_writers"]["frame_metadata"] == [
        {"storage_index": [0, 0], "delta_t": 0.0, **rest},
        {"storage_index": [1, 0], "delta_t": 0.5, **rest},
        {"storage_index": [0, 1], "delta_t": 1.0, **rest},
        {"storage_index": [1, 1], "delta_t": 1.5, **rest},
    ]
    assert not list(root.rglob("*.jsonl"))
    assert [f["delta_t"] for f in ow.read_frame_metadata(root)] == [0.0, 0.5, 1.0, 1.5]


def test_large_frame_metadata_stays_in_the_journal(tmp_path: Path) -> None:
    """More than 1 MiB an image stays beside its document, which points there and stays small."""
    root = tmp_path / "x.ome.zarr"
    settings = AcquisitionSettings(
        root_path=root, dimensions=[Dimension(name="t", count=12), *plane_axes()], dtype="uint16"
    )
    with create_stream(settings) as stream:
        for number in range(12):
            stream.append(frame(number), frame_metadata={"n": number, "note": "x" * 100_000})
    pointer = document(root)["ome_writers"]["frame_metadata"]
    assert (root / "zarr.json").stat().st_size < 20_000
    lines = (root / pointer["journal"]).read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    assert [(e["storage_index"], e["n"]) for e in entries] == [([n], n) for n in range(12)]
    assert [f["n"] for f in ow.read_frame_metadata(root)] == list(range(12))
    yaozarrs.validate_zarr_store(str(root))
