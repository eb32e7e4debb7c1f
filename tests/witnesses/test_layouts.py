"""Other people's readers and validators agree with what was meant: four layouts, three orders, every engine."""

from __future__ import annotations

import itertools
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as ow
from ome_writers import AcquisitionSettings, Channel, Dimension, Plate, Position, create_stream

tensorstore = pytest.importorskip("tensorstore", reason="the independent reader of every Python")
yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")

needs_zarr_python = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="zarr-python 3 needs Python 3.11"
)
ENGINES = [
    "direct",
    "tensorstore",
    pytest.param("zarrs-python", marks=needs_zarr_python),
    pytest.param("zarr-python", marks=needs_zarr_python),
]
ORDERS = {"tczyx": "tpcz", "tzcyx": "tzcp", "pctzyx": "pctz"}
LAYOUTS = ["single", "collection", "plate", "unbounded"]
SIZES = {"t": 3, "p": 3, "c": 2, "z": 2}
Y, X = 8, 6

POSITIONS = [
    Position(name="left", x_coord=100.0, y_coord=-20.5, z_coord=3.0),
    Position(name="right", x_coord=250.0, y_coord=0.0, z_coord=4.0),
    Position(name="third", x_coord=0.0, y_coord=7.0, z_coord=5.0),
]
FIELDS = [
    Position(name="fov0", plate_row="A", plate_column="1", x_coord=100.0),
    Position(name="fov1", plate_row="A", plate_column="1", x_coord=250.0),
    Position(name="fov0", plate_row="B", plate_column="3", x_coord=0.0),
]
FIELD_PATHS = ["A/1/fov0", "A/1/fov1", "B/3/fov0"]
PLATE = Plate(name="screen", row_names=["A", "B"], column_names=["1", "2", "3"])


@dataclass(frozen=True)
class Written:
    """A dataset that was written, and what it should hold.

    Attributes
    ----------
    root
        Where it lies.
    images
        Path of each image's group to its pixels, shape (t, c, z, y, x).
    """

    root: Path
    images: dict[str, np.ndarray]


def axis(name: str, count: int | None, positions: list[Position]) -> Dimension:
    """Return an axis as a microscope would describe it."""
    if name == "p":
        return Dimension(name="p", type="position", coords=positions)
    if name == "c":
        if count is None:
            return Dimension(name="c", count=None, type="channel")
        return Dimension(name="c", coords=[Channel(name="DAPI", color="blue"), Channel(name="BF")])
    facts: dict[str, Any] = {
        "t": {"unit": "second", "scale": 2.5},
        "z": {"unit": "micrometer", "scale": 0.5, "translation": -1.0, "chunk_size": 2},
    }[name]
    return Dimension(name=name, count=count, **facts)


def plane_axes() -> list[Dimension]:
    """Return y and x with pixels of a quarter of a micrometer."""
    return [
        Dimension(name="y", count=Y, unit="micrometer", scale=0.25),
        Dimension(name="x", count=X, unit="micrometer", scale=0.25, translation=10.0),
    ]


def frame(number: int) -> np.ndarray:
    """Return a frame that differs from every other one in each pixel."""
    return (np.arange(Y * X, dtype="uint16") + 1 + 100 * number).reshape(Y, X)


def write(root: Path, layout: str, order: str, engine: str) -> Written:
    """Write distinct frames, and put each where nested loops over the axes say it belongs."""
    names = list(ORDERS[order])
    if layout == "single" or (layout == "unbounded" and names[0] == "p"):
        names.remove("p")  # positions have an end, so another axis has to be the outermost
    positions = FIELDS if layout == "plate" else POSITIONS
    counts = {name: SIZES[name] for name in names}
    endless = names[0] if layout == "unbounded" else None
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[
            *(axis(n, None if n == endless else counts[n], positions) for n in names),
            *plane_axes(),
        ],
        dtype="uint16",
        format=engine,
        plate=PLATE if layout == "plate" else None,
    )
    paths = [""]
    if "p" in names:
        paths = FIELD_PATHS if layout == "plate" else [str(p) for p in range(SIZES["p"])]
    shape = (SIZES["t"], SIZES["c"], SIZES["z"], Y, X)
    images = {path: np.zeros(shape, "uint16") for path in paths}
    with create_stream(settings) as stream:
        for number, place in enumerate(itertools.product(*(range(c) for c in counts.values()))):
            at = dict(zip(names, place, strict=True))
            stream.append(frame(number))
            images[paths[at.get("p", 0)]][at["t"], at["c"], at["z"]] = frame(number)
    return Written(root, images)


