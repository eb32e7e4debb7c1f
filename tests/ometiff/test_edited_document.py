"""OME-XML that was edited as models stays readable for every reader."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    Position,
    create_stream,
    dims_from_standard_axes,
)

ome_types = pytest.importorskip("ome_types", reason="the models")
tifffile = pytest.importorskip("tifffile", reason="the independent reader")

if TYPE_CHECKING:
    from pathlib import Path


def test_edited_document_has_no_numeric_character_references(tmp_path: Path) -> None:
    """Bio-Formats replaces "&#" before it parses: units keep their micro sign, names lose line ends."""
    sizes: Any = {"y": 8, "x": 8}
    positions = Dimension(
        name="p",
        type="position",
        coords=[Position(name="a", x_coord=1, y_coord=2), Position(name="b", x_coord=3, y_coord=4)],
    )
    settings = AcquisitionSettings(
        root_path=tmp_path / "x.ome.tiff",
        dimensions=[positions, *dims_from_standard_axes(sizes)],
        dtype="uint8",
    )
    with create_stream(settings) as stream:
        for _ in range(2):
            stream.append(np.ones((8, 8), "uint8"))
    models = stream.get_metadata()
    for model in models.values():
        model.images[0].name = "two\nlines\tand a snowman ☃"
        model.images[0].description = "größer\nals 1"
    stream.update_metadata(models)
    for file in sorted((tmp_path / "x").iterdir()):
        with tifffile.TiffFile(file) as tiff:
            text = tiff.pages.first.tags["ImageDescription"].value
        assert "&#" not in text
        assert 'XUnit="µm"' in text
        model = ome_types.from_xml(text)
        assert model.images[0].name == "two lines and a snowman ☃"
        assert model.images[0].description == "größer\nals 1"


def test_equal_edits_of_a_set_are_serialized_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cost does not grow with the square of the number of files."""
    rendered = []
    original = ElementTree.tostring

    def counted(element: ElementTree.Element, *args: Any, **kwargs: Any) -> Any:
        rendered.append(element.tag)
        return original(element, *args, **kwargs)

    sizes: Any = {"p": 9, "y": 8, "x": 8}
    settings = AcquisitionSettings(
        root_path=tmp_path / "x.ome.tiff", dimensions=dims_from_standard_axes(sizes), dtype="uint8"
    )
    stream = create_stream(settings)
    models = stream.get_metadata()
    for model in models.values():
        model.creator = "another program"
    models[0].images[0].description = "edited"
    monkeypatch.setattr(ElementTree, "tostring", counted)
    stream.update_metadata(models)
    for _ in range(9):
        stream.append(np.ones((8, 8), "uint8"))
    stream.close()
    monkeypatch.undo()
    assert rendered.count("OME") == 2  # as edited, and at the end
    models = stream.get_metadata()
    assert all(model.images[0] is models[0].images[0] for model in models.values())
    assert len({model.uuid for model in models.values()}) == 9
    for number, file in enumerate(sorted((tmp_path / "x").iterdir())):
        document = ome_types.from_tiff(file)
        assert (document.uuid, document.creator) == (models[number].uuid, "another program")
        assert document.images[0].description == "edited"
