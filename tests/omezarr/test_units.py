"""Scales and units of OME-Zarr axes: unknown values are omitted."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import useq
import yaozarrs

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    create_stream,
    dims_from_standard_axes,
    useq_to_acquisition_settings,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers import OMEStream

YX = dims_from_standard_axes({"y": 8, "x": 8})


def stream_of(path: Path, dimensions: list[Dimension]) -> OMEStream:
    """Create a small stream."""
    return create_stream(
        AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16", overwrite=True)
    )


def scales_and_units(path: Path) -> dict[str, tuple[float, str | None]]:
    """Return scale and unit of each axis of an image that two validators accept."""
    yaozarrs.validate_zarr_store(str(path))
    if sys.version_info >= (3, 11):
        import ome_zarr_models
        import zarr

        ome_zarr_models.open_ome_zarr(zarr.open_group(path, mode="r"), version="0.5")
    ome = json.loads((path / "zarr.json").read_bytes())["attributes"]["ome"]
    (multiscale,) = ome["multiscales"]
    (scale,) = (
        transformation["scale"]
        for transformation in multiscale["datasets"][0]["coordinateTransformations"]
        if transformation["type"] == "scale"
    )
    axes = zip(multiscale["axes"], scale, strict=True)
    return {axis["name"]: (step, axis.get("unit")) for axis, step in axes}


def test_axis_without_scale_has_no_unit(tmp_path: Path) -> None:
    """Standard axes of unknown scale are not "1 second" or "1 micrometer"."""
    path = tmp_path / "x.ome.zarr"
    dimensions = [
        *dims_from_standard_axes({"t": 2}),
        Dimension(name="z", type="space", count=1, scale=2, unit="um"),
        *YX,
    ]
    with stream_of(path, dimensions) as stream:
        stream.append(np.ones((8, 8), np.uint16))
    assert scales_and_units(path) == {
        "t": (1.0, None), "z": (2.0, "micrometer"), "y": (1.0, None), "x": (1.0, None)
    }  # fmt: skip


@pytest.mark.parametrize("interval", [0, 1.5])
def test_useq_interval_of_0_has_no_scale(interval: float, tmp_path: Path) -> None:
    """0 means as fast as possible; other intervals are the scale, in seconds."""
    path = tmp_path / "x.ome.zarr"
    sequence = useq.MDASequence(time_plan={"interval": interval, "loops": 3})
    found = useq_to_acquisition_settings(sequence, 8, 8, pixel_size_um=0.5)
    with stream_of(path, found["dimensions"]) as stream:
        for _ in range(3):
            stream.append(np.ones((8, 8), np.uint16))
    expected = (1.5, "second") if interval else (1.0, None)
    assert scales_and_units(path) == {
        "t": expected,
        "y": (0.5, "micrometer"),
        "x": (0.5, "micrometer"),
    }


def attributes_written_with(
    path: Path, dimensions: list[Dimension], times: list[float]
) -> dict[str, Any]:
    """Write frames with these `delta_t`; return ``ome_writers`` of the image."""
    with stream_of(path, dimensions) as stream:
        for seconds in times:
            stream.append(np.ones((8, 8), np.uint16), frame_metadata={"delta_t": seconds})
    ours: dict[str, Any] = json.loads((path / "zarr.json").read_bytes())["attributes"][
        "ome_writers"
    ]
    return ours


def test_measured_interval_is_marked_as_measured(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    dimensions = [*dims_from_standard_axes({"t": 3, "c": 2}), *YX]
    ours = attributes_written_with(path, dimensions, [0.0, 0.25, 0.5, 0.75, 1.5, 1.75])
    assert ours["measured"] == {"time_interval": 0.75, "unit": "second"}
    assert scales_and_units(path)["t"] == (0.75, "second")
    assert ours["settings"]["dimensions"][0]["scale"] is None  # what was planned stays what it was


@pytest.mark.parametrize(
    ("time", "times", "expected"),
    [
        (Dimension(name="t", count=3, scale=2, unit="s"), [0.0, 0.7, 1.4], (2.0, "second")),
        (Dimension(name="t", coords=[0, 1, 7], unit="s"), [0.0, 0.7, 1.4], (1.0, None)),
        (Dimension(name="t", count=3), [0.5, 0.5, 0.5], (1.0, None)),
        (Dimension(name="t", count=3), [0.7], (1.0, None)),
    ],
)
def test_planned_or_constant_times_are_not_measured(
    time: Dimension, times: list[float], expected: tuple[float, str | None], tmp_path: Path
) -> None:
    path = tmp_path / "x.ome.zarr"
    assert "measured" not in attributes_written_with(path, [time, *YX], times)
    assert scales_and_units(path)["t"] == expected


def test_image_without_channel_axis_has_a_display_window(tmp_path: Path) -> None:
    """One `omero` channel, which validators accept (decision 10)."""
    path = tmp_path / "x.ome.zarr"
    with stream_of(path, [*dims_from_standard_axes({"t": 2}), *YX]) as stream:
        for value in (100, 4000):
            stream.append(np.full((8, 8), value, np.uint16))
    scales_and_units(path)
    (channel,) = json.loads((path / "zarr.json").read_bytes())["attributes"]["ome"]["omero"][
        "channels"
    ]
    assert (channel["active"], channel["color"]) == (True, "FFFFFF")
    assert channel["window"] == {"min": 0, "max": 65535, "start": 100, "end": 4000}
