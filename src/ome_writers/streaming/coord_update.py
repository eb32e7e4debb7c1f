"""`CoordUpdate`, the argument of listeners, and the axes along which it reports a frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ome_writers.routing import Plan, coordinates
from ome_writers.views import view_names

Source = int | range | Mapping[str, int]
"""What an event reports: the offset of a frame in acquisition order, the offsets that `skip` has skipped, or the
full acquisition index of a frame."""


@dataclass(frozen=True, slots=True)
class CoordUpdate:
    """One frame was appended, or a `skip` reached a new extent.

    Attributes
    ----------
    max_coords
        For each dimension the coordinates reached so far: names of channels and positions, otherwise a range. The keys
        are those of `StreamView.dims`, including y and x.
    current_indices
        Index of the frame by dimension (0 for y and x); for a skip, of the last skipped frame.
    frame_number
        Number of the frame, counted from 0; skipped frames count.
    is_high_water_mark
        Whether a new extent was reached.
    """

    max_coords: Mapping[str, Sequence[object]]
    current_indices: Mapping[str, int]
    frame_number: int
    is_high_water_mark: bool


class EventAxes:
    """The axes of the frames of one plan."""

    def __init__(self, plan: Plan, extents: Mapping[str, int]) -> None:
        self.router = plan.router
        self._dimensions = plan.settings.dimensions
        self._names = view_names(self._dimensions)
        # extent of each acquisition axis when the stream started, or restarted, with this plan
        self.extents = self.to_array(extents)

    def to_array(self, values: Mapping[str, int]) -> NDArray[np.int64]:
        """Return values by axis name as an array; 0 for axes without a value."""
        return np.asarray([values.get(a, 0) for a in self.router.axes], dtype=np.int64)

    def indices(self, sources: Sequence[Source]) -> NDArray[np.int64]:
        """Return the acquisition index of each source, shape (n, axes)."""
        if all(isinstance(source, int) for source in sources):
            return self.router.acquired(np.asarray(sources, dtype=np.int64))
        last = [source[-1] if isinstance(source, range) else source for source in sources]
        indices = (self.router.indices(s) if isinstance(s, int) else s for s in last)
        return np.asarray([[i[a] for a in self.router.axes] for i in indices], dtype=np.int64)

    def update(
        self, number: int, index: NDArray[np.int64], extents: NDArray[np.int64], *, expanded: bool
    ) -> CoordUpdate:
        """Return the update for frame `number` at `index`, when `extents` are reached."""
        indices = dict(zip(self._names, [*index.tolist(), 0, 0], strict=True))
        shape = [*extents.tolist(), *(d.count or 0 for d in self._dimensions[-2:])]
        axes = zip(self._names, self._dimensions, shape, strict=True)
        coords = {name: coordinates(dim, extent) for name, dim, extent in axes}
        return CoordUpdate(coords, indices, number, expanded)
