"""Translation of pymmcore-plus metadata: summary, frame metadata and camera tags."""

from __future__ import annotations

from datetime import datetime, timezone
from enum import Enum
from typing import Any

import pytest

from ome_writers import Objective
from ome_writers_pymmcore import Microscope, engine_metadata, tag_metadata

pytest.importorskip("useq")

import useq

SUMMARY: dict[str, Any] = {
    "datetime": "2026-03-04 05:06:07.089000+01:00",
    "image_infos": (
        {
            "camera_label": "Cam",
            "plane_shape": (100, 200),
            "dtype": "uint16",
            "height": 100,
            "width": 200,
            "pixel_format": "Mono12",
            "pixel_size_um": 0.325,
            "pixel_size_affine": (0.325, 0.0, 1.0, 0.0, -0.325, 2.0),
            "magnification_factor": 1.5,
            "roi": (4, 8, 200, 100),
        },
        {
            "camera_label": "Small",
            "plane_shape": (10, 20),
            "dtype": "uint8",
            "height": 10,
            "width": 20,
        },
    ),
    "devices": (
        {
            "label": "Cam",
            "library": "Andor",
            "name": "Zyla",
            "type": "CameraDevice",
            "properties": (
                {"name": "CameraName", "value": "Zyla 4.2"},
                {"name": "Binning", "value": "2x2"},
                {"name": "Gain", "value": "3"},
                {"name": "Offset", "value": "100.5"},
                {"name": "ReadoutMode", "value": "Rolling"},
                {"name": "PixelReadoutRate", "value": "280 MHz - fastest"},
                {"name": "Exposure", "value": None},
            ),
        },
        {
            "label": "Nosepiece",
            "name": "Nosepiece",
            "type": "StateDevice",
            "properties": ({"name": "Label", "value": "Plan Apo 60x/1.40 Oil"},),
        },
    ),
    "system_info": {
        "pymmcore_plus_version": "9",
        "mmcore_version": "MMCore version 12.5.0",
        "device_api_version": "Device API version 75, Module API version 10",
    },
}


def test_microscope_of_summary() -> None:
    found = Microscope.of(SUMMARY)
    (camera,) = found.cameras
    assert (camera.label, camera.shape, camera.dtype) == ("Cam", (100, 200), "uint16")
    detector = camera.detector
    assert (detector.name, detector.model, detector.manufacturer) == (
        "Cam",
        "Zyla 4.2",
        "Andor/Zyla",
    )
    assert detector.significant_bits == 12
    assert (detector.binning, detector.gain, detector.offset) == (2, 3.0, 100.5)
    assert (detector.readout, detector.roi) == (
        "ReadoutMode Rolling, PixelReadoutRate 280 MHz - fastest",
        (4, 8, 200, 100),
    )
    assert detector.readout_mhz == 280
    instrument = found.instrument
    assert instrument.detectors == (detector,)
    assert instrument.objective == Objective(
        model="Plan Apo 60x/1.40 Oil",
        magnification=60,
        calibrated_magnification=90,
        lens_na=1.4,
        immersion="Oil",
    )
    assert found.pixel_size_um == 0.325
    assert instrument.pixel_size_affine == (0.325, 0.0, 1.0, 0.0, -0.325, 2.0)
    assert found.began is not None
    assert found.began.astimezone(timezone.utc) == datetime(
        2026, 3, 4, 4, 6, 7, 89000, tzinfo=timezone.utc
    )
    assert instrument.software == {
        "pymmcore-plus": "9",
        "MMCore": "12.5.0",
        "device API": "75",
        "module API": "10",
    }
    assert list(found.others) == ["Small"]


def test_summary_keys_are_optional() -> None:
    """An invalid dtype is replaced by the dtype of the pixel format."""
    found = Microscope.of({"image_infos": [{"camera_label": "C", "height": 4, "width": 5}]})
    assert found.cameras[0].shape == (4, 5)
    assert (found.instrument.objective, found.began, found.pixel_size_um) == (None, None, 0)
    info = {"camera_label": "C", "plane_shape": (4, 5, 3), "dtype": "uint0", "pixel_format": "RGB8"}
    assert Microscope.of({"image_infos": [info]}).cameras[0].dtype == "uint8"


def test_summary_date_in_utc() -> None:
    """Python 3.10 does not parse the suffix Z."""
    noon = datetime(2026, 3, 4, 12, tzinfo=timezone.utc)
    assert Microscope.of({"datetime": "2026-03-04T12:00:00Z"}).began == noon


