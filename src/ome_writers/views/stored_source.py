"""Views of a dataset on disk, closed or still being written, in any format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import UnsupportedError
from ome_writers.routing import Plan, resolve
from ome_writers.settings import Dimension
from ome_writers.views.source import view_names
from ome_writers.views.stacked import StackedSource
from ome_writers.views.stream_source import StreamSource
from ome_writers.views.summary import Summary
from ome_writers.views.zarr_array import TornChunkError

if TYPE_CHECKING:
    from ome_writers.views.source import PlaneSource


class StoredPixels(Protocol):
    """What a format provides of a dataset on disk. All methods may be called from any thread."""

    def spec(self) -> DatasetSpec:
        """Return what the dataset is; status and numbers of frames are those of now."""
        ...

    def array(self, image: int, level: int) -> Any:
        """Return an array of the current `shape` whose items are planes: ``array[t, c, z]`` in storage order."""
        ...

    def extents(self) -> Mapping[str, Any]:
        """Return the extent that the acquisition has reached, of the axes for which the writer records it."""
        ...


def open_stored(pixels: StoredPixels, level: int = 0) -> PlaneSource:
    """Return the images of a dataset at a resolution level, with the axes of `DatasetSpec.dimensions`.

    Raises UnsupportedError if an image does not have this level.
    """
    spec = pixels.spec()
    _check_level(spec, level)
    arrays = [pixels.array(number, level) for number in range(len(spec.images))]
    stored = spec.images[0].levels[level]
    chunks = stored.shards or stored.chunks
    plan = None if spec.settings is None else resolve(spec.settings)
    if plan is not None and all(len(image.levels) >= level for image in plan.images):
        full = [pixels.array(n, 0) for n in range(len(spec.images))] if level else arrays
        stream = _StoredStream(plan, pixels, full, arrays)
        return StreamSource(
            stream, level=level, dimensions=_dimensions_at_level(spec, level), chunks=chunks
        )
    first = spec.images[0]
    dimensions = [d for d in spec.dimensions if d.type != "position"]
    axis = spec.position_axis
    # cameras share an axis with channels
    if sorted(d.name for d in dimensions) != sorted(first.dims):
        raise UnsupportedError(
            f"{spec.path}: level {level} has the axes {', '.join(first.dims)}, which are not those of the "
            f"acquisition. Open level 0."
        )
    return StackedSource(
        arrays,
        axis,
        [first.dims.index(d.name) for d in dimensions],
        (*view_names(spec.dimensions), *("s" if first.samples > 1 else "")),
        dimensions=_dimensions_at_level(spec, level),
        chunks=chunks,
        samples=first.samples > 1,
        summary=lambda: Summary.of(pixels.spec()),
    )


def _check_level(spec: DatasetSpec, level: Any) -> None:
    levels = min((image.levels for image in spec.images), key=len)
    if not isinstance(level, int) or not 0 <= level < len(levels):
        known = ", ".join(
            f"{k} ({' x '.join(map(str, each.shape[-2:]))} pixels)" for k, each in enumerate(levels)
        )
        raise UnsupportedError(
            f"{spec.path} does not have a resolution level {level!r}. Its levels are: {known}."
        )


def _dimensions_at_level(spec: DatasetSpec, level: int) -> list[Dimension]:
    """Return the dimensions with scale and translation of a resolution level."""
    image = spec.images[0]
    stored = image.levels[level]
    found = []
    for dim in spec.dimensions:
        i = image.axis(dim.name)
        if level and i is not None and dim.type != "position":
            update = {"scale": stored.scale[i], "translation": stored.translation[i]}
            dim = dim.model_copy(update=update)
        found.append(dim)
    return found


class _StoredStream:
    """Files that a stream has written or is writing; implements `views.source.Stream`."""

    def __init__(
        self, plan: Plan, pixels: StoredPixels, full: Sequence[Any], arrays: Sequence[Any]
    ) -> None:
        self.plan = plan
        self._pixels = pixels
        self._full = full
        self._arrays = arrays

    def extents(self) -> Mapping[str, int]:
        """Return the stored extent of each acquisition axis; of a dataset being written, the extent reached."""
        shapes = [
            [
                image.frames_along(axis, extent)
                for axis, extent in enumerate(array.shape[: len(image.array.index_shape)])
            ]
            for image, array in zip(self.plan.images, self._full, strict=True)
        ]
        largest = [max(extents) for extents in zip(*shapes, strict=True)]
        router = self.plan.router
        extents = {}
        for name, count, (axis, stride) in zip(
            router.axes, router.counts, router.steps, strict=True
        ):
            stored = count if axis is None else -(-largest[axis] // stride)
            extents[name] = stored or 0 if count is None else min(stored or 0, count)
        for name, extent in self._pixels.extents().items():
            if name in extents and isinstance(extent, int):
                extents[name] = min(extents[name], max(0, extent))
        return extents

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Return True: the files do not record which frames were written."""
        return True

    def read(self, image: int, index: tuple[int, ...], level: int = 0) -> NDArray[np.generic]:
        """Return a frame at the resolution of `arrays`; zeros where the writer has not stored readable chunks yet."""
        plan = self.plan.images[image]
        planes = [self._plane(image, plan.plane(index, s)) for s in range(plan.planes)]
        return planes[0] if plan.planes == 1 else np.stack(planes, axis=-1)

    def on(self, event: Any, callback: Callable[[Any], None]) -> None:
        """Do nothing: changes of files are not watched."""

    def summary(self) -> Summary:
        return Summary.of(self._pixels.spec())

    def _plane(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        array = self._arrays[image]
        shape = array.shape
        if any(i >= n for i, n in zip(index, shape, strict=False)):
            return np.zeros(shape[len(index) :], array.dtype)
        try:
            plane: NDArray[np.generic] = array[index]
        except TornChunkError:
            if self._pixels.spec().status != "writing":
                raise
            # some engines write the index of a shard when the shard is complete
            return np.zeros(shape[len(index) :], array.dtype)
        return plane
