"""From a useq sequence to the arguments of AcquisitionSettings."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, TypedDict

import numpy as np
import useq

from ome_writers import Dimension, Plate, Schedule, SettingsError, UnsupportedError
from ome_writers_useq.dimensions import FrameGeometry, describe_axes
from ome_writers_useq.nested_sequences import read
from ome_writers_useq.outline import outline
from ome_writers_useq.plates import plate_from_useq
from ome_writers_useq.positions import describe_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from ome_writers import Position
    from ome_writers_useq.dimensions import UnitTuple
    from ome_writers_useq.outline import Outline

__all__ = [
    "AcquisitionSettingsDict",
    "build_positions",
    "dims_from_useq",
    "useq_to_acquisition_settings",
]


class _Always(TypedDict):
    dimensions: list[Dimension]
    plate: Plate | None


class AcquisitionSettingsDict(_Always, total=False):
    """What a sequence says about an acquisition; to be splatted into AcquisitionSettings.

    ``schedule`` is there for a ragged sequence only.
    """

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
    """Convert a sequence to the arguments of AcquisitionSettings.

    The axes t, c and z keep the order in which the sequence iterates them. Stage positions
    and grid points become one axis ``p``, in the order of their iteration; it stands where the
    outer one of them does. ``y`` and ``x`` come last.

    A regular sequence is nested loops over these axes. One that is not (channels that skip
    planes or time points, positions with sequences of their own, a grid apart from its
    positions) is ragged: `schedule` then says for each frame, in the order in which useq
    delivers the image events, where it goes. A frame goes where its event's index says, with
    ``p`` and ``g`` as one position; an axis that the event does not name counts as 0. Of the
    channel, it is the one that the frame is taken with: the channels of all positions make one
    axis (the same config, group and camera being the same channel), of which a position may fill
    only some. Each axis is as long as the highest index that is acquired, so planned time points
    and planes after the last acquired one are no part of it.

    Coordinates: the time axis has the interval as scale; planned times (seconds) are coords
    where the interval changes. The z axis has the step as scale and the planned offsets or
    positions (micrometer) as coords, in the order of acquisition: a descending stack has
    descending coords (and a positive scale). Where positions have plans of their own, an axis
    says what holds for all of them: the coords of the longest, if all begin alike, else the step
    if they share it, else nothing; `EventPlaces.depths` has each position's own.

    Parameters
    ----------
    seq
        The sequence. It is neither iterated nor changed.
    image_width, image_height
        Size of the frames in pixels.
    units
        Axis name to (scale, unit), in the place of what the plan says; None for the default.
        For y and x it holds where no `pixel_size_um` is given.
    pixel_size_um
        Scale of y and x in micrometer; 0.0 for not known.
    chunk_shapes
        Axis name to chunk size (in pixels).
    shard_shapes
        Axis name to shard size (in chunks).

    Returns
    -------
    dict
        "dimensions", "plate" (None if there is none), and "schedule" for a ragged sequence.

    Raises
    ------
    ome_writers.UnsupportedError
        If the sequence acquires no image, if an endless time plan is not outermost, if it has no
        regular cycle, or if useq itself cannot iterate the sequence.
    ValueError
        If `seq` is not a useq.MDASequence.

    Warns
    -----
    UserWarning
        If several frames have the same index: the later one replaces the earlier one.

    Examples
    --------
    >>> import useq
    >>> seq = useq.MDASequence(time_plan={"interval": 10, "loops": 5}, channels=["DAPI", "FITC"])
    >>> settings = useq_to_acquisition_settings(seq, 64, 32, pixel_size_um=0.5)
    >>> [(dim.name, dim.count, dim.scale) for dim in settings["dimensions"]]
    [('t', 5, 10.0), ('c', 2, 1.0), ('y', 32, 0.5), ('x', 64, 0.5)]
    """
    _check(seq)
    found = outline(seq)
    dimensions = describe_axes(
        found,
        FrameGeometry(image_width, image_height, pixel_size_um),
        units=units or {},
        chunk_shapes=chunk_shapes or {},
        shard_shapes=shard_shapes or {},
    )
    plate = plate_from_useq(seq) if found.reading.positions else None
    settings = AcquisitionSettingsDict(dimensions=dimensions, plate=plate)
    if found.rows is not None:
        settings["schedule"] = _schedule(found, found.rows)
    return settings


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
    """Return the dimensions only (deprecated).

    The older form of `useq_to_acquisition_settings`: it loses the plate and the schedule, so
    a ragged sequence is refused.

    Raises
    ------
    ome_writers.UnsupportedError
        As `useq_to_acquisition_settings`, and if the sequence is ragged.
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
            "The sequence is ragged: its dimensions do not say where each frame goes. Use "
            "useq_to_acquisition_settings, whose schedule does."
        )
    return settings["dimensions"]


def build_positions(seq: useq.MDASequence) -> list[Position]:
    """Return the positions of a sequence, grid points included; none if it has none."""
    _check(seq)
    reading = read(seq)
    if not reading.top.order:
        return []
    found = outline(seq)
    return describe_pairs(found.reading, found.pairs)


def _check(seq: object) -> None:
    if not isinstance(seq, useq.MDASequence):
        kind = f"{type(seq).__module__}.{type(seq).__qualname__}"
        raise SettingsError(f"seq must be a useq.MDASequence, got {kind}: {seq!r:.200}")


def _schedule(found: Outline, rows: npt.NDArray[np.int32]) -> Schedule:
    """Write down the places of a ragged sequence's frames.

    The fastest axes are left out where each of their runs is complete and in order, as a schedule
    may do, except the positions.
    """
    if found.repeats:
        warnings.warn(
            f"{found.repeats} of {len(rows)} frames have the same index (t, p, c, z) as an earlier "
            "frame and will replace it. A position's own time plan or autofocus plan, together "
            "with a plan of the whole sequence for the same axis, does that.",
            UserWarning,
            stacklevel=3,
        )
    axes = list(found.axes)
    while len(axes) > 1 and axes[-1] != "p":
        size = found.sizes[axes[-1]]
        if size is None or len(rows) % size:
            break
        runs = rows.reshape(-1, size, len(axes))
        complete = (runs[:, :, -1] == np.arange(size)).all()
        if not complete or (runs[:, :, :-1] != runs[:, :1, :-1]).any():
            break
        rows = runs[:, 0, :-1]
        axes.pop()
    return Schedule(axes=tuple(axes), indices=np.ascontiguousarray(rows))
