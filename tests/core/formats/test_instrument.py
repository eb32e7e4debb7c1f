"""The instrument of the settings: OME-XML elements in OME-TIFF, display windows in OME-Zarr."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import Channel, Detector, Dimension, Instrument, Objective, create_stream, read

if TYPE_CHECKING:
    from pathlib import Path

INSTRUMENT = Instrument(
    model="Ti2",
    software={"driver": "1.2"},
    detectors=(
        Detector(
            name="Left",
            model='Zyla & "Co"',
            manufacturer="Andor",
            significant_bits=12,
            binning=2,
            gain=1.5,
            offset=100,
            readout_mhz=280,
        ),
        Detector(name="Right", significant_bits=16, binning=3),
    ),
    objective=Objective(
        model="Plan Apo",
        magnification=60,
        calibrated_magnification=90,
        lens_na=1.4,
        immersion="Oil",
    ),
    pixel_size_affine=(0.0, 1.0, 0.0, -1.0, 0.0, 0.0),
)
DATE = datetime(2026, 3, 1, 9, 0, 0, 500_000, tzinfo=timezone.utc)


def write(path: Path, channels: list[Channel] | None, dtype: str = "uint16") -> Any:
    """Write one frame per channel; return the metadata."""
    channel_axis = [Dimension(name="c", coords=channels)] if channels else []
    dimensions = [*channel_axis, Dimension(name="y", count=4), Dimension(name="x", count=4)]
    fields: Any = {"instrument": INSTRUMENT, "acquisition_date": DATE}
    with create_stream(root_path=path, dimensions=dimensions, dtype=dtype, **fields) as stream:
        for _ in channels or [None]:
            stream.append(np.full((4, 4), 7, dtype))
    return stream.get_metadata()


def test_ome_xml_of_an_instrument(tmp_path: Path) -> None:
    ome_types = pytest.importorskip("ome_types", reason="the validator of OME-XML")
    channels = [Channel(name="DAPI", camera="Right"), Channel(name="FITC"), Channel(name="Cy5")]
    write(tmp_path / "x.ome.tiff", channels)
    document = ome_types.from_tiff(tmp_path / "x.ome.tiff")
    ome_types.validate_xml(document.to_xml())
    (instrument,), (image,) = document.instruments, document.images
    assert instrument.microscope.model == "Ti2: driver 1.2"
    assert [(d.id, d.model, d.manufacturer) for d in instrument.detectors] == [
        ("Detector:0:0", 'Zyla & "Co"', "Andor"),
        ("Detector:0:1", "Right", None),
    ]
    (objective,) = instrument.objectives
    assert (objective.nominal_magnification, objective.calibrated_magnification) == (60, 90)
    assert (objective.lens_na, objective.immersion.value) == (1.4, "Oil")
    assert (image.instrument_ref.id, image.objective_settings.id) == (instrument.id, objective.id)
    assert image.acquisition_date == DATE
    right, left, _ = (channel.detector_settings for channel in image.pixels.channels)
    assert (right.id, right.binning.value) == ("Detector:0:1", "Other")
    assert (left.id, left.binning.value, left.gain, left.offset) == (
        "Detector:0:0",
        "2x2",
        1.5,
        100,
    )
    assert (left.read_out_rate, left.read_out_rate_unit.value) == (280, "MHz")
    assert image.pixels.significant_bits == 16  # of the first channel's camera
    found = read(tmp_path / "x.ome.tiff").settings
    assert found is not None
    assert (found.instrument, found.acquisition_date) == (INSTRUMENT, DATE)


@pytest.mark.parametrize(("dtype", "bits"), [("uint16", 12), ("uint8", 8), ("float32", None)])
def test_significant_bits_of_the_only_image(tmp_path: Path, dtype: str, bits: int | None) -> None:
    """They never exceed those of the dtype; a float image has none."""
    ome_types = pytest.importorskip("ome_types", reason="the validator of OME-XML")
    write(tmp_path / "x.ome.tiff", None, dtype)
    (image,) = ome_types.from_tiff(tmp_path / "x.ome.tiff").images
    assert image.pixels.significant_bits == bits
    assert image.pixels.channels[0].detector_settings.id == "Detector:0:0"


def test_display_window_has_the_range_of_the_camera(tmp_path: Path) -> None:
    write(tmp_path / "x.ome.zarr", [Channel(name="DAPI", camera="Left")])
    attributes = json.loads((tmp_path / "x.ome.zarr" / "zarr.json").read_bytes())["attributes"]
    (channel,) = attributes["ome"]["omero"]["channels"]
    assert (channel["window"]["min"], channel["window"]["max"]) == (0, 4095)
    assert attributes["ome_writers"]["settings"]["instrument"]["objective"]["lens_na"] == 1.4


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_channels_without_a_color_have_the_usual_one_of_their_name(
    suffix: str, tmp_path: Path
) -> None:
    """Of the fluorophore, if it is given; a color of the settings has precedence."""
    channels = [
        Channel(name="dapi 20x"),
        Channel(name="Alexa-488"),
        Channel(name="488", fluorophore="mCherry"),
        Channel(name="Cy5", color="white"),
        Channel(name="my dye"),
    ]
    path = tmp_path / f"a{suffix}"
    write(path, channels)
    found = [
        channel.color and channel.color.as_hex("long") for channel in read(path).images[0].channels
    ]
    assert found == ["#0000ff", "#00ff00", "#ff0000", "#ffffff", None]
    if suffix == ".ome.tiff":
        from ome_types import from_tiff

        stored = [
            c.color and c.color.as_hex("long") for c in from_tiff(path).images[0].pixels.channels
        ]
        assert stored[:4] == found[:4]
    else:
        omero = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]["omero"]
        stored = [channel["color"] for channel in omero["channels"]]
        assert stored == ["0000FF", "00FF00", "FF0000", "FFFFFF", "FFFFFF"]