def document(root: Path, group: str = "") -> dict[str, Any]:
    """Return a group's attributes."""
    return strict(root / group / "zarr.json")["attributes"]


def strict(path: Path) -> dict[str, Any]:
    """Read JSON as its standard has it: no NaN, no infinity, no key twice."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{path}: {constant} is no JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), f"{path}: a key twice in {pairs}"
        return dict(pairs)

    text = path.read_text(encoding="utf-8")
    return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)


def through_tensorstore(array: Path) -> np.ndarray:
    """Return an array as tensorstore reads it."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(array)}}
    return np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result())


def through_zarr_python(array: Path) -> np.ndarray:
    """Return an array as zarr-python reads it."""
    import zarr

    return np.asarray(zarr.open_array(array, mode="r")[...])


def accepted_by_ome_zarr_models(root: Path, groups: list[str]) -> None:
    """Have ome-zarr-models open each group; it raises where a document or an array is wrong."""
    from ome_zarr_models import open_ome_zarr

    for group in groups:
        open_ome_zarr(root / group, version="0.5")


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    """Return a layout's name."""
    return request.param


@pytest.fixture(params=list(ORDERS))
def order(request: pytest.FixtureRequest) -> str:
    """Return an acquisition order."""
    return request.param


@pytest.fixture(params=ENGINES)
def written(request: pytest.FixtureRequest, tmp_path: Path, layout: str, order: str) -> Written:
    """Return a dataset of each layout and order, written by each engine."""
    return write(tmp_path / "x.ome.zarr", layout, order, request.param)


def test_every_reader_finds_what_was_appended(written: Written, layout: str) -> None:
    """Validators accept the dataset, its documents are strict JSON, and two readers return every pixel."""
    yaozarrs.validate_zarr_store(str(written.root))
    for path in written.root.rglob("zarr.json"):
        strict(path)
    assert document(written.root)["ome_writers"]["status"] == "complete"
    for group, pixels in written.images.items():
        array = written.root / group / "0"
        assert strict(array / "zarr.json")["dimension_names"] == list("tczyx")
        assert np.array_equal(through_tensorstore(array), pixels)
    if sys.version_info >= (3, 11):
        for group, pixels in written.images.items():
            assert np.array_equal(through_zarr_python(written.root / group / "0"), pixels)
        # ome-zarr-models 1.7 knows no collection of version 0.5: there, each image is opened.
        roots = [""] if layout == "plate" else []
        accepted_by_ome_zarr_models(written.root, [*roots, *written.images])


def collection(root: Path, positions: list[Any], **more: Any) -> Written:
    """Write two time points of each position, in order t, p."""
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[
            Dimension(name="t", count=2),
            Dimension(name="p", type="position", coords=positions),
            *plane_axes(),
        ],
        dtype="uint16",
        **more,
    )
    count = len(positions)
    with create_stream(settings) as stream:
        for number in range(2 * count):
            stream.append(frame(number))
    pixels = [np.stack([frame(p), frame(count + p)]) for p in range(count)]
    return Written(root, {str(p): image for p, image in enumerate(pixels)})


def multiscale(root: Path, group: str) -> dict[str, Any]:
    """Return the one multiscale of an image."""
    (found,) = document(root, group)["ome"]["multiscales"]
    return found


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


# Letters and digits are all that NGFF allows in a field's path; yaozarrs warns of others, and accepts them.
@pytest.mark.filterwarnings("ignore:The FieldOfView.path:UserWarning")
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
        assert multiscale(written.root, path)["name"] == position.name
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
