"""The acquisition that a sequence amounts to: its axes, their extents, and each frame's place."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ome_writers import UnsupportedError
from ome_writers_useq.channels import channel_axis, channel_numbers
from ome_writers_useq.frame_order import AXES, frame_indices, is_plain
from ome_writers_useq.nested_sequences import read
from ome_writers_useq.planned_values import Planned, agree
from ome_writers_useq.positions import planned_pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt
    import useq

    from ome_writers_useq.nested_sequences import Level, Reading

__all__ = ["Outline", "outline"]


@dataclass(frozen=True, eq=False)
class Outline:
    """What is acquired.

    Attributes
    ----------
    reading
        The sequence.
    axes
        The axes without y and x, slowest first, of ``"tpcz"``: ``p`` counts stage positions and
        grid points together.
    sizes
        The extent of each axis over all positions; None for an endless time axis.
    pairs
        The event indices (p, g) of each item of the position axis, -1 for one that events lack.
    channels
        The items of the channel axis.
    channel_places
        Shape (n_positions or 1, longest list): where the event index ``c`` of a position lies on
        the channel axis, -1 for nowhere.
    rows
        The place of each frame, shape (n_frames, n_axes); None if the frames come as nested loops
        over `axes`. One cycle of an endless sequence.
    repeats
        How many frames come to a place that an earlier frame already has.
    """

    reading: Reading
    axes: tuple[str, ...]
    sizes: Mapping[str, int | None]
    pairs: list[tuple[int, int]]
    channels: list[useq.Channel]
    channel_places: npt.NDArray[np.int32]
    rows: npt.NDArray[np.int32] | None
    repeats: int

    def times(self) -> Planned:
        """Return the planned times that hold for all positions (seconds)."""
        return self._plan("t", lambda level: level.times)

    def depths(self) -> Planned:
        """Return the planned z values that hold for all positions (micrometers)."""
        return self._plan("z", lambda level: level.depths)

    def depths_of(self, place: int) -> npt.NDArray[np.float64]:
        """Return the z values planned at one item of the position axis (micrometers)."""
        p, _ = self.pairs[place] if self.pairs else (-1, -1)
        own = self.reading.own[p] if p >= 0 else None
        for level in (own, self.reading.top):
            if level is not None and "z" in level.order and level.depths is not None:
                return level.depths.values
        return np.empty(0)

    def _plan(self, axis: str, plan_of: Callable[[Level], Planned | None]) -> Planned:
        """Reduce the plans in use on one axis to one."""
        reading, extent = self.reading, self.sizes[axis]
        owns = [own if own is not None and axis in own.order else None for own in reading.own]
        # The sequence's own plan counts only where some position follows it.
        levels = [own for own in owns if own is not None]
        if axis in reading.top.order and (None in owns or not owns):
            levels.append(reading.top)
        plans = [plan for level in levels if (plan := plan_of(level)) is not None]
        if not plans:
            return Planned(extent, None, np.empty(0))
        if extent is None:
            return plans[0] if len(plans) == 1 else Planned(None, None, np.empty(0))
        return agree(plans, extent)


def outline(seq: useq.MDASequence) -> Outline:
    """Work out what a sequence acquires.

    Raises
    ------
    UnsupportedError
        If it acquires nothing, or has a time axis without an end that other axes enclose.
    """
    reading = read(seq)
    channels, places = channel_axis(reading)
    if is_plain(reading) and (regular := _regular(reading, channels, places)) is not None:
        return regular
    rows = frame_indices(reading)
    if not len(rows):
        raise UnsupportedError(
            f"The sequence acquires no image (axis_order={''.join(seq.axis_order)!r}, sizes "
            f"{dict(reading.top.sizes)}): there is nothing to write. Give it at least one time "
            "point, position, channel or plane."
        )
    return _from_rows(reading, rows, channels, places)


def _regular(
    reading: Reading, channels: list[useq.Channel], places: npt.NDArray[np.int32]
) -> Outline | None:
    """Outline nested loops without looking at each frame; None if that needs a closer look."""
    top = reading.top
    used = [axis for axis in top.order if axis not in "pg" or top.sizes[axis] > 1]
    apart = "p" in used and "g" in used and abs(used.index("p") - used.index("g")) > 1
    if not top.order or apart:
        return None
    axes = _axes(top.order, {axis for axis in used if axis in "pg"}, ())
    pairs = planned_pairs(reading)
    sizes: dict[str, int | None] = {axis: top.sizes.get(axis) for axis in axes}
    if "p" in axes:
        sizes["p"] = len(pairs)
    return _ended(Outline(reading, axes, sizes, pairs, channels, places, None, 0))


def _from_rows(
    reading: Reading,
    indices: npt.NDArray[np.int32],
    channels: list[useq.Channel],
    places: npt.NDArray[np.int32],
) -> Outline:
    """Outline what the frames' event indices say."""
    named = {axis for axis, column in zip(AXES, indices.T, strict=True) if (column >= 0).any()}
    order = "".join(axis for axis in reading.top.order if axis in named)
    extras = "".join(own.order for own in reading.own if own is not None) + AXES
    extras = "".join(dict.fromkeys(extras))  # in the order in which the positions bring them
    more = [axis for axis in extras if axis not in order and axis in named]
    varied = {axis for axis in "pg" if np.ptp(indices[:, AXES.index(axis)])}
    axes = _axes(order, varied, more)

    pairs, position = _merged(indices)
    columns = {axis: np.maximum(indices[:, AXES.index(axis)], 0) for axis in "tz"}
    columns["p"] = position
    channel = channel_numbers(indices, places)
    acquired = np.unique(channel[channel >= 0])  # the others would only be holes
    compact = np.full(len(channels) + 1, -1, dtype=np.int32)
    compact[acquired] = np.arange(len(acquired), dtype=np.int32)
    columns["c"] = np.maximum(compact[channel], 0)

    rows = np.stack([columns[axis] for axis in axes], axis=1)
    extents = [int(n) for n in rows.max(axis=0) + 1]
    strides = [math.prod(extents[i + 1 :]) for i in range(len(extents))]
    linear = rows @ np.array(strides, dtype=np.int64)
    total = math.prod(extents)
    regular = len(linear) == total and bool((linear == np.arange(total)).all())
    repeats = 0 if regular else len(linear) - len(np.unique(linear))
    found = Outline(
        reading,
        axes,
        dict(zip(axes, extents, strict=True)),
        pairs if "p" in axes else [],
        [channels[number] for number in acquired],
        compact[places],
        None if regular else rows,
        repeats,
    )
    return _ended(found)


