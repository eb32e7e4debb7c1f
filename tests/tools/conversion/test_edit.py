"""`edit` of both formats, read back by this library and by others; pixels stay."""

from __future__ import annotations

import json
import shutil
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import ome_types
import pytest
import tifffile

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Camera,
    Channel,
    Dimension,
    OmeTiffFormat,
    OmeZarrFormat,
    Plate,
    Position,
    UnsupportedError,
    add_pyramid,
    create_stream,
    dims_from_standard_axes,
    edit,
    validate,
)
from ome_writers_tools.cli import main

FORMATS: dict[str, dict[str, Any]] = {
    "run.ome.zarr": {},
    "levels.ome.zarr": {"pyramid": {"levels": 1}},
    "six.ome.zarr": {"format": OmeZarrFormat(version="0.6")},
    "run.ome.tiff": {},
    "master.ome.tiff": {"format": OmeTiffFormat(multi_file_metadata="master-tiff")},
    "companion.ome.tiff": {"format": OmeTiffFormat(multi_file_metadata="companion-file")},
    "levels.ome.tiff": {"pyramid": {"levels": 1}},
    "one.ome.tiff": {"format": OmeTiffFormat(prefer_single_file="always")},
}


def _write(path: Path, positions: int = 2, **more: Any) -> np.ndarray:
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="p", coords=[f"P{i}" for i in range(positions)]),
            Dimension(name="t", count=2, scale=3, unit="second"),
            Dimension(name="c", coords=[Channel(name="DAPI", color="blue"), "FITC"]),
            Dimension(name="y", count=30, scale=0.5, unit="micrometer"),
            Dimension(name="x", count=32, scale=0.5, unit="micrometer"),
        ],
        dtype="uint16",
        **more,
    )
    frames = np.random.default_rng(1).integers(1, 4000, (4 * positions, 30, 32), "uint16")
    with create_stream(settings) as stream:
        for frame in frames:
            stream.append(frame)
    return frames


