"""View source that follows a run to a new stream, which replaces the first one when another camera joins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ome_writers_pymmcore.cameras import CAMERA_AXIS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from ome_writers import StreamView
    from ome_writers_pymmcore.run_output import RunOutput

__all__ = ["RebindableViewSource"]


class RebindableViewSource:
    """Source for `StreamView.over` that reads the current stream of a `RunOutput`.

    The axes are fixed when the source is created. After another camera has joined, the view continues to show the
    first camera, from the new stream.
    """

    def __init__(self, output: RunOutput) -> None:
        stream = output.stream
        view = stream.view(dynamic_shape=False)
        self._output = output
        self._callbacks: list[Callable[[], None]] = []
        counts = [d.count for d in stream.settings.dimensions[:-2]]
        self.rank = len(counts)
        self.dims: tuple[str, ...] = view.dims
        self.dtype: np.dtype[np.generic] = view.dtype
        self._planned = (*counts, *view.shape[self.rank :])
        output.view_sources.add(self)

    def planned(self) -> tuple[int | None, ...]:
        """Return the planned extents, None for an unbounded axis."""
        return self._planned

    def reached(self) -> tuple[int, ...]:
        """Return the extents written so far."""
        with self._output.replace_lock:
            view = self._view()
            extents = dict(zip(view.dims, view.shape, strict=True))
        return tuple(extents[name] for name in self.dims[: self.rank])

    def dimensions(self) -> Sequence[Any]:
        """Return scale, unit and names of the axes."""
        with self._output.replace_lock:
            view = self._view()
            current = dict(zip(view.dims, view.dimensions, strict=False))
        return [current[name] for name in self.dims if name in current]

    def chunks(self) -> tuple[int, ...]:
        """Return the extents of one frame."""
        return (*[1] * self.rank, *(n or 1 for n in self._planned[self.rank :]))

    def plane(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the frame at an index, of the first camera if several deliver frames."""
        by_axis = dict(zip(self.dims, index, strict=False))
        with self._output.replace_lock:
            view = self._view()
            frame = view[
                tuple(
                    by_axis.get(name, 0)
                    for name in view.dims
                    if name in by_axis or name == CAMERA_AXIS
                )
            ]
        frame = frame[tuple(slice(n) for n in self._planned[self.rank : self.rank + 2])]
        if frame.ndim > len(self.dims) - self.rank:
            frame = frame[..., 0]  # a grayscale camera next to an RGB camera
        return frame.astype(self.dtype, copy=False)

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback` whenever an extent grows."""
        self._callbacks.append(callback)
        self._connect(callback)

    def summary(self) -> Any:
        """Return path, state and frame counts of the current stream."""
        with self._output.replace_lock:
            return self._output.stream.summary()

    def rebind(self) -> None:
        """Connect the callbacks to the current stream."""
        for callback in self._callbacks:
            self._connect(callback)

    def _connect(self, callback: Callable[[], None]) -> None:
        self._output.stream.on("coords_expanded", lambda _: callback())

    def _view(self) -> StreamView:
        return self._output.stream.view()