def _axes(order: str, varied: set[str], more: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """Return the axes as they are iterated, with one axis in the place of p and g.

    Where both go on, it takes the place of the outer one; where only one does, that one's.
    """
    both = [axis for axis in order if axis in "pg"]
    going = [axis for axis in both if axis in varied] or both[:1]
    axes = [
        ("p" if axis in "pg" else axis) for axis in order if axis not in "pg" or axis == going[0]
    ]
    if "p" not in axes and any(axis in more for axis in "pg"):
        axes.append("p")
    return (*axes, *(axis for axis in more if axis not in "pg"))


def _merged(
    indices: npt.NDArray[np.int32],
) -> tuple[list[tuple[int, int]], npt.NDArray[np.int32]]:
    """Return the (p, g) pairs in the order of the first visit, and the pair of each frame."""
    p, g = indices[:, AXES.index("p")].astype(np.int64), indices[:, AXES.index("g")]
    digits = int(g.max()) + 2  # -1 to the highest index
    codes, first, number = np.unique(
        (p + 1) * digits + (g + 1), return_index=True, return_inverse=True
    )
    visited = np.argsort(first)
    rank = np.empty(len(visited), dtype=np.int32)
    rank[visited] = np.arange(len(visited), dtype=np.int32)
    pairs = [(int(code) // digits - 1, int(code) % digits - 1) for code in codes[visited]]
    return pairs, rank[number.reshape(-1)]


def _ended(found: Outline) -> Outline:
    """Turn the one cycle of an endless time axis into an axis without an end."""
    top = found.reading.top
    if not top.is_endless:
        return found
    enclosing = [a for a in found.axes[: found.axes.index("t")] if found.sizes[a] != 1]
    if enclosing:
        raise UnsupportedError(
            f"The time plan has no end, but the axis order {top.order!r} puts it inside "
            f"{', '.join(enclosing)}: the second item of {enclosing[0]!r} would never "
            "be reached. Put 't' first in axis_order or give the time plan an end."
        )
    if found.sizes["t"] != top.sizes["t"]:
        raise UnsupportedError(
            "The time plan has no end and every channel leaves out time points (acquire_every="
            f"{[c.acquire_every for c in top.channels]}): its cycle of {top.sizes['t']} time "
            "points ends without a frame. Let one channel be acquired at every time point."
        )
    axes = ("t", *(axis for axis in found.axes if axis != "t"))
    rows = found.rows
    if rows is not None:
        rows = rows[:, [found.axes.index(axis) for axis in axes]]
    return Outline(
        found.reading,
        axes,
        {**found.sizes, "t": None},
        found.pairs,
        found.channels,
        found.channel_places,
        rows,
        found.repeats,
    )