@pytest.mark.parametrize("name", FORMATS)
def test_edit_changes_metadata_and_no_pixel(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    frames = _write(path, **FORMATS[name])
    changed = edit(
        path,
        scale={"x": 0.1, "y": 0.2, "t": 7},
        names={"P0": "control"},
        channels={"DAPI": {"name": "Höchst", "color": "#ff8000"}, 1: {"window": (10, 900)}},
    )
    assert changed
    spec = ome_writers.read(path)
    first, second = spec.images
    assert (first.name, second.name) == ("control", "P1")
    for image in spec.images:
        dapi, fitc = image.channels
        assert dapi.name == "Höchst"
        assert dapi.color.as_hex("long") == "#ff8000"
        assert (fitc.name, fitc.window) == ("FITC", (10, 900))
        scale = dict(zip(image.dims, image.levels[0].scale, strict=True))
        assert (scale["t"], scale["y"], scale["x"]) == (7, 0.2, 0.1)
    view = ome_writers.open(path)
    np.testing.assert_array_equal(np.asarray(view[...]).reshape(frames.shape), frames)
    steps = {d.name: (d.scale, d.unit) for d in view.dimensions}
    assert steps["x"] == (0.1, "micrometer")
    assert validate(path).valid


def test_levels_keep_their_relation_to_full_resolution(tmp_path: Path) -> None:
    path = tmp_path / "levels.ome.zarr"
    _write(path, 1, pyramid={"levels": 1})
    before = ome_writers.read(path).images[0].levels
    assert len(before) > 1
    edit(path, scale={"x": 0.25})
    for old, new in zip(before, ome_writers.read(path).images[0].levels, strict=True):
        assert new.scale[-1] == old.scale[-1] / 2
        assert new.translation[-1] == old.translation[-1] / 2
        assert new.scale[:-1] == old.scale[:-1]


@pytest.mark.parametrize("name", ["run.ome.tiff", "companion.ome.tiff"])
def test_tifffile_and_ome_types_read_the_edit(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    frames = _write(path, **FORMATS[name])
    edit(path, scale={"x": 0.1}, channels={0: {"name": "nuclei", "color": "red"}})
    edit(path, scale={"x": 0.125})
    np.testing.assert_array_equal(tifffile.imread(path, series=1).reshape(4, 30, 32), frames[4:])
    ome = ome_types.from_tiff(
        tmp_path / path.name.split(".")[0] / f"{path.name.split('.')[0]}_p000.ome.tiff"
    )
    for image in ome.images:
        assert image.pixels.physical_size_x == 0.125
        assert image.pixels.channels[0].name == "nuclei"
        assert image.pixels.channels[0].color.as_hex() == "#f00"


def test_edit_of_another_programs_dataset(repository: Path, tmp_path: Path) -> None:
    source = repository / "tests/data/ngff-zarr-0.50.ome.zarr"
    path = shutil.copytree(source, tmp_path / "copy.ome.zarr")
    before = np.asarray(ome_writers.open(path)[...])
    edit(path, scale={"x": 0.1}, names={0: "renamed"})
    assert ome_writers.read(path).images[0].name == "renamed"
    assert ome_writers.open(path).dimensions[-1].scale == 0.1
    np.testing.assert_array_equal(np.asarray(ome_writers.open(path)[...]), before)


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a dataset of each format."""
    folder = tmp_path_factory.mktemp("unchanged")
    for name in ("run.ome.zarr", "run.ome.tiff"):
        _write(folder / name)
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scale": {"c": 1}}, r"scale c=1.*axes t, y, x"),
        ({"scale": {"x": 0}}, "scale x=0"),
        ({"names": {"P9": "a"}}, r"no image 'P9'. It has 0 \(P0\), 1 \(P1\)"),
        ({"channels": {2: {"name": "a"}}}, r"no channel 2. It has 0 \(DAPI\)"),
        ({"channels": {0: {"color": "no color"}}}, "channel 0: "),
        ({"channels": {0: {"name": "FITC"}}}, "several channels would be named 'FITC'"),
        ({"channels": {0: {"exposure": 3}}}, "exposure cannot be edited, only name, color, window"),
        ({"positions": {0: {"q": 1}}}, r"position 0: q=1\. Give x, y and z as numbers"),
        ({"positions": {0: {"x": float("nan")}}}, "position 0: x=nan"),
        ({"positions": {0: 3}}, "position 0 must be a dict"),
        ({"positions": {"P9": {"x": 1}}}, r"no image 'P9'"),
        ({"started": "yesterday"}, "started='yesterday' is not a time"),
        ({"started": "5"}, "started='5' is not a time"),
    ],
)
@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_what_does_not_exist_is_refused(
    name: str, changes: dict[str, Any], message: str, unchanged: Path
) -> None:
    path = unchanged / name
    before = ome_writers.read(path)
    with pytest.raises(UnsupportedError, match=message):
        edit(path, **changes)
    assert ome_writers.read(path) == before


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_offset_of_a_stack_follows_its_step(name: str, tmp_path: Path) -> None:
    """And the stage position stays."""
    path = tmp_path / name
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="p", coords=[Position(name="A", z_coord=50)]),
            Dimension(name="z", count=5, scale=1, unit="micrometer", translation=-2),
            Dimension(name="y", count=8, scale=0.5, unit="micrometer", translation=3),
            Dimension(name="x", count=8, scale=0.5, unit="micrometer"),
        ],
        dtype="uint8",
        pyramid={"levels": 1, "axes": ("z", "y", "x"), "method": "mean"}
        if "zarr" in name
        else None,
    )
    with create_stream(settings) as stream:
        for _ in range(5):
            stream.append(np.ones((8, 8), "uint8"))
    edit(path, scale={"z": 2, "y": 1})
    view = ome_writers.open(path)
    assert view.coords["z"] == pytest.approx([-4, -2, 0, 2, 4])
    assert view.coords["y"][0] == pytest.approx(3)
    image = ome_writers.read(path).images[0]
    assert image.position.z_coord == 50
    if "zarr" in name:
        assert image.levels[1].translation[0] - image.levels[0].translation[0] == pytest.approx(1)
        group = json.loads((path / image.key / "zarr.json").read_text(encoding="utf-8"))
        steps = group["attributes"]["ome"]["multiscales"][0]["datasets"][0]
        assert steps["coordinateTransformations"][1]["translation"][0] == pytest.approx(46)


def test_field_of_a_plate_is_named_with_its_well(tmp_path: Path) -> None:
    path = tmp_path / "plate.ome.zarr"
    fields = [
        Position(name=f"f{n}", plate_row="A", plate_column=column)
        for column in ("1", "2")
        for n in range(2)
    ]
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[Dimension(name="p", coords=fields), *dims_from_standard_axes({"y": 8, "x": 8})],
        dtype="uint8",
        plate=Plate.from_standard_wells(6),
    )
    with create_stream(settings) as stream:
        for _ in range(4):
            stream.append(np.ones((8, 8), "uint8"))
    before = [image.name for image in ome_writers.read(path).images]
    edit(path, names={"A2/f0": "control"})
    after = [image.name for image in ome_writers.read(path).images]
    assert [n for n in range(4) if before[n] != after[n]] == [2]
    assert after[2] == "control"
    with pytest.raises(
        UnsupportedError, match=r"has no image 'f7'\. It has 0 \(A1/f0\), 1 \(A1/f1\)"
    ):
        edit(path, names={"f7": "x"})


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_scale_in_another_unit_keeps_origin_and_positions(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    stage = [Position(name="A", x_coord=70, y_coord=-3, z_coord=5), Position(name="B", x_coord=9)]
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="p", coords=stage),
            Dimension(name="z", coords=[-400.0, 0, 400], scale=400, unit="nm"),
            Dimension(name="y", count=8, scale=500, unit="nm", translation=2000),
            Dimension(name="x", count=8, scale=500, unit="nm"),
        ],
        dtype="uint8",
    )
    with create_stream(settings) as stream:
        for _ in range(6):
            stream.append(np.ones((8, 8), "uint8"))
    edit(path, scale={"x": 0.25, "y": 0.25, "z": 0.3})
    spec = ome_writers.read(path)
    assert [image.position for image in spec.images] == stage
    level = spec.images[0].levels[0]
    assert level.scale[-3:] == pytest.approx((0.3, 0.25, 0.25))
    assert level.translation[-2:] == pytest.approx((2, 0))
    assert spec.dimensions[2].translation == pytest.approx(2)
    assert ome_writers.open(path).coords["z"] == pytest.approx([-0.3, 0, 0.3])


def test_one_image_of_a_collection_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "run.ome.zarr")
    for change in (partial(edit, scale={"x": 1}), add_pyramid):
        with pytest.raises(UnsupportedError, match=r"is one image of .*run.ome.zarr: name"):
            change(tmp_path / "run.ome.zarr" / "0")


def test_one_file_of_a_set_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "run.ome.tiff")
    with pytest.raises(UnsupportedError, match="edit the folder"):
        edit(tmp_path / "run" / "run_p001.ome.tiff", scale={"x": 1})


def test_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.ome.zarr"
    _write(path)
    assert main(["edit", str(path), "--name", "control"]) == 1
    assert '--name "P0=control"' in capsys.readouterr().err
    options = ["--scale", "x=0.3", "--name", "P1=right", "--channel-window", "FITC=1:50"]
    assert main(["edit", str(path), *options, "--channel-color", "1=red"]) == 0
    image = ome_writers.read(path).images[1]
    assert (image.name, image.levels[0].scale[-1]) == ("right", 0.3)
    assert image.channels[1].window == (1, 50)
    assert main(["edit", str(path)]) == 2
    assert main(["edit", str(path), "--channel-window", "0=5"]) == 2
    assert main(["edit", str(path), "--channel-window", "0=5:1"]) == 1
    assert main(["edit", "s3://bucket/run.ome.zarr", "--scale", "x=1"]) == 1
    printed = capsys.readouterr().err
    assert "expected CHANNEL=LOW:HIGH, got '0=5'" in printed
    assert "run.ome.zarr: channel 0: window must be (low, high)" in printed
    assert "s3://bucket/run.ome.zarr: remote datasets are only read" in printed
    assert main(["edit", str(path), "--scale", "x=0.2um"]) == 2
    assert "expected a number without a unit, got '0.2um'" in capsys.readouterr().err


@pytest.mark.parametrize("name", FORMATS)
def test_position_description_and_start_are_read_back(name: str, tmp_path: Path) -> None:
    """Twice, as after an interruption; with more than one resolution level, all of them move."""
    path = tmp_path / name
    frames = _write(path, **FORMATS[name])
    before = [level.translation for level in ome_writers.read(path).images[0].levels]
    for _ in range(2):
        edit(
            path,
            positions={"P0": {"x": 1200, "y": -35.5}, 1: {"z": 7}},
            description="HeLa, <2 h> after washout",
            started="2026-11-24T09:00:00+01:00",
        )
    spec = ome_writers.read(path)
    first, second = (image.position for image in spec.images)
    assert (first.x_coord, first.y_coord, first.z_coord) == (1200, -35.5, None)
    assert (second.x_coord, second.z_coord) == (None, 7)
    assert [level.translation for level in spec.images[0].levels] == before
    assert spec.description == "HeLa, <2 h> after washout"
    assert datetime.fromisoformat(spec.started) == datetime(2026, 11, 24, 8, tzinfo=timezone.utc)
    view = ome_writers.open(path)
    np.testing.assert_array_equal(np.asarray(view[...]).reshape(frames.shape), frames)
    assert validate(path).valid
    if "zarr" in name:
        group = zarr_attributes(path / "0")["ome"]["multiscales"][0]
        for level in group["datasets"]:
            scale, move = flat_transformations(level)
            assert move[-1] == pytest.approx(1200 + (scale[-1] - 0.5) / 2)
            assert move[-2] == pytest.approx(-35.5 + (scale[-2] - 0.5) / 2)
        if spec.version == "0.6":
            scene = zarr_attributes(path)["ome"]["scene"]
            assert [t["input"]["path"] for t in scene["coordinateTransformations"]] == ["0", "1"]


def zarr_attributes(group: Path) -> dict[str, Any]:
    attributes: dict[str, Any] = json.loads((group / "zarr.json").read_text(encoding="utf-8"))
    return attributes["attributes"]


def flat_transformations(level: dict[str, Any]) -> tuple[list[float], list[float]]:
    """Return scale and translation; OME-Zarr 0.6 has them in a sequence."""
    (*steps,) = level["coordinateTransformations"]
    steps = steps[0].get("transformations", steps)
    return steps[0]["scale"], steps[1]["translation"]


@pytest.mark.parametrize("name", ["run.ome.tiff", "run.ome.zarr"])
def test_ome_types_reads_position_description_and_start(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    _write(path)
    edit(
        path,
        positions={0: {"x": 1200, "y": -35, "z": 2}},
        description="control",
        started=datetime(2026, 11, 24, 9, tzinfo=timezone.utc),
    )
    xml = ome_writers.formats.dataset_ome_xml(path).decode()
    image = ome_types.from_xml(xml, validate=True).images[0]
    label = image.stage_label
    assert (label.name, label.x, label.y, label.z) == ("P0", 1200, -35, 2)
    assert label.x_unit.value == "µm"
    assert image.description == "control\nAcquisition order, slowest axis first: p, t, c."
    assert image.acquisition_date == datetime(2026, 11, 24, 9, tzinfo=timezone.utc)


def test_tifffile_and_zarr_python_read_the_description(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", minversion="3")
    for name in ("run.ome.tiff", "run.ome.zarr"):
        _write(tmp_path / name, 1)
        edit(tmp_path / name, description="control")
    with tifffile.TiffFile(tmp_path / "run.ome.tiff") as tiff:
        assert "<Description>control\n" in tiff.ome_metadata
    group = zarr.open_group(tmp_path / "run.ome.zarr", mode="r")
    assert group.attrs["ome_writers"]["description"] == "control"


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_position_keeps_the_offset_of_a_stack(name: str, tmp_path: Path) -> None:
    """Also if the step changes in the same call."""
    path = tmp_path / name
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="p", coords=[Position(name="A", z_coord=50), "B"]),
            Dimension(name="z", count=5, scale=1000, unit="nm", translation=-2000),
            *dims_from_standard_axes({"y": 8, "x": 8}),
        ],
        dtype="uint8",
    )
    with create_stream(settings) as stream:
        for _ in range(10):
            stream.append(np.ones((8, 8), "uint8"))
    edit(path, positions={"A": {"z": 60}}, scale={"z": 2})
    spec = ome_writers.read(path)
    assert [image.position.z_coord for image in spec.images] == [60, None]
    assert ome_writers.open(path).coords["z"] == pytest.approx([-4, -2, 0, 2, 4])
    if "zarr" in name:
        origins = []
        for image in spec.images:
            group = zarr_attributes(path / image.key)["ome"]["multiscales"][0]
            origins.append(flat_transformations(group["datasets"][0])[1][0])
        assert origins == pytest.approx([56, -4])


@pytest.mark.parametrize("name", ["run.ome.zarr", "run.ome.tiff"])
def test_position_of_a_single_image_is_its_first_pixel(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="z", coords=[0.0, 2, 4], scale=2, unit="micrometer"),
            Dimension(name="y", count=8, scale=500, unit="nm"),
            Dimension(name="x", count=8, scale=0.5, unit="micrometer"),
        ],
        dtype="uint8",
    )
    with create_stream(settings) as stream:
        for _ in range(3):
            stream.append(np.ones((8, 8), "uint8"))
    for _ in range(2):
        assert main(["edit", str(path), "--position", "x=12,y=-3,z=20"]) == 0
    coords = ome_writers.open(path).coords
    assert coords["z"] == pytest.approx([20, 22, 24])
    assert coords["y"][:2] == pytest.approx([-3000, -2500])
    assert coords["x"][:2] == pytest.approx([12, 12.5])
    assert validate(path).valid


def test_position_on_a_plate_and_of_several_cameras(tmp_path: Path) -> None:
    """Images of all cameras at a position move; OME-XML has the position in the well, too."""
    path = tmp_path / "plate.ome.tiff"
    fields = [Position(name="f0", plate_row="A", plate_column=column) for column in ("1", "2")]
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name="p", coords=fields),
            Dimension(
                name="cam",
                coords=[Camera(name="a"), Camera(name="b", separate_image=True)],
            ),
            *dims_from_standard_axes({"y": 8, "x": 8}),
        ],
        dtype="uint8",
        plate=Plate.from_standard_wells(6),
    )
    with create_stream(settings) as stream:
        for _ in range(4):
            stream.append(np.ones((8, 8), "uint8"))
    edit(path, positions={2: {"x": 4, "y": 5}}, started="2026-11-24T09:00:00Z")
    spec = ome_writers.read(path)
    assert [image.position.x_coord for image in spec.images] == [None, None, 4, 4]
    ome = ome_types.from_xml(ome_writers.formats.dataset_ome_xml(path).decode(), validate=True)
    samples = [s for well in ome.plates[0].wells for s in well.well_samples]
    assert [(s.position_x, s.position_y) for s in samples] == [(None, None)] * 2 + [(4, 5)] * 2
    start = ome.plates[0].plate_acquisitions[0].start_time
    assert start == datetime(2026, 11, 24, 9, tzinfo=timezone.utc)


def test_position_and_description_of_another_programs_dataset(
    repository: Path, tmp_path: Path
) -> None:
    source = repository / "tests/data/ngff-zarr-0.50.ome.zarr"
    path = shutil.copytree(source, tmp_path / "copy.ome.zarr")
    edit(path, positions={0: {"x": 40}}, description="copied", started="2026-11-24T09:00:00Z")
    spec = ome_writers.read(path)
    assert spec.images[0].levels[0].translation[-1] == 40
    assert (spec.description, spec.written_by) == ("copied", ome_writers.read(source).written_by)
    assert datetime.fromisoformat(spec.started).hour == 9


def test_convert_and_crate_keep_the_description(tmp_path: Path) -> None:
    _write(tmp_path / "run.ome.zarr", 1, experiment={"license": "CC0-1.0", "description": "old"})
    assert ome_writers.read(tmp_path / "run.ome.zarr").description == "old"
    edit(tmp_path / "run.ome.zarr", description="corrected")
    ome_writers.convert(tmp_path / "run.ome.zarr", tmp_path / "run.ome.tiff")
    assert ome_writers.read(tmp_path / "run.ome.tiff").description == "corrected"
    assert main(["crate", str(tmp_path / "run.ome.zarr"), "--overwrite"]) == 0
    crate = (tmp_path / "run.ome.zarr" / "ro-crate-metadata.json").read_text(encoding="utf-8")
    assert '"corrected"' in crate


def test_command_position_description_and_start(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "run.ome.zarr"
    _write(path)
    options = ["--position", "P0=x=1200,y=-35", "--position", "1=z=3", "--description", "a control"]
    assert main(["edit", str(path), *options, "--started", "2026-11-24T09:00:00+01:00"]) == 0
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "a control" in printed
    assert "2026-11-24 09:00:00" in printed
    assert "x 1200" in printed
    assert main(["edit", str(path), "--position", "x=1"]) == 1
    assert '--position "P0=x=1"' in capsys.readouterr().err


def test_description_of_another_programs_ome_tiff_is_converted(tmp_path: Path) -> None:
    frames = np.ones((2, 8, 8), "uint8")
    metadata = {"axes": "TYX", "Description": "by tifffile"}
    tifffile.imwrite(tmp_path / "a.ome.tiff", frames, metadata=metadata)
    assert ome_writers.read(tmp_path / "a.ome.tiff").description == "by tifffile"
    ome_writers.convert(tmp_path / "a.ome.tiff", tmp_path / "a.ome.zarr")
    assert ome_writers.read(tmp_path / "a.ome.zarr").description == "by tifffile"
