"""Models of documents with many planes equal those of ome-types, and keep edits."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, create_stream

ome_types = pytest.importorskip("ome_types", reason="the models")
tifffile = pytest.importorskip("tifffile", reason="the independent reader")

if TYPE_CHECKING:
    from pathlib import Path

FRAME = np.ones((8, 8), "uint16")


def written(folder: Path, positions: int, **facts: Any) -> Any:
    """Return a closed stream of 3 times and 2 channels per position, with metadata for each frame."""
    settings = AcquisitionSettings(
        root_path=folder / "x.ome.tiff",
        dimensions=[
            Dimension(name="p", type="position", count=positions),
            Dimension(name="t", count=3),
            Dimension(name="c", coords=["DAPI", "FITC"]),
            Dimension(name="y", count=8),
            Dimension(name="x", count=8),
        ],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        for number in range(6 * positions):
            stream.append(FRAME, frame_metadata={"delta_t": number / 8, **facts})
    return stream


def ome_xml_texts(folder: Path) -> list[str]:
    found = []
    for file in sorted(folder.rglob("*_p*.tiff")) or folder.glob("*.tiff"):
        with tifffile.TiffFile(file) as tiff:
            found.append(tiff.pages.first.tags["ImageDescription"].value)
    return found


@pytest.mark.parametrize("positions", [1, 2])
@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"exposure_time": 0.01, "gain": 7, "camera": "left & right"},
        {"position_x": -1.5, "position_y": 2e-9, "position_z": 3},
    ],
)
def test_models_equal_those_of_ome_types(
    tmp_path: Path, positions: int, facts: dict[str, Any]
) -> None:
    """Including references to annotations."""
    stream = written(tmp_path, positions, **facts)
    models = stream.get_metadata()
    for model, text in zip(models.values(), ome_xml_texts(tmp_path), strict=True):
        read = ome_types.from_xml(text)
        assert model == read
        planes = [plane for image in model.images for plane in image.pixels.planes]
        assert len(planes) == 6 * positions
        notes = [ref.ref.value.ms[0].k for plane in planes for ref in plane.annotation_refs]
        assert notes == (["gain"] * len(planes) if "gain" in facts else [])


@pytest.mark.parametrize("positions", [1, 2])
def test_unedited_planes_stay_byte_for_byte(tmp_path: Path, positions: int) -> None:
    """Also after a second edit elsewhere."""
    stream = written(tmp_path, positions, exposure_time=0.01, gain=7)
    planes = [re.findall("<Plane .*?</Plane>", text) for text in ome_xml_texts(tmp_path)]
    assert [len(each) for each in planes] == [6 * positions] * positions
    for name in ("first", "second"):
        models = stream.get_metadata()
        for model in models.values():
            model.images[0].name = name
        stream.update_metadata(models)
        edited = ome_xml_texts(tmp_path)
        assert [re.findall("<Plane .*?</Plane>", text) for text in edited] == planes
        assert all(ome_types.from_xml(text).images[0].name == name for text in edited)


def test_edited_plane_and_annotation_are_written(tmp_path: Path) -> None:
    stream = written(tmp_path, 1, gain=7)
    before = ome_types.from_xml(ome_xml_texts(tmp_path)[0])
    models = stream.get_metadata()
    models[0].images[0].pixels.planes[2].position_x = 4.5
    changed = models[0].images[0].pixels.planes[3].annotation_refs[0].ref
    changed.value.ms[0].value = "8"
    stream.update_metadata(models)
    after = ome_types.from_xml(ome_xml_texts(tmp_path)[0])
    planes = after.images[0].pixels.planes
    assert [plane.position_x for plane in planes] == [None, None, 4.5, None, None, None]
    assert [plane.delta_t for plane in planes] == [n / 8 for n in range(6)]
    gains = [plane.annotation_refs[0].ref.value.ms[0].value for plane in planes]
    assert gains == ["7", "7", "7", "8", "7", "7"]
    assert after.images[0].pixels.tiff_data_blocks == before.images[0].pixels.tiff_data_blocks
    assert stream.get_metadata()[0] == after


def test_plane_with_unknown_content_is_kept_in_order(tmp_path: Path) -> None:
    stream = written(tmp_path, 1)
    models = stream.get_metadata()
    models[0].images[0].pixels.planes[2].hash_sha1 = bytes(range(20))
    stream.update_metadata(models)
    again = stream.get_metadata()[0]
    assert again == ome_types.from_xml(ome_xml_texts(tmp_path)[0])
    hashes = [plane.hash_sha1 for plane in again.images[0].pixels.planes]
    assert hashes == [None, None, bytes(range(20)), None, None, None]
