"""Interpreters of other programs' metadata, registered as entry points by an installed package."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Channel,
    Detector,
    Dimension,
    Instrument,
    OMEStream,
    create_stream,
    read,
)
from ome_writers.streaming import metadata_interpreters

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

PACKAGE = """
from ome_writers import Channel, Detector, Instrument

def interpret(settings, metadata):
    if settings.instrument is not None:
        return settings
    name = metadata["camera"]
    instrument = Instrument(detectors=(Detector(name=name, significant_bits=12),))
    first, *rest = settings.dimensions
    coords = [Channel(name=f"{c.name} by {name}", camera=name) for c in first.coords]
    dimensions = [first.model_copy(update={"coords": coords}), *rest]
    return settings.model_copy(update={"instrument": instrument, "dimensions": tuple(dimensions)})
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install a package with an interpreter for the namespace ``rig``."""
    site = tmp_path / "site"
    info = site / "rig_metadata-1.dist-info"
    info.mkdir(parents=True)
    (site / "rig_metadata.py").write_text(PACKAGE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rig-metadata\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[ome_writers.metadata]\nrig = rig_metadata:interpret\n")
    monkeypatch.syspath_prepend(site)
    metadata_interpreters._interpreters.cache_clear()
    yield
    metadata_interpreters._interpreters.cache_clear()


def stream_to(path: Path | str) -> OMEStream:
    dimensions = [Dimension(name="c", coords=["a", "b"]), *frame_dimensions()]
    return create_stream(AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16"))


def frame_dimensions() -> list[Dimension]:
    return [Dimension(name="y", count=4), Dimension(name="x", count=4)]


def append_all(stream: OMEStream) -> None:
    for number in range(2):
        stream.append(np.full((4, 4), number + 1, np.uint16))


def attach(stream: OMEStream, values: Mapping[str, Any]) -> None:
    """Attach metadata with `update_metadata`, as programs do that edit the documents."""
    documents = stream.get_metadata()
    for document in documents.values():
        if isinstance(document, dict):
            document["rig"] = values
            continue
        from ome_types.model import MapAnnotation, StructuredAnnotations

        notes = document.structured_annotations or StructuredAnnotations()
        notes.map_annotations.append(MapAnnotation(namespace="rig", value=dict(values)))
        document.structured_annotations = notes
    stream.update_metadata(documents)


def check(path: Path) -> None:
    spec = read(path)
    assert [c.name for c in spec.images[0].channels] == ["a by Zyla", "b by Zyla"]
    assert spec.settings is not None
    assert spec.settings.instrument == Instrument(
        detectors=(Detector(name="Zyla", significant_bits=12),)
    )
    if path.name.endswith(".tiff"):
        import ome_types

        document = ome_types.from_tiff(path)
        ome_types.validate_xml(document.to_xml())
        pixels = document.images[0].pixels
        assert pixels.significant_bits == 12
        assert {c.detector_settings.id for c in pixels.channels} == {
            document.instruments[0].detectors[0].id
        }


@pytest.mark.usefixtures("package")
@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
@pytest.mark.parametrize("late", [False, True], ids=["before frames", "after close"])
@pytest.mark.parametrize("how", ["set_global_metadata", "update_metadata"])
def test_settings_from_metadata(tmp_path: Path, suffix: str, how: str, late: bool) -> None:
    """Instrument and channel names are completed in both formats, whenever the metadata arrive."""
    if suffix == ".ome.tiff":
        pytest.importorskip("ome_types", reason="the validator of OME-XML")
    path = tmp_path / f"x{suffix}"
    stream = stream_to(path)

    def give() -> None:
        if how == "set_global_metadata":
            stream.set_global_metadata("rig", {"camera": "Zyla"})
        else:
            attach(stream, {"camera": "Zyla"})

    if not late:
        give()
    append_all(stream)
    stream.close()
    if late:
        give()
    check(path)
    assert stream.view().coords["c"] == ["a by Zyla", "b by Zyla"]


@pytest.mark.usefixtures("package")
def test_edits_of_the_user_are_kept(tmp_path: Path) -> None:
    """Only what the user did not change in the OME-XML is replaced."""
    pytest.importorskip("ome_types", reason="the validator of OME-XML")
    stream = stream_to(tmp_path / "x.ome.tiff")
    append_all(stream)
    stream.close()
    documents = stream.get_metadata()
    documents[0].images[0].pixels.channels[0].name = "mine"
    documents[0].images[0].description = "of me"
    stream.update_metadata(documents)
    stream.set_global_metadata("rig", {"camera": "Zyla"})
    (image,) = stream.get_metadata()[0].images
    assert [c.name for c in image.pixels.channels] == ["mine", "b by Zyla"]
    assert (image.description, image.instrument_ref.id) == ("of me", "Instrument:0")


@pytest.mark.usefixtures("package")
def test_error_of_an_interpreter_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with stream_to(tmp_path / "x.ome.zarr") as stream, caplog.at_level(logging.WARNING):
        stream.set_global_metadata("rig", {"no": "camera"})
        append_all(stream)
    assert "The metadata of 'rig' could not be interpreted (KeyError: 'camera')" in caplog.text
    spec = read(tmp_path / "x.ome.zarr")
    assert spec.metadata["rig"] == {"no": "camera"}
    assert spec.status == "complete"


@pytest.mark.usefixtures("package")
def test_settings_of_a_scratch_stream() -> None:
    with stream_to("") as stream:
        stream.set_global_metadata("rig", {"camera": "Zyla"})
        coords = stream.settings.dimensions[0].coords or ()
        assert [c.name for c in coords if isinstance(c, Channel)] == ["a by Zyla", "b by Zyla"]
