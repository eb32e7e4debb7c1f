"""Models of documents with many planes are those that ome-types reads from the text, and edits of them are kept."""

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
    """Return a closed stream of three times and two channels a position, every frame with facts."""
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


def texts(folder: Path) -> list[str]:
    """Return the OME-XML of each file."""
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
def test_models_are_what_ome_types_reads(
    tmp_path: Path, positions: int, facts: dict[str, Any]
) -> None:
    """`get_metadata` returns what `ome_types.from_xml` makes of each file's text, references included."""
    stream = written(tmp_path, positions, **facts)
    models = stream.get_metadata()
    for model, text in zip(models.values(), texts(tmp_path), strict=True):
        read = ome_types.from_xml(text)
        assert model == read
        planes = [plane for image in model.images for plane in image.pixels.planes]
        assert len(planes) == 6 * positions
        notes = [ref.ref.value.ms[0].k for plane in planes for ref in plane.annotation_refs]
        assert notes == (["gain"] * len(planes) if "gain" in facts else [])


@pytest.mark.parametrize("positions", [1, 2])
def test_planes_that_nobody_edited_stay_to_the_letter(tmp_path: Path, positions: int) -> None:
    """An edit elsewhere leaves the text of the planes of every file as it was, also when it is edited again."""
    stream = written(tmp_path, positions, exposure_time=0.01, gain=7)
    planes = [re.findall("<Plane .*?</Plane>", text) for text in texts(tmp_path)]
    assert [len(each) for each in planes] == [6 * positions] * positions
    for name in ("first", "second"):
        models = stream.get_metadata()
        for model in models.values():
            model.images[0].name = name
        stream.update_metadata(models)
        edited = texts(tmp_path)
        assert [re.findall("<Plane .*?</Plane>", text) for text in edited] == planes
        assert all(ome_types.from_xml(text).images[0].name == name for text in edited)


def test_an_edited_plane_is_kept_and_the_others_stay(tmp_path: Path) -> None:
    """A plane and an annotation that were changed are written, all others as they were."""
    stream = written(tmp_path, 1, gain=7)
    before = ome_types.from_xml(texts(tmp_path)[0])
    models = stream.get_metadata()
    models[0].images[0].pixels.planes[2].position_x = 4.5
    changed = models[0].images[0].pixels.planes[3].annotation_refs[0].ref
    changed.value.ms[0].value = "8"
    stream.update_metadata(models)
    after = ome_types.from_xml(texts(tmp_path)[0])
    planes = after.images[0].pixels.planes
    assert [plane.position_x for plane in planes] == [None, None, 4.5, None, None, None]
    assert [plane.delta_t for plane in planes] == [n / 8 for n in range(6)]
    gains = [plane.annotation_refs[0].ref.value.ms[0].value for plane in planes]
    assert gains == ["7", "7", "7", "8", "7", "7"]
    assert after.images[0].pixels.tiff_data_blocks == before.images[0].pixels.tiff_data_blocks
    assert stream.get_metadata()[0] == after


def test_a_plane_that_is_unlike_the_others_is_kept_in_its_place(tmp_path: Path) -> None:
    """A plane that says more than this library does is read again with all others, and stays edited."""
    stream = written(tmp_path, 1)
    models = stream.get_metadata()
    models[0].images[0].pixels.planes[2].hash_sha1 = bytes(range(20))
    stream.update_metadata(models)
    again = stream.get_metadata()[0]
    assert again == ome_types.from_xml(texts(tmp_path)[0])
    hashes = [plane.hash_sha1 for plane in again.images[0].pixels.planes]
    assert hashes == [None, None, bytes(range(20)), None, None, None]
