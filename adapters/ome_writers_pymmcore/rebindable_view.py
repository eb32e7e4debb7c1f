"""A view that stays with a run when its output is made anew, because another camera has joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ome_writers_pymmcore.cameras import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers import StreamView
    from ome_writers_pymmcore.outputs import Outputs

__all__ = ["FollowingSource"]


class FollowingSource:
    """The frames of a run as a view has them that was taken before it was known how many cameras there are.

    Its axes stay what they were: when a camera joins, it goes on with the frames of the first camera, out of the new
    output. It is what `StreamView.over` takes.

    Parameters
    ----------
    outputs
        Where the frames of the run go.
    """

    def __init__(self, outputs: Outputs) -> None:
        stream = outputs.stream
        view = stream.view(dynamic_shape=False)
        self._outputs = outputs
        self._callbacks: list[Callable[[], None]] = []
        counts = [d.count for d in stream.settings.dimensions[:-2]]
        self.rank = len(counts)
        self.dims: tuple[str, ...] = view.dims
        self.dtype: np.dtype[np.generic] = view.dtype
        self._planned = (*counts, *view.shape[self.rank :])
        outputs.followers.add(self)

    def planned(self) -> tuple[int | None, ...]:
        """Return the extents that were planned when the view was taken."""
        return self._planned

    def reached(self) -> tuple[int, ...]:
        """Return how far each axis was reached."""
        with self._outputs.changing:
            view = self._view()
            extents = dict(zip(view.dims, view.shape, strict=True))
        return tuple(extents[name] for name in self.dims[: self.rank])

    def coords(self, shape: tuple[int, ...]) -> Mapping[str, Sequence[Any]]:
        """Return names of channels and positions, ranges for other axes."""
        with self._outputs.changing:
            told = self._outputs.stream.view(dynamic_shape=False).coords
        coords: dict[str, Sequence[Any]] = {}
        for name, extent in zip(self.dims, shape, strict=True):
            known = told[name] if name in told else range(extent)
            coords[name] = known[:extent] if len(known) >= extent else range(extent)
        return coords

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the frame at an index; where a camera has joined, that of the first one."""
        at = dict(zip(self.dims, index, strict=False))
        with self._outputs.changing:
            view = self._view()
            frame = view[
                tuple(at.get(name, 0) for name in view.dims if name in at or name == CAMERAS)
            ]
        frame = frame[tuple(slice(n) for n in self._planned[self.rank : self.rank + 2])]
        if frame.ndim > len(self.dims) - self.rank:  # grey, beside a camera that sees colours
            frame = frame[..., 0]
        return frame.astype(self.dtype, copy=False)

    def watch(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when a new extent was reached."""
        self._callbacks.append(callback)
        self._listen(callback)

    def summary(self) -> Any:
        """Return path, state and numbers of frames of the output that the run has now."""
        with self._outputs.changing:
            return self._outputs.stream.summary()

    def move(self) -> None:
        """Listen to the output that the run has now."""
        for callback in self._callbacks:
            self._listen(callback)

    def _listen(self, callback: Callable[[], None]) -> None:
        self._outputs.stream.on("coords_expanded", lambda _: callback())

    def _view(self) -> StreamView:
        return self._outputs.stream.view()
