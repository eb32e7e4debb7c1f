"""BigStitcher's dataset XML addresses the right volumes, and places them at their stage positions."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tensorstore

from ome_writers import Dimension, Position, create_stream
from ome_writers_tools.cli import main

FRAME = [
    Dimension(name="y", count=8, scale=0.5, unit="um"),
    Dimension(name="x", count=6, scale=0.5, unit="um"),
]
Z = Dimension(name="z", count=3, scale=2000, unit="nanometer")
TILES = Dimension(
    name="p",
    type="position",
    coords=[
        Position(name="left", x_coord=100, y_coord=50, z_coord=5),
        Position(name="right <&>", x_coord=103, y_coord=50, z_coord=5),
    ],
)


def write(path: Path, *dimensions: Dimension) -> Path:
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        for number in range(stream.settings.num_frames or 0):
            stream.append(np.full((8, 6), number, "uint16"))
    return path


def test_views_are_the_volumes_of_each_position_channel_and_time(tmp_path: Path) -> None:
    time, channels = Dimension(name="t", count=2), Dimension(name="c", coords=["DAPI", "FITC"])
    path = write(tmp_path / "run.ome.zarr", time, TILES, channels, Z, *FRAME)
    assert main(["publish", "bigstitcher", str(path)]) == 0
    root = ElementTree.parse(tmp_path / "run.bigstitcher.xml").getroot()
    names = {e.findtext("id"): e.findtext("name") for e in root.iter("ViewSetup")}
    assert list(names.values()) == ["left DAPI", "left FITC", "right <&> DAPI", "right <&> FITC"]
    assert {e.findtext("size") for e in root.iter("ViewSetup")} == {"6 8 3"}
    assert {e.findtext("voxelSize/size") for e in root.iter("ViewSetup")} == {"0.5 0.5 2"}
    assert root.findtext(".//Timepoints/integerpattern") == "0-1"
    # the loader takes `indicies` along the axes before z, fastest first
    views = {}
    folder = root.findtext(".//ImageLoader/zarr")
    for group in root.iter("zgroup"):
        array = f"{tmp_path}/{folder}/{group.get('path')}/0"
        store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": array}}
        index = tuple(map(int, group.get("indicies", "").split()))[::-1]
        volume = tensorstore.open(store).result()[index].read().result()
        assert volume.shape == (3, 8, 6)
        views[int(group.get("tp", "")), int(group.get("setup", ""))] = int(volume[0, 0, 0])
    expected = {
        (t, 2 * p + c): 12 * t + 6 * p + 3 * c for t in (0, 1) for p in (0, 1) for c in (0, 1)
    }
    assert views == expected


def test_registrations_are_pixel_size_and_stage_position(tmp_path: Path) -> None:
    path = write(tmp_path / "run.ome.zarr", TILES, Z, *FRAME)
    assert main(["publish", "bigstitcher", str(path)]) == 0
    root = ElementTree.parse(tmp_path / "run.bigstitcher.xml").getroot()
    origins = []
    for registration in root.iter("ViewRegistration"):
        matrix = np.eye(4)
        for affine in registration.iter("affine"):
            rows = np.array(str(affine.text).split(), float).reshape(3, 4)
            matrix = matrix @ np.vstack([rows, [0, 0, 0, 1]])
        assert np.allclose(np.diag(matrix), [1, 1, 4, 1])
        origins.append(matrix[:3, 3] * 0.5)  # in units of the smallest pixel size
    assert np.allclose(origins, [[100, 50, 5], [103, 50, 5]])


@pytest.mark.parametrize(
    ("name", "dimensions", "message"),
    [
        ("run.ome.tiff", (Z, *FRAME), "reads OME-Zarr 0.4 and 0.5"),
        ("run.ome.zarr", (Dimension(name="t", count=2), *FRAME), "third axis from the end for z"),
        ("run.ome.zarr", (Dimension(name="z", count=2), *FRAME), "has no pixel size along z"),
    ],
)
def test_datasets_that_bigstitcher_cannot_open_are_refused(
    name: str,
    dimensions: tuple[Dimension, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name.endswith(".tiff"):
        pytest.importorskip("tifffile")
    path = write(tmp_path / name, *dimensions)
    assert main(["publish", "bigstitcher", str(path)]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.xml"))


def test_an_existing_xml_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "run.ome.zarr", Z, *FRAME)
    xml = tmp_path / "run.bigstitcher.xml"
    xml.write_text("registered")
    assert main(["publish", "bigstitcher", str(path)]) == 1
    assert "--overwrite" in capsys.readouterr().err
    assert xml.read_text() == "registered"
    assert main(["publish", "bigstitcher", str(path), "--overwrite"]) == 0
    assert "SpimData" in xml.read_text()
