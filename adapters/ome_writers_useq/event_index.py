"""Where the frame of an event goes, for clients that address frames by their events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers_useq.outline import outline

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt
    import useq

__all__ = ["EventPlaces"]


class EventPlaces:
    """The places of a sequence's events on the axes of its acquisition settings.

    The settings number stage positions and grid points together, and the channels of all
    positions together, so an event's index is not yet an acquisition index.

    Parameters
    ----------
    seq
        The sequence, as given to `useq_to_acquisition_settings`.

    Raises
    ------
    ome_writers.UnsupportedError
        As `useq_to_acquisition_settings` does.

    Examples
    --------
    >>> import useq
    >>> grid = {"rows": 1, "columns": 2}
    >>> seq = useq.MDASequence(stage_positions=[(0, 0), (9, 0)], grid_plan=grid, channels=["BF"])
    >>> EventPlaces(seq)({"p": 1, "g": 0, "c": 0, "cam": 1})
    {'p': 2, 'c': 0, 'cam': 1}
    """

    def __init__(self, seq: useq.MDASequence) -> None:
        self._outline = outline(seq)
        self._positions = {pair: n for n, pair in enumerate(self._outline.pairs)}

    def __call__(self, index: Mapping[str, int]) -> dict[str, int]:
        """Return the acquisition index of an event.

        Parameters
        ----------
        index
            The event's index. Axes that useq does not know (``cam``) are handed through.

        Raises
        ------
        ValueError
            If the sequence acquires nothing at this index.
        """
        asked = {str(axis): int(number) for axis, number in index.items()}
        p, g = asked.pop("p", -1), asked.pop("g", -1)
        place: dict[str, int] = {}
        for axis in self._outline.axes:
            if axis == "p":
                place["p"] = self._positions.get((p, g), -1)
            elif axis == "c":
                place["c"] = self._channel(p, asked.pop("c", None))
            else:
                place[axis] = asked.pop(axis, 0)
            extent = self._outline.sizes[axis]
            if place[axis] < 0 or (extent is not None and place[axis] >= extent):
                raise ValueError(
                    f"The sequence acquires nothing at {dict(index)}: no such place on axis "
                    f"{axis!r}, whose extent is {extent}. Was the event made from another sequence?"
                )
        return {**place, **asked}

    def depths(self, place: int) -> npt.NDArray[np.float64]:
        """Return the planned z values of one item of the position axis, shape (n_planes,).

        They are what the ``coords`` of the z axis cannot say when positions have z plans of their
        own: micrometers, relative or absolute as the plan is, in the order of the z index.
        """
        return self._outline.depths_of(place)

    def _channel(self, p: int, c: int | None) -> int:
        if c is None:
            return 0
        listed = self._outline.channel_places[max(p, 0)]
        return int(listed[c]) if c < len(listed) else -1
