"""Map the index of a useq event to the acquisition index of its frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ome_writers_useq.acquisition_axes import AcquisitionAxes, acquisition_axes

if TYPE_CHECKING:
    import useq


class EventIndexMap:
    """Maps event indices of a sequence to acquisition indices.

    They differ because the acquisition merges stage positions and grid points into one axis, and the channels of all
    positions into another.

    Parameters
    ----------
    seq
        The sequence, as passed to `useq_to_acquisition_settings`.

    Raises
    ------
    ome_writers.UnsupportedError
        As for `useq_to_acquisition_settings`.

    Examples
    --------
    >>> import useq
    >>> grid = {"rows": 1, "columns": 2}
    >>> seq = useq.MDASequence(stage_positions=[(0, 0), (9, 0)], grid_plan=grid, channels=["BF"])
    >>> EventIndexMap(seq)({"p": 1, "g": 0, "c": 0, "cam": 1})
    {'p': 2, 'c': 0, 'cam': 1}
    """

    def __init__(self, seq: useq.MDASequence | AcquisitionAxes) -> None:
        self._axes = seq if isinstance(seq, AcquisitionAxes) else acquisition_axes(seq)
        self._positions = {pair: n for n, pair in enumerate(self._axes.pairs)}
        self._visits: Counter[frozenset[tuple[str, int]]] = Counter()

    def __call__(self, index: Mapping[str, int]) -> dict[str, int]:
        """Return the acquisition index of an event; to be called once per frame.

        Axes that the sequence does not have (such as ``cam``) are passed through. If the sequence visits an index
        several times, the visits are later time points: they are counted here.

        Raises ValueError if the sequence does not acquire a frame at this index.
        """
        remaining = {str(axis): int(number) for axis, number in index.items()}
        p, g = remaining.pop("p", -1), remaining.pop("g", -1)
        found: dict[str, int] = {}
        for axis in self._axes.names:
            if axis == "p":
                found["p"] = self._positions.get((p, g), -1)
            elif axis == "c":
                found["c"] = self._channel(p, remaining.pop("c", None))
            else:
                found[axis] = remaining.pop(axis, 0)
            extent = self._axes.sizes[axis]
            if found[axis] < 0 or (extent is not None and found[axis] >= extent):
                raise ValueError(
                    f"Event index {dict(index)} is outside the sequence: axis {axis!r} has an extent of {extent}. "
                    "Pass the sequence that the event was made from."
                )
        times = self._axes.visit_times.get((found.get("p", 0), found.get("t", 0)))
        found |= remaining
        if times is not None:
            visit = frozenset(found.items())
            found["t"] = times[min(self._visits[visit], len(times) - 1)]
            self._visits[visit] += 1
        return found

    def depths(self, position: int) -> npt.NDArray[np.float64]:
        """Return the planned z values of one item of the position axis, shape (n_planes,).

        Needed if positions have z plans of their own, which the ``coords`` of the z axis cannot represent. In
        micrometers and in the order of the z index; relative or absolute, as in the plan.
        """
        plan = self._axes.z_plan_of(position)
        return np.empty(0) if plan is None else plan.values

    def _channel(self, p: int, c: int | None) -> int:
        if c is None:
            return 0
        indices = self._axes.channel_table[max(p, 0)]
        return int(indices[c]) if c < len(indices) else -1
