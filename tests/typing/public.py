"""What users' type checkers see: mypy and pyright read this file, nothing runs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dask.array
import numpy as np
import useq
import xarray
from numpy.typing import NDArray
from pymmcore_plus import CMMCorePlus
from typing_extensions import assert_type

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    AcquisitionSettingsDict,
    Camera,
    Channel,
    Conversion,
    Dimension,
    OMEStream,
    OmeTiffFormat,
    OMEWritersError,
    Plate,
    Position,
    Schedule,
    ScratchFormat,
    StandardAxis,
    StreamView,
    WriteError,
    convert,
    convert_ngff_version,
    create_stream,
    dims_from_standard_axes,
    dims_from_useq,
    read_frame_metadata,
    useq_to_acquisition_settings,
    validate,
)
from ome_writers.repair import Repair
from ome_writers_pymmcore import Counts, MDAWriter, frames, record

assert_type(ome_writers.__version__, str)

settings = AcquisitionSettings(
    root_path=Path("run.ome.zarr"),
    dimensions=dims_from_standard_axes({"t": 2, "c": ["DAPI"], "y": 8, "x": 8}),
    dtype="uint16",
)
assert_type(dims_from_standard_axes({"y": 8, "x": 8}), list[Dimension])
assert_type(settings.num_frames, int | None)

assert_type(create_stream(settings), OMEStream)
assert_type(
    create_stream(
        root_path=Path("run.ome.zarr"),
        dimensions=dims_from_standard_axes({"t": 2, "y": 8, "x": 8}),
        dtype=np.uint16,
    ),
    OMEStream,
)
create_stream(root_path="run.ome.zarr", overwrites=True)  # type: ignore[call-overload]  # misspelt: refused
with create_stream(settings) as stream:
    assert_type(stream, OMEStream)
    stream.append(np.zeros((8, 8), np.uint16), frame_metadata={"delta_t": 0.5})
    stream.append(np.zeros((8, 8), np.uint16), metadata={})  # type: ignore[call-arg]  # misspelt: refused
    stream.skip(frames=1)
    stream.restart(settings.model_copy(update={"dtype": "uint8"}))
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

# All that is public besides: looking, checking, converting, and what they return.
with create_stream(settings) as looked_at:
    looked_at.append(np.zeros((8, 8), np.uint16), index={"t": 1, "c": 0}, copy=False)
    with looked_at.frame_buffer(frame_metadata={"exposure_time": 0.01}) as lent:
        assert_type(lent, NDArray[np.generic])
    looked_at.on("coords_changed", lambda update: print(update.current_indices["t"]))
    looked_at.set_global_metadata("lab", {"room": 3})
    assert_type(looked_at.extents(), Mapping[str, int])
    assert_type(looked_at.stats().longest_append, float)
    looked_at.flush()

view = ome_writers.open(Path("run.ome.zarr"))
assert_type(view, StreamView)
assert_type(view.shape, tuple[int, ...])
assert_type(view[0, 0], NDArray[np.generic])
assert_type(view.to_dask(), dask.array.Array)
assert_type(view.to_xarray(), xarray.DataArray)
assert_type(validate("run.ome.zarr").valid, bool)
assert_type(ome_writers.repair("run.ome.zarr", dry_run=True), Repair)
assert_type(convert("run.ome.zarr", Path("run.ome.tiff"), verify=True), Conversion)
assert_type(convert_ngff_version("run.ome.zarr", "0.6"), list[Path])
assert_type(read_frame_metadata("run.ome.zarr"), list[dict[str, Any]])
AcquisitionSettings(
    dimensions=[
        Dimension(name="p", coords=[Position(name="a", plate_row="A", plate_column="1")]),
        Dimension(name="camera", coords=[Camera(name="left", height=8, width=8, dtype="uint8")]),
        *dims_from_standard_axes({"y": 8, "x": 8}),
    ],
    dtype="uint16",
    plate=Plate.from_standard_wells(96),
    schedule=Schedule(("p", "camera"), [[0, 0]]),
    format=ScratchFormat(max_memory_bytes=2**20),
)
assert_type(StandardAxis.TIME.to_dimension(count=3), Dimension)
assert_type(dims_from_useq(sequence, 8, 8), list[Dimension])
try:
    stream.close()
except WriteError as error:
    assert_type(error.frames, tuple[int, ...])
except (OMEWritersError, OSError):
    pass


def with_a_microscope(core: CMMCorePlus) -> None:
    """Record, and listen."""
    assert_type(record(core, "burst.ome.zarr", n_frames=5, compression="zstd"), Counts)
    for frame in frames(core, timeout=1.0):
        print(frame)
    writer = MDAWriter(settings, core=core)
    writer.attach(core)
    MDAWriter("run.ome.zarr", overwrites=True)  # type: ignore[call-arg]  # misspelt: refused
    record(core, "run.ome.zarr", n_frames=1, overwrites=True)  # type: ignore[call-arg]  # misspelt: refused
    assert_type(writer.result(), Counts)