def test_physical_cameras_of_multi_camera_device() -> None:
    info = {**SUMMARY["image_infos"][0], "camera_label": "Both", "num_camera_adapter_channels": 2}
    properties = [{"name": f"Physical Camera {n}", "value": v} for n, v in ((1, "B"), (2, "Cam"))]
    device = {"label": "Both", "type": "CameraDevice", "properties": properties}
    found = Microscope.of({"image_infos": [info], "devices": [device, *SUMMARY["devices"]]})
    assert [c.label for c in found.cameras] == ["B", "Cam"]
    assert [c.detector.model for c in found.cameras] == ["", "Zyla 4.2"]
    assert [c.shape for c in found.cameras] == [(100, 200)] * 2


@pytest.mark.parametrize(
    ("label", "times", "aperture", "immersion"),
    [
        ("Nikon 10X S Fluor", 10, None, None),
        ("CFI 20x 0.75 NA", 20, 0.75, None),
        ("40x NA 1.25 Water", 40, 1.25, "Water"),
        ("2.5x air", 2.5, None, "Air"),
        ("Objective-2", None, None, None),
    ],
)
def test_objective_label(
    label: str, times: float | None, aperture: float | None, immersion: str | None
) -> None:
    """Magnification, aperture and immersion are parsed from common label styles."""
    turret = {
        "label": "Objective",
        "type": "StateDevice",
        "properties": [{"name": "Label", "value": label}],
    }
    found = Microscope.of(
        {"image_infos": [{"camera_label": ""}], "devices": [turret]}
    ).instrument.objective
    assert found is not None
    assert (found.magnification, found.lens_na, found.immersion) == (times, aperture, immersion)


def test_engine_metadata_of_snapped_frame() -> None:
    """Times become seconds, the stage position takes precedence over the event's, other keys are unchanged."""
    event = useq.MDAEvent(index={"t": 1, "c": 0}, x_pos=1, metadata={"tile": 3, "runner_t0": 5.0})
    meta = {
        "runner_time_ms": 1500.0,
        "exposure_ms": 20.0,
        "position": {"x": 10.5, "y": 2.0},
        "camera_device": "Cam",
        "property_values": ({"dev": "D", "prop": "P", "val": "1"},),
        "pixel_size_um": 1.0,
    }
    assert engine_metadata(meta, event) == {
        "delta_t": 1.5,
        "exposure_time": 0.02,
        "position_x": 10.5,
        "position_y": 2.0,
        "camera_device": "Cam",
        "property_values": ({"dev": "D", "prop": "P", "val": "1"},),
        "index": {"t": 1, "c": 0},
        "event_metadata": {"tile": 3},
    }


def test_engine_metadata_of_hardware_sequence() -> None:
    """Without a stage position, the event's target position is used; the camera's tags are unchanged."""
    event = useq.MDAEvent(index={"z": 2}, x_pos=1, y_pos=2, z_pos=3)
    tags = {"ElapsedTime-ms": "7.5", "ImageNumber": "2"}
    meta = {"hardware_triggered": True, "camera_metadata": tags, "property_values": ()}
    assert engine_metadata(meta, event) == {
        "position_x": 1.0,
        "position_y": 2.0,
        "position_z": 3.0,
        "camera_metadata": tags,
        "hardware_triggered": True,
        "index": {"z": 2},
    }


def test_tag_metadata() -> None:
    """Tags become JSON types, from strings of C++ cameras and from objects of Python cameras."""

    class Tag(str, Enum):
        ELAPSED = "ElapsedTime-ms"
        KIND = "PixelType"

    cpp = {"ElapsedTime-ms": "7.5", "Camera": "Cam", "PixelType": "GRAY16"}
    python = {Tag.ELAPSED.value: 7.5, "Camera": "Cam", "PixelType": Tag.KIND, "Temperature": -20}
    expected = {"delta_t": 0.0075, "exposure_time": 0.01, "camera_device": "Cam"}
    assert tag_metadata(cpp, exposure_ms=10) == {**expected, "camera_metadata": cpp}
    assert tag_metadata(python, exposure_ms=10) == {
        **expected,
        "camera_metadata": {**python, "PixelType": "PixelType"},
    }
    assert tag_metadata({}) == {"camera_metadata": {}}
