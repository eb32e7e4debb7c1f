"""OME-Zarr 0.5 and 0.6 attributes, translated into each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import Channel, Dimension, OmeZarrFormat, Plate, Position
from ome_writers.errors import UnsupportedError
from ome_writers.formats.omezarr.node_metadata import group_attributes
from ome_writers.formats.omezarr.versions import at_version

if TYPE_CHECKING:
    from pathlib import Path

FRAME = [Dimension(name=name, count=16, scale=0.65, unit="um") for name in "yx"]
STACK = [
    Dimension(name="c", coords=[Channel(name="DAPI", color="blue"), Channel(name="FITC")]),
    Dimension(name="z", count=3, scale=2, unit="um", translation=5),
    *FRAME,
]
STAGE = [Position(name="A", x_coord=10, y_coord=3), Position(name="B", x_coord=30, y_coord=3)]
WELLS = [
    Position(name="f0", plate_row="A", plate_column="1"),
    Position(name="f1", plate_row="B", plate_column="2"),
]
LAYOUTS = {
    "image": ([Dimension(name="t", count=2, scale=0.5, unit="s"), *STACK], None),
    "collection": ([Dimension(name="p", type="position", coords=STAGE), *STACK], None),
    "plate": (
        [Dimension(name="p", type="position", coords=WELLS), *STACK],
        Plate.from_standard_wells(96),
    ),
}


def _write(path: Path, layout: str, version: str) -> Path:
    dimensions, plate = LAYOUTS[layout]
    settings = omew.AcquisitionSettings(
        root_path=path / "run.ome.zarr",
        dtype="uint16",
        dimensions=dimensions,
        plate=plate,
        format=OmeZarrFormat(version=version),
    )
    with omew.create_stream(settings) as stream:
        for number in range(stream.plan.frames or 0):
            stream.append(np.full((16, 16), number, "uint16"))
    return path / "run.ome.zarr"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_version_translates_into_the_other(tmp_path: Path, layout: str) -> None:
    """What is written as 0.6 is the translation of what is written as 0.5, and back."""
    old, new = (_write(tmp_path / v, layout, v) for v in ("0.5", "0.6"))
    groups = [file.parent.relative_to(old) for file in old.rglob("zarr.json")]
    compared = 0
    for group in groups:
        before = group_attributes(old / group, old).get("ome")
        after = group_attributes(new / group, new).get("ome")
        if before is not None and after is not None:
            compared += 1
            assert at_version(after, "0.5") == before
            after.pop("scene", None)
            assert at_version(before, "0.6") == after
    assert compared >= 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_read_returns_the_same_for_both_versions(tmp_path: Path, layout: str) -> None:
    """`read` returns the same images and dimensions, with scale and translation."""
    old, new = (omew.read(_write(tmp_path / v, layout, v)) for v in ("0.5", "0.6"))
    assert (old.version, new.version) == ("0.5", "0.6")
    assert new.images == old.images
    assert new.dimensions == old.dimensions
    assert new.images[0].levels[0].scale[-3:] == (2, 0.65, 0.65)


def test_scene_refers_to_each_image_of_a_collection(tmp_path: Path) -> None:
    """A 0.6 collection with stage positions has a scene: each image's coordinate system, in that of the stage."""
    root = _write(tmp_path, "collection", "0.6")
    scene = group_attributes(root, root)["ome"]["scene"]
    assert [t["input"]["path"] for t in scene["coordinateTransformations"]] == ["0", "1"]
    image = group_attributes(root / "0", root)["ome"]["multiscales"][0]
    steps = image["datasets"][0]["coordinateTransformations"][0]["transformations"]
    assert steps[1]["translation"][-2:] == [3, 10]


def test_transformations_without_a_counterpart_are_refused() -> None:
    """An affine transformation of a level is neither dropped nor guessed."""
    affine = {"type": "affine", "affine": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]}
    ends = {"input": {"path": "0"}, "output": {"name": "physical"}}
    axes = [{"name": name, "type": "space"} for name in "yx"]
    ome = {
        "version": "0.6",
        "multiscales": [
            {
                "coordinateSystems": [{"name": "physical", "axes": axes}],
                "datasets": [{"path": "0", "coordinateTransformations": [{**affine, **ends}]}],
            }
        ],
    }
    with pytest.raises(UnsupportedError, match="'affine'"):
        at_version(ome, "0.5")
