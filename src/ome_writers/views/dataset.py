"""Open a dataset on disk, closed or still being written, in any format and by any program."""

# Longer than 300 lines: one class, and the two functions that return it.
from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec, Region
from ome_writers.errors import InvalidFileError, TornChunkError, UnsupportedError
from ome_writers.formats import OpenPixels, detect_format, resolve_entry_file
from ome_writers.routing import Plan, Router, Step, resolve
from ome_writers.settings import Dimension
from ome_writers.untrusted import check_memory, guard_reader, locate, path_or_url
from ome_writers.views.source import Summary
from ome_writers.views.stream_source import FrameGrid, StreamSource, view_names
from ome_writers.views.streamview import StreamView


class OpenDataset:
    """A dataset on disk whose frames can be read, also while it is being written; implements `FrameReader`.

    Attributes
    ----------
    spec
        What it contained when it was opened.
    router
        Maps an acquisition index, along `DatasetSpec.dimensions` without y and x, to an address.
    plan
        The plan that it was written from; None if another program wrote it.
    """

    def __init__(self, pixels: OpenPixels, spec: DatasetSpec | None = None) -> None:
        self.spec = spec = spec or pixels.spec()
        self.plan: Plan | None = getattr(pixels, "plan", None)
        if self.plan is None or self.plan.settings is not spec.settings:
            self.plan = None if spec.settings is None else resolve(spec.settings)
        self.router = stored_router(spec) if self.plan is None else self.plan.router
        self._pixels = pixels
        self._reopen: Callable[[int], partial[StreamView]] | None = None
        self._arrays: dict[tuple[int, int], Any] = {}  # those that were read, by image and level
        # of a closed dataset by level: status, time of the last flush, extents
        self._closed_extents: dict[int, tuple[tuple[str | None, str | None], dict[str, int]]] = {}
        # by planned level and storage axis: how many indices at full resolution are one at the level
        levels = () if self.plan is None else self.plan.images[0].levels
        reductions = (level.reduction for level in levels if level.reduction is not None)
        self._factors = {number: each.factors for number, each in enumerate(reductions, 1)}
        # by image: number of planes of a frame, and their storage axis (see `Addressing`)
        self._planes: list[tuple[int, int | None]] = (
            [(1, None)] * len(spec.images)
            if self.plan is None
            else [(i.addressing.planes, i.addressing.plane_axis) for i in self.plan.images]
        )

    @classmethod
    def open(cls, path: str | PathLike[str], remember: int = 0) -> OpenDataset:
        """Return the dataset at a path; see `open_dataset`."""
        path = resolve_entry_file(path_or_url(path))
        with guard_reader(path):
            dataset = cls(detect_format(path).open_pixels(path, remember))
        dataset._reopen = partial(partial, _reopen, str(path.absolute()), remember)
        return dataset

    def described_by(self, spec: DatasetSpec) -> OpenDataset:
        """Return the same pixels, described in other words."""
        with guard_reader(spec.path):
            return OpenDataset(self._pixels, spec)

    def frame_shape(self, image: int) -> tuple[int, ...]:
        """Return the shape of the frames of an image: (y, x), or (y, x, samples)."""
        spec = self.spec.images[image]
        samples = spec.samples * self._planes[image][0]
        return (*spec.shape[-2:], samples) if samples > 1 else spec.shape[-2:]

    def current_spec(self) -> DatasetSpec:
        """Return what it contains now."""
        return self._pixels.spec()

    def view(self, level: int = 0) -> StreamView:
        """Return the images as one array.

        Raises UnsupportedError if an image does not have this level.
        """
        with guard_reader(self.spec.path):
            source = StreamSource(self, level=level, grid=self._grid(level))
        return StreamView.over(source, reopen=self._reopen and self._reopen(level))

    def extents(self, level: int = 0) -> Mapping[str, int]:
        """Return the stored extent of each acquisition axis; of a dataset being written, the extent reached."""
        now = self.spec if self.spec.status is None else self._pixels.spec()
        state = now.status, now.updated
        closed = self._closed_extents.get(level)
        if closed is not None and closed[0] == state:
            return closed[1]
        images, router, largest = self.spec.images, self.router, [0] * self.router.rank
        if state[0] in (None, "writing") or state != (self.spec.status, self.spec.updated):
            for number in {*range(len(images))} - {n for n, at in self._arrays if at == level}:
                self._open(number, level)
            shapes = [self._arrays[n, level].shape for n in range(len(images))]
        else:  # as they were when the dataset was opened
            shapes = [image.levels[level].shape for image in images]
        for shape, (planes, plane_axis) in zip(shapes, self._planes, strict=True):
            for i, stored in enumerate(shape[: router.rank]):
                largest[i] = max(largest[i], -(-stored // planes) if i == plane_axis else stored)
        recorded, factors = self._pixels.extents(), self._factors.get(level)
        extents: dict[str, int] = {}
        for name, count, (axis, stride) in zip(
            router.axes, router.counts, router.steps, strict=True
        ):
            extent = count or 0 if axis is None else -(-largest[axis] // stride)
            factor = 1 if axis is None or factors is None else factors[axis]
            # other programs may extend their arrays
            for limit in (None if self.plan is None else count, recorded.get(name)):
                if isinstance(limit, int):
                    extent = min(extent, max(0, -(-limit // factor)))
            extents[name] = extent
        if now.status not in (None, "writing"):
            self._closed_extents[level] = state, extents
        return extents

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Return True: the files do not record which frames were written."""
        return True

    def read(
        self,
        image: int,
        index: tuple[int, ...],
        level: int = 0,
        region: Region | None = None,
        *,
        strict: bool = False,
    ) -> NDArray[np.generic]:
        """Return the frame at a storage index; zeros where the writer has not stored readable chunks yet.

        Outside of `region`, pixels may be zeros. With `strict`, TornChunkError instead of zeros for a chunk that cannot
        be read, or is outside of the array.
        """
        known = (image, level) in self._arrays
        array = self._arrays[image, level] if known else self._open(image, level)
        planes, axis = self._planes[image]
        indices = [index] if axis is None else _samples(index, axis, planes)
        shape, frames = array.shape, []
        for plane in indices:
            try:
                inside = all(map(operator.lt, plane, shape))
                if strict and not inside:
                    raise TornChunkError(f"{self.spec.path}: plane {plane} is outside of {shape}.")
                if inside and hasattr(array, "read_region"):
                    frames.append(array.read_region(plane, region))
                    continue
                frames.append(np.asarray(array[plane]) if inside else _zeros(array, shape, plane))
            except TornChunkError:
                if strict or self._pixels.spec().status != "writing":
                    raise
                # some engines write the index of a shard when the shard is complete
                frames.append(_zeros(array, shape, plane))
        return frames[0] if axis is None else np.stack(frames, axis=-1)

    def read_recorded(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic] | None:
        """Return a frame that its running writer has recorded as stored; None if it has to be read by `read`.

        The metadata are not read again if those read before have the frame.
        """
        array: Any = self._arrays.get((image, 0))
        if not hasattr(array, "read_recorded"):
            return None
        try:
            frame: NDArray[np.generic] | None = array.read_recorded(index)
        except (OSError, InvalidFileError):  # the writer has rewritten the metadata meanwhile
            return None
        return frame

    def is_stored(
        self, image: int, index: tuple[int, ...], known: dict[Any, Any] | None = None
    ) -> bool:
        """Return whether the frame at a storage index is on disk; a part of a chunk counts as the whole.

        `known` keeps what was read of the files, for other frames of the same moment.
        """
        array = self._arrays.get((image, 0)) or self._open(image, 0)
        planes, axis = self._planes[image]
        plane = index if axis is None else _samples(index, axis, planes)[0]
        if not all(map(operator.lt, plane, array.shape)):
            return False
        if not hasattr(array, "has_plane"):  # of another library, or in memory
            return True
        return bool(array.has_plane(plane, {} if known is None else known))

    def on(self, event: Any, callback: Callable[[Any], None]) -> None:
        """Do nothing: changes of files are not watched."""

    def summary(self) -> Summary:
        return Summary.of(self._pixels.spec())

    def _open(self, image: int, level: int) -> Any:
        return self._arrays.setdefault((image, level), self._pixels.array(image, level))

    def _grid(self, level: Any) -> FrameGrid:
        images, spec = self.spec.images, self.spec
        levels = min((image.levels for image in images), key=len)
        if not isinstance(level, int) or not 0 <= level < len(levels):
            sizes = (" x ".join(map(str, each.shape[-2:])) for each in levels)
            known = ", ".join(f"{k} ({size} pixels)" for k, size in enumerate(sizes))
            raise UnsupportedError(
                f"{spec.path} does not have a resolution level {level!r}. Its levels are: {known}."
            )
        # one image of each kind, to raise for what is not supported; the others are opened when they are read
        kinds = {
            (stored.dtype, stored.chunks, stored.shards, stored.compression): number
            for number, image in reversed([*enumerate(images)])
            for stored in [image.levels[level]]
        }
        arrays = [self._open(number, level) for number in kinds.values()]
        shapes = {
            (*image.levels[level].shape[-2:], image.levels[level].samples * planes)
            for image, (planes, _) in zip(images, self._planes, strict=True)
        }
        height, width, samples = (max(extents) for extents in zip(*shapes, strict=True))
        stored = images[0].levels[level]
        chunks = list(stored.shards or stored.chunks)
        planes, axis = self._planes[0]
        if axis is not None:
            chunks[axis] = -(-chunks[axis] // planes)
        dtype = np.result_type(*{array.dtype for array in arrays})
        check_memory((height, width, samples, dtype.itemsize), f"{spec.path}: a frame")
        return FrameGrid(
            plan=self.plan,
            router=self.router,
            dimensions=_dimensions_at_level(spec, level) if level else spec.dimensions,
            frame_shape=(height, width, samples) if samples > 1 else (height, width),
            dtype=dtype,
            chunks=tuple(chunks),
        )


def _samples(index: tuple[int, ...], axis: int, planes: int) -> list[tuple[int, ...]]:
    """Return the indices of the planes of a frame along a storage axis."""
    first = index[axis] * planes
    return [(*index[:axis], first + n, *index[axis + 1 :]) for n in range(planes)]


def _zeros(array: Any, shape: tuple[int, ...], index: tuple[int, ...]) -> NDArray[np.generic]:
    return np.zeros(shape[len(index) :], array.dtype)


def stored_router(spec: DatasetSpec) -> Router:
    """Return the router of another program's dataset: its dimensions are image number and axes of the arrays."""
    axes, dimensions = spec.images[0].dims, spec.dimensions[:-2]
    names = [dim.name for dim in spec.dimensions if dim.type != "position"]
    if sorted(names) != sorted(axes) or len(set(names)) < len(names):
        raise InvalidFileError(
            f"{spec.path}: the axes of its images must be distinct and those of the dataset, got {', '.join(axes)}."
        )
    return Router(
        axes=view_names(dimensions),
        counts=tuple(dim.count for dim in dimensions),
        steps=tuple(
            Step(None if dim.type == "position" else axes.index(dim.name), 1) for dim in dimensions
        ),
        rank=len(axes) - 2,
    )


def _dimensions_at_level(spec: DatasetSpec, level: int) -> tuple[Dimension, ...]:
    """Return the dimensions with scale and translation of a resolution level."""
    image = spec.images[0]
    stored = image.levels[level]
    found = []
    for dim in spec.dimensions:
        i = image.axis(dim.name)
        if i is not None and dim.type != "position":
            update = {"scale": stored.scale[i], "translation": stored.translation[i]}
            dim = dim.model_copy(update=update)
        found.append(dim)
    return tuple(found)


def open_dataset(path: str | PathLike[str], *, remember: int = 0, level: int = 0) -> StreamView:
    """Open an OME-Zarr, an OME-TIFF file, or a folder with a set of OME-TIFF files as a read-only view.

    The dataset may still be written, by this process or another: each access reads the current shape and pixels.

    Parameters
    ----------
    path
        Folder of an OME-Zarr 0.4 to 0.6 or its URL (``s3://``, ``gs://``, ``az://``, ``https://``), an OME-TIFF file,
        or the folder of a set; also the other formats that `read` supports.
    remember
        Size in bytes of a cache of decoded chunks, for an OME-Zarr whose chunks contain several planes. Only for a
        dataset that is not being written: cached chunks are not read again.
    level
        Resolution level, 0 for full resolution; `read` lists the levels of each image.

    Returns
    -------
    StreamView
        Its axes are those of `DatasetSpec.dimensions`: of a dataset of this library in acquisition order, otherwise as
        stored, with several images stacked along a first axis ``p``. It can be pickled: as the path and these options.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    UnsupportedError
        If it is not a supported dataset, does not have this level, or no installed reader supports it.
    """
    return OpenDataset.open(path, remember).view(level)


def _reopen(path: str, remember: int, level: int) -> StreamView:
    """Open a dataset that was pickled as its path. The tasks of one process share the view."""
    stat = locate(path_or_url(path)).stat()
    return _opened(path, remember, level, (stat.st_dev, stat.st_ino, stat.st_mtime_ns))


@lru_cache(maxsize=4)
def _opened(path: str, remember: int, level: int, _version: tuple[int, ...]) -> StreamView:
    return open_dataset(path, remember=remember, level=level)


# The public name, as in h5py, tifffile and zarr; the builtin is not used here.
open = open_dataset  # noqa: A001 # see above
