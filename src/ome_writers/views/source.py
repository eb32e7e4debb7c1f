"""`PlaneSource`, what a view reads from; its state, and names and coordinates of its axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import Region
from ome_writers.routing import coordinates
from ome_writers.settings import Dimension

if TYPE_CHECKING:
    import dask.array

    from ome_writers.dataset import DatasetSpec


@dataclass(frozen=True)
class Summary:
    """State of a stream or dataset.

    Attributes
    ----------
    path
        Path of the dataset; empty for memory.
    state
        ``open``, ``failed`` or ``closed`` of a stream; ``writing``, ``complete``, ``cancelled`` or ``failed`` of a
        dataset on disk; empty if unknown.
    frames, expected
        Numbers of frames written and planned; None if unknown or unbounded.
    """

    path: str = ""
    state: str = ""
    frames: int | None = None
    expected: int | None = None

    @classmethod
    def of(cls, spec: DatasetSpec) -> Summary:
        """Return the summary of a dataset on disk."""
        if spec.status is None:
            return cls(str(spec.path))
        # while writing, 0 may mean that the number is not updated yet
        frames = spec.frames_written or (None if spec.status == "writing" else spec.frames_written)
        return cls(str(spec.path), spec.status, frames, spec.frames_expected)

    @property
    def growing(self) -> bool:
        """Whether frames may still be added."""
        return self.state in ("open", "writing")

    @property
    def count(self) -> str:
        """Numbers of frames as text; empty if unknown."""
        if self.frames is None:
            return f"{_frames(self.expected)} planned" if self.expected else ""
        if self.expected:
            return f"{self.frames} of {_frames(self.expected)}"
        return _frames(self.frames)


class PlaneSource(Protocol):
    """The planes of a view, by acquisition index. All methods may be called from any thread.

    Attributes
    ----------
    dims
        Names of all axes in acquisition order; the last are y, x and, for RGB frames, ``s`` (samples).
    names
        Names of the axes before y.
    dtype
        Dtype of the pixels.
    """

    names: tuple[str, ...]

    @property
    def dtype(self) -> np.dtype[np.generic]: ...

    @property
    def dims(self) -> tuple[str, ...]: ...

    def extents(self) -> tuple[tuple[int, ...], tuple[int | None, ...]]:
        """Return the extents of all axes: those reached so far, and those planned, None for unbounded axes."""
        ...

    def dimensions(self) -> Sequence[Dimension]:
        """Return coordinates, scale and unit of the axes, in the order of `dims`; empty if they are not known."""
        ...

    def chunks(self) -> tuple[int, ...]:
        """Return the extents of what is best read at once, along all axes: of a shard or chunk, or one frame."""
        ...

    def plane(
        self, index: tuple[int, ...], region: Region | None = None
    ) -> NDArray[np.generic] | None:
        """Return the frame at an acquisition index; None if it cannot have been written."""
        ...

    def watch(self, callback: Callable[[], None]) -> None:
        """Call `callback`, on any thread, whenever an extent has grown."""
        ...

    def summary(self) -> Summary:
        """Return path, state and numbers of frames."""
        ...


class LabelledArray(Protocol):
    """What `summary` and `labelled_arrays` need of a view; see the attributes and methods of `StreamView`."""

    @property
    def dims(self) -> tuple[str, ...]: ...

    @property
    def dtype(self) -> np.dtype[np.generic]: ...

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def coords(self) -> Mapping[str, Sequence[Any]]: ...

    @property
    def dimensions(self) -> tuple[Dimension, ...]: ...

    @property
    def units(self) -> Mapping[str, str]: ...

    def reached(self) -> tuple[int, ...]: ...

    def summary(self) -> Summary: ...

    def to_dask(self) -> dask.array.Array: ...

    def __getitem__(self, key: Any) -> NDArray[np.generic]: ...


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


def pad_frame(frame: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.generic]:
    """Return a frame padded with zeros to `shape`; grey frames are repeated along an axis of RGB samples."""
    out = np.zeros(shape, frame.dtype)
    part = out[tuple(map(slice, frame.shape[:2]))]
    part[...] = frame if frame.ndim == out.ndim else frame[..., np.newaxis]
    return out


def physical_coords(dimension: Dimension, extent: int) -> Sequence[Any]:
    """Return `coordinates`, and for axes of known scale the physical ones, in their unit."""
    coords = dimension.coords or ()
    if len(coords) >= extent > 0 and all(isinstance(c, (int, float)) for c in coords):
        return list(coords[:extent])
    if dimension.scale is None or coords:
        return coordinates(dimension, extent)
    origin = dimension.translation or 0.0
    return [origin + dimension.scale * i for i in range(extent)]
