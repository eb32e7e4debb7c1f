"""Conversion copies label images and resolution levels, or lists what it did not copy."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Plate,
    Position,
    add_pyramid,
    convert,
    create_stream,
    dims_from_standard_axes,
    validate,
)
from ome_writers_tools.cli.program import main

if TYPE_CHECKING:
    from types import FrameType

zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 needs Python 3.11")

NUCLEI = np.arange(2 * 32 * 48, dtype="int32").reshape(2, 32, 48) % 7


def recording(path: Path, **options: Any) -> Path:
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=dims_from_standard_axes({"t": 2, "y": 32, "x": 48}),
        dtype="uint16",
    ).model_copy(update=options)
    with create_stream(settings) as stream:
        for n in range(settings.num_frames or 0):
            stream.append(np.arange(32 * 48, dtype="uint16").reshape(32, 48) + n)
    return Path(settings.output_path)


def add_labels(image: Path, name: str = "nuclei", **options: Any) -> None:
    """Add a label image as other programs do, with zarr-python."""
    group = zarr.open_group(image, mode="r+")
    version = group.metadata.zarr_format
    labels = group.create_group("labels")
    axes = [{"name": n, "type": t} for n, t in (("t", "time"), ("y", "space"), ("x", "space"))]
    levels = []
    for k, scale in enumerate((1.0, 2.0)):
        steps = [{"type": "scale", "scale": [1.0, scale, scale]}]
        levels.append({"path": str(k), "coordinateTransformations": steps})
    multiscale = {"name": name, "axes": axes, "datasets": levels}
    look = {"colors": [{"label-value": 1, "rgba": [255, 0, 0, 255]}], "source": {"image": "../../"}}
    label = labels.create_group(name)
    if version == 2:
        labels.attrs["labels"] = [name]
        label.attrs["multiscales"] = [{**multiscale, "version": "0.4"}]
        label.attrs["image-label"] = {**look, "version": "0.4"}
        options = {"chunk_key_encoding": {"name": "v2", "separator": "/"}, **options}
    else:
        labels.attrs["ome"] = {"version": "0.5", "labels": [name]}
        label.attrs["ome"] = {"version": "0.5", "multiscales": [multiscale], "image-label": look}
    for k, step in enumerate((1, 2)):
        label.create_array(str(k), data=NUCLEI[:, ::step, ::step], chunks=(2, 16, 16), **options)


def label_of(image: Path, level: int = 0) -> Any:
    return zarr.open_group(image, mode="r")[f"labels/nuclei/{level}"]


@pytest.mark.parametrize("compression", [None, "zstd"])
def test_labels_are_copied_from_zarr_to_zarr(compression: str | None, tmp_path: Path) -> None:
    source = recording(tmp_path / "a.ome.zarr")
    add_pyramid(source, ome_writers.Pyramid(levels=1))
    add_labels(source)
    done = convert(source, tmp_path / "b.ome.zarr", compression=compression, verify=True)
    assert done.not_copied == ()
    for level, step in enumerate((1, 2)):
        np.testing.assert_array_equal(label_of(done.destination, level), NUCLEI[:, ::step, ::step])
    before, after = (
        json.loads((path / "labels/nuclei/zarr.json").read_text())
        for path in (source, done.destination)
    )
    assert after["attributes"] == before["attributes"]
    assert validate(done.destination).valid


def test_labels_of_fields_of_view_are_copied(tmp_path: Path) -> None:
    fields = [
        Position(name=f"f{n}", plate_row="A", plate_column=column)
        for column in "12"
        for n in range(2)
    ]
    settings = AcquisitionSettings(
        root_path=tmp_path / "a.ome.zarr",
        dimensions=[
            ome_writers.Dimension(name="p", type="position", coords=fields),
            *dims_from_standard_axes({"t": 2, "y": 32, "x": 48}),
        ],
        dtype="uint16",
        plate=Plate(row_names=["A"], column_names=["1", "2"]),
    )
    with create_stream(settings) as stream:
        for n in range(8):
            stream.append(np.full((32, 48), n + 1, "uint16"))
    source = Path(settings.output_path)
    add_labels(source / ome_writers.read(source).images[2].key)
    done = convert(source, tmp_path / "some.ome.zarr", images=[1, 2], verify=True)
    assert done.not_copied == ()
    first, second = (
        done.destination / image.key for image in ome_writers.read(done.destination).images
    )
    assert not (first / "labels").exists()
    np.testing.assert_array_equal(label_of(second), NUCLEI)


def test_levels_are_computed_as_those_of_the_source(tmp_path: Path) -> None:
    source = recording(tmp_path / "a.ome.zarr")
    add_pyramid(source, ome_writers.Pyramid(method="max", levels=2))
    done = convert(source, tmp_path / "b.ome.zarr", verify=True)
    old, new = ome_writers.read(source), ome_writers.read(done.destination)
    assert new.settings is not None
    assert new.settings.pyramid == old.settings.pyramid
    assert [level.shape for level in new.images[0].levels] == [(2, 32, 48), (2, 16, 24), (2, 8, 12)]
    for level in ("1", "2"):
        np.testing.assert_array_equal(
            zarr.open_array(done.destination / level, mode="r"),
            zarr.open_array(source / level, mode="r"),
        )


@pytest.mark.parametrize("version", ["0.5", "0.6"])
def test_levels_of_another_program_are_copied(version: str, tmp_path: Path) -> None:
    """With their pixels: how that program computed them is not known."""
    source = recording(tmp_path / "a.ome.zarr")
    content = json.loads((source / "zarr.json").read_text())
    del content["attributes"]["ome_writers"]
    steps = [
        {"type": "scale", "scale": [1.0, 2.0, 2.0]},
        {"type": "translation", "translation": [0, 0.5, 0.5]},
    ]
    content["attributes"]["ome"]["multiscales"][0]["datasets"].append(
        {"path": "half", "coordinateTransformations": steps}
    )
    (source / "zarr.json").write_text(json.dumps(content))
    half = np.random.default_rng(0).integers(0, 999, (2, 16, 24)).astype("uint16")
    zarr.open_group(source, mode="r+").create_array("half", data=half, chunks=(1, 16, 24))
    done = convert(
        source,
        tmp_path / "b.ome.zarr",
        format={"name": "ome-zarr", "version": version},
        verify=True,
    )
    assert done.not_copied == ()
    old, new = (
        ome_writers.read(source).images[0].levels[1],
        ome_writers.read(done.destination).images[0].levels[1],
    )
    assert (new.shape, new.scale, new.translation) == (old.shape, old.scale, old.translation)
    np.testing.assert_array_equal(zarr.open_array(done.destination / "1", mode="r"), half)
    np.testing.assert_array_equal(ome_writers.open(done.destination, level=1), half)
    assert validate(done.destination).valid


def test_labels_and_levels_of_ome_zarr_04(tmp_path: Path) -> None:
    """There and back: Zarr v2 to Zarr v3 and to Zarr v2 again."""
    first = recording(tmp_path / "a.ome.zarr")
    add_pyramid(first, ome_writers.Pyramid(levels=1))
    old = convert(first, tmp_path / "b.ome.zarr", format="ome-zarr-0.4").destination
    add_labels(old)
    new = convert(old, tmp_path / "c.ome.zarr", verify=True)
    back = convert(new.destination, tmp_path / "d.ome.zarr", format="ome-zarr-0.4", verify=True)
    assert new.not_copied == back.not_copied == ()
    level = zarr.open_array(first / "1", mode="r")
    for path in (new.destination, back.destination):
        np.testing.assert_array_equal(label_of(path), NUCLEI)
        np.testing.assert_array_equal(zarr.open_array(path / "1", mode="r"), level)
    ome = json.loads((new.destination / "labels/nuclei/zarr.json").read_text())["attributes"]["ome"]
    assert ome["version"] == "0.5"
    assert ome["image-label"]["version"] == "0.5"
    old_label = json.loads((back.destination / "labels/nuclei/.zattrs").read_text())
    assert old_label["image-label"]["version"] == "0.4"


@pytest.mark.parametrize("json_", [False, True])
def test_what_a_tiff_lacks_is_printed(
    json_: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = recording(tmp_path / "a.ome.zarr")
    add_labels(source)
    add_pyramid(source, ome_writers.Pyramid(levels=1))
    target = str(tmp_path / "b.ome.tiff")
    assert main(["convert", str(source), target, "--verify", *["--json"] * json_]) == 0
    out = capsys.readouterr().out
    if json_:
        assert json.loads(out)["not_copied"] == ["labels (nuclei)", "1 level"]
    else:
        assert "not copied    labels (nuclei), 1 level" in out


def test_info_lists_labels_and_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = recording(tmp_path / "a.ome.zarr")
    add_labels(source)
    add_pyramid(source, ome_writers.Pyramid(levels=1))
    assert main(["info", str(source)]) == 0
    out = capsys.readouterr().out
    assert "labels      nuclei" in out
    assert "2 resolution levels" in out
    assert main(["info", str(source), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["images"][0]["labels"] == ["nuclei"]


@pytest.mark.parametrize("layout", ["image", "collection"])
def test_labels_follow_an_edited_pixel_size(layout: str, tmp_path: Path) -> None:
    """In their own relation to the image, at each level; not along other axes."""
    axes = {"p": ["a", "b"]} if layout == "collection" else {}
    dimensions = [
        *ome_writers.dims_from_standard_axes({**axes, "t": 2}),
        ome_writers.Dimension(name="y", count=32, scale=0.5, unit="um"),
        ome_writers.Dimension(name="x", count=48, scale=0.5, unit="um"),
    ]
    path = tmp_path / "a.ome.zarr"
    with ome_writers.create_stream(root_path=path, dimensions=dimensions, dtype="uint8") as stream:
        for _ in range(stream.settings.num_frames or 0):
            stream.append(np.zeros((32, 48), "uint8"))
    image = path / "1" if axes else path
    add_labels(image)
    file = image / "labels" / "nuclei" / "zarr.json"
    before = json.loads(file.read_text())["attributes"]["ome"]
    changed = ome_writers.edit(path, scale={"x": 0.25})
    assert file in changed
    after = json.loads(file.read_text())["attributes"]["ome"]
    scales = [
        d["coordinateTransformations"][0]["scale"] for d in after["multiscales"][0]["datasets"]
    ]
    assert scales == [[1, 1, 0.5], [1, 2, 1]]
    assert after["multiscales"][0]["axes"] == before["multiscales"][0]["axes"]
    assert after["image-label"] == before["image-label"]
    assert ome_writers.read(path).images[0].levels[0].scale[-2:] == (0.5, 0.25)
    ome_writers.edit(path, positions={1 if axes else 0: {"x": 40}})
    moved = json.loads(file.read_text())["attributes"]["ome"]["multiscales"][0]
    assert [d["coordinateTransformations"][1]["translation"][-1] for d in moved["datasets"]] == [
        pytest.approx(each + 40) for each in origins(after)
    ]


def origins(ome: dict[str, Any]) -> list[float]:
    """Return the translation along x of each level."""
    steps = [d["coordinateTransformations"][1:] for d in ome["multiscales"][0]["datasets"]]
    return [step[0]["translation"][-1] if step else 0.0 for step in steps]


def _interrupted_edit(path: Path, number: int, **changes: Any) -> bool:
    """Raise KeyboardInterrupt when an edit replaces a file for the `number`-th time; return whether it did."""
    calls = 0

    def count(frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        if event == "call" and frame.f_code.co_name == "atomic_write":
            calls += 1
            if calls == number:
                raise KeyboardInterrupt

    previous = sys.getprofile()
    sys.setprofile(count)
    try:
        ome_writers.edit(path, **changes)
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(previous)
    return False


def _documents(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.suffix in (".json", ".xml") or file.name.startswith(".ome-writers")
    }


def _finds_interrupted_edit(path: Path) -> bool:
    findings = ome_writers.repair(path, dry_run=True).findings
    return any("an edit that was interrupted" in finding.what for finding in findings)


def test_interrupted_edit_is_completed_by_the_next_one_or_by_repair(tmp_path: Path) -> None:
    """Images of a collection, their labels, OME-XML and settings change together."""
    source = tmp_path / "run.ome.zarr"
    dimensions = dims_from_standard_axes({"p": ["a", "b"], "t": 2, "y": 32, "x": 48})
    recording(source, dimensions=tuple(dimensions))
    add_labels(source / "0")
    changes: dict[str, Any] = {"scale": {"x": 0.5}, "names": {"a": "control"}}
    before = _documents(source)
    edited = shutil.copytree(source, tmp_path / "edited.ome.zarr")
    ome_writers.edit(edited, **changes)
    after = _documents(edited)
    assert len([key for key in before if before[key] != after[key]]) == 5
    for number in (1, 2, 4, 7):  # of the plan and five files
        for how in ("edit", "repair"):
            path = shutil.copytree(source, tmp_path / f"{how}{number}.ome.zarr")
            if not _interrupted_edit(path, number, **changes):
                assert number == 7
                return
            assert _finds_interrupted_edit(path) == (number > 1)
            if how == "repair":
                ome_writers.repair(path)
                assert not _finds_interrupted_edit(path)
                assert _documents(path) == (before if number == 1 else after)
            elif number == 1:
                ome_writers.edit(path, **changes)
                assert _documents(path) == after
            else:
                ome_writers.edit(path, names={"b": "treated"})
                assert ome_writers.read(path).images[0].name == "control"
                for key in ("0/zarr.json", "0/labels/nuclei/zarr.json"):
                    assert _documents(path)[key] == after[key]
