"""Convert a useq sequence to arguments of `AcquisitionSettings`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import numpy.typing as npt
import useq

from ome_writers import Dimension, Plate, Position, Schedule, SettingsError, UnsupportedError
from ome_writers_useq.acquisition_axes import acquisition_axes
from ome_writers_useq.dimensions import FrameGeometry, build_dimensions, place_positions
from ome_writers_useq.event_index import EventIndexMap
from ome_writers_useq.parsed_sequence import parse_sequence
from ome_writers_useq.plates import plate_from_useq

if TYPE_CHECKING:
    from ome_writers_useq.acquisition_axes import AcquisitionAxes
    from ome_writers_useq.dimensions import UnitTuple


class _RequiredSettings(TypedDict):
    dimensions: list[Dimension]
    plate: Plate | None


class AcquisitionSettingsDict(_RequiredSettings, total=False):
    """Arguments of `AcquisitionSettings`; ``schedule`` is present for ragged sequences only."""

    schedule: Schedule


def useq_to_acquisition_settings(
    seq: useq.MDASequence,
    image_width: int,
    image_height: int,
    *,
    units: Mapping[str, UnitTuple | None] | None = None,
    pixel_size_um: float | None = None,
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
) -> AcquisitionSettingsDict:
    """Convert a sequence to arguments of `AcquisitionSettings`.

    **Axes.** t, c and z keep the order of the sequence. Stage positions and grid points are merged into one axis ``p``,
    at the position of the outer one. ``y`` and ``x`` are last. The channels of all positions share one axis; channels
    with the same config, group and camera are the same item. Each axis ends at the highest index that is acquired.

    **Ragged sequences.** If the frames are not nested loops over these axes (channels that skip planes or time points,
    positions with sub-sequences, a grid that is not adjacent to its positions), ``schedule`` contains the acquisition
    index of each image event, in the order of acquisition. An axis that an event does not name has index 0.

    **Coordinates.** The time axis has the interval as scale, and the planned times (seconds) as coords if the interval
    changes. The z axis has the step as scale and the planned offsets or positions (micrometers) as coords, in the
    order of acquisition. If positions have plans of their own, an axis has what all plans have in common: the coords
    of the longest plan if the others are its beginning, otherwise the step if it is the same. `EventIndexMap.depths`
    returns the z values of each position.

    Parameters
    ----------
    seq
        The sequence. It is neither iterated nor changed.
    image_width, image_height
        Frame size in pixels.
    units
        Axis name to (scale, unit), which overrides the plan; None for the default. `pixel_size_um` takes precedence
        for y and x.
    pixel_size_um
        Scale of y and x in micrometers; 0.0 if unknown.
    chunk_shapes
        Axis name to chunk size (in pixels).
    shard_shapes
        Axis name to shard size (in chunks).

    Returns
    -------
    dict
        "dimensions", "plate" (or None), and "schedule" for a ragged sequence.

    Raises
    ------
    ome_writers.UnsupportedError
        If the sequence acquires no image, an unbounded time plan is not outermost or does not have a regular cycle,
        or useq itself cannot iterate the sequence.
    ValueError
        If `seq` is not a useq.MDASequence.

    Examples
    --------
    >>> import useq
    >>> seq = useq.MDASequence(time_plan={"interval": 10, "loops": 5}, channels=["DAPI", "FITC"])
    >>> settings = useq_to_acquisition_settings(seq, 64, 32, pixel_size_um=0.5)
    >>> [(dim.name, dim.count, dim.scale) for dim in settings["dimensions"]]
    [('t', 5, 10.0), ('c', 2, 1.0), ('y', 32, 0.5), ('x', 64, 0.5)]
    """
    return convert_sequence(
        seq,
        image_width,
        image_height,
        units=units,
        pixel_size_um=pixel_size_um,
        chunk_shapes=chunk_shapes,
        shard_shapes=shard_shapes,
    )[0]


def convert_sequence(
    seq: useq.MDASequence,
    image_width: int,
    image_height: int,
    *,
    units: Mapping[str, UnitTuple | None] | None = None,
    pixel_size_um: float | None = None,
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
) -> tuple[AcquisitionSettingsDict, EventIndexMap]:
    """Return what `useq_to_acquisition_settings` returns, and the `EventIndexMap` of the sequence, parsed once."""
    _check(seq)
    axes = acquisition_axes(seq)
    dimensions = build_dimensions(
        axes,
        FrameGeometry(image_width, image_height, pixel_size_um),
        units=units or {},
        chunk_shapes=chunk_shapes or {},
        shard_shapes=shard_shapes or {},
    )
    plate = plate_from_useq(seq) if axes.parsed.positions else None
    settings = AcquisitionSettingsDict(dimensions=dimensions, plate=plate)
    if axes.frame_indices is not None:
        settings["schedule"] = _schedule(axes, axes.frame_indices)
    return settings, EventIndexMap(axes)


def dims_from_useq(
    seq: useq.MDASequence,
    image_width: int,
    image_height: int,
    *,
    units: Mapping[str, UnitTuple | None] | None = None,
    pixel_size_um: float | None = None,
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
) -> list[Dimension]:
    """Return the dimensions only (deprecated; use `useq_to_acquisition_settings`).

    Raises
    ------
    ome_writers.UnsupportedError
        As for `useq_to_acquisition_settings`, and if the sequence is ragged, because the schedule is lost.
    ValueError
        If `seq` is not a useq.MDASequence.
    """
    warnings.warn(
        "dims_from_useq is deprecated: it loses the plate and the schedule. Use "
        "AcquisitionSettings(**useq_to_acquisition_settings(seq, ...), ...).",
        DeprecationWarning,
        stacklevel=2,
    )
    settings = useq_to_acquisition_settings(
        seq,
        image_width,
        image_height,
        units=units,
        pixel_size_um=pixel_size_um,
        chunk_shapes=chunk_shapes,
        shard_shapes=shard_shapes,
    )
    if "schedule" in settings:
        raise UnsupportedError(
            "The sequence is ragged: dimensions alone do not define the index of each frame. Use "
            "useq_to_acquisition_settings, which returns a schedule as well."
        )
    return settings["dimensions"]


def build_positions(seq: useq.MDASequence) -> list[Position]:
    """Return the positions of a sequence, grid points included."""
    _check(seq)
    if not parse_sequence(seq).top.order:
        return []
    return place_positions(acquisition_axes(seq))[0]


def _check(seq: object) -> None:
    if not isinstance(seq, useq.MDASequence):
        kind = f"{type(seq).__module__}.{type(seq).__qualname__}"
        raise SettingsError(f"seq must be a useq.MDASequence, got {kind}: {seq!r:.200}")


def _schedule(axes: AcquisitionAxes, indices: npt.NDArray[np.int32]) -> Schedule:
    """Return the schedule of a ragged sequence, without the fastest axes that are complete loops (except ``p``)."""
    names = list(axes.names)
    while len(names) > 1 and names[-1] != "p":
        size = axes.sizes[names[-1]]
        if size is None or len(indices) % size:
            break
        runs = indices.reshape(-1, size, len(names))
        complete = (runs[:, :, -1] == np.arange(size)).all()
        if not complete or (runs[:, :, :-1] != runs[:, :1, :-1]).any():
            break
        indices = runs[:, 0, :-1]
        names.pop()
    return Schedule(axes=tuple(names), indices=np.ascontiguousarray(indices))
