"""What users' type checkers see: mypy and pyright read this file, nothing runs it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import useq
from typing_extensions import assert_type

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    AcquisitionSettingsDict,
    Channel,
    Dimension,
    OMEStream,
    OmeTiffFormat,
    Position,
    StreamView,
    create_stream,
    dims_from_standard_axes,
    useq_to_acquisition_settings,
)

assert_type(ome_writers.__version__, str)

settings = AcquisitionSettings(
    root_path=Path("run.ome.zarr"),
    dimensions=dims_from_standard_axes({"t": 2, "c": ["DAPI"], "y": 8, "x": 8}),
    dtype="uint16",
)
assert_type(dims_from_standard_axes({"y": 8, "x": 8}), list[Dimension])
assert_type(settings.num_frames, int | None)

assert_type(create_stream(settings), OMEStream)
with create_stream(settings) as stream:
    assert_type(stream, OMEStream)
    stream.append(np.zeros((8, 8), np.uint16), frame_metadata={"delta_t": 0.5})
    stream.skip(frames=1)
    assert_type(stream.closed, bool)
    assert_type(stream.view(), StreamView)

sequence = useq.MDASequence()
conversion = useq_to_acquisition_settings(sequence, 8, 8, pixel_size_um=0.1)
assert_type(conversion, AcquisitionSettingsDict)
more = AcquisitionSettings(root_path="run.ome.tiff", dtype="uint8", **conversion)
assert_type(more.dimensions, tuple[Dimension, ...])

# What the validators take is more than what is read back.
AcquisitionSettings(
    root_path=Path("run"),
    dimensions=[
        Dimension(name="c", coords=["DAPI", Channel(name="GFP", color="lime")], type="channel"),
        Dimension(name="p", coords=["left", Position(name="right", x_coord=3)], type="position"),
        Dimension(name="y", count=8, unit="um", scale=1),
        Dimension(name="x", count=8),
    ],
    dtype=np.uint16,
    format="tiff",
    storage_order=["c", "p", "y", "x"],
)
AcquisitionSettings(format=OmeTiffFormat(prefer_single_file=True), dtype=np.dtype("uint8"))
AcquisitionSettings(format={"name": "ome-zarr", "backend": "direct"})
