"""What a dataset is: images, their resolution levels and arrays, axes, channels, positions, plate, status.

Settings are resolved to these images (`routing.Plan`), engines receive their arrays, every format parses to this model
(`ome_writers.read`), and a running stream describes its output with it. It contains no pixels and holds no file open.
"""

# Longer than 300 lines: one model; half of the file is its documentation.
from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from ome_writers.settings import AcquisitionSettings, Channel, Dimension, Plate, Position, Pyramid

__all__ = [
    "Addressing",
    "ArraySpec",
    "AxisSpec",
    "DatasetSpec",
    "ImageSpec",
    "LevelSpec",
    "Reduction",
    "Region",
]

AxisType = Literal["space", "time", "channel", "other"]
DatasetLayout = Literal["image", "collection", "plate"]
Region: TypeAlias = tuple[slice, slice]
"""Rows and columns that are needed of a frame, without steps: the other pixels of the frame may be zeros."""
Spec = TypeVar("Spec", "LevelSpec", "ImageSpec", "Addressing")


@dataclass(frozen=True)
class AxisSpec:
    """One axis of an image, in storage order.

    Attributes
    ----------
    name
        ``t``, ``c``, ``z``, ``y``, ``x`` or another name.
    type
        ``"space"``, ``"time"``, ``"channel"`` or ``"other"``.
    unit
        NGFF name of the unit of `LevelSpec.scale`, in every format; None if the scale is unknown.
    """

    name: str
    type: AxisType
    unit: str | None = None


@dataclass(frozen=True)
class Reduction:
    """How a resolution level follows from full resolution.

    Attributes
    ----------
    factors
        Distance of its samples along each axis, in samples of full resolution.
    offsets
        Coordinate of its first sample along each axis, in samples of full resolution.
    pyramid
        How it is computed.
    """

    factors: tuple[int, ...]
    offsets: tuple[float, ...]
    pyramid: Pyramid

    @property
    def pairs_planes(self) -> bool:
        """Whether the level has fewer planes than full resolution."""
        return any(factor > 1 for factor in self.factors[:-2])

    def shape(self, full: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the level, if full resolution has the shape `full`."""
        return tuple(-(-n // f) for n, f in zip(full, self.factors, strict=True))

    def scale(self, full: Sequence[float]) -> list[float]:
        """Return the distance of its samples, if that of full resolution is `full`."""
        return [s * f for s, f in zip(full, self.factors, strict=True)]

    def translation(self, full: Sequence[float], scale: Sequence[float]) -> list[float]:
        """Return the coordinate of its first sample, from translation and scale of full resolution."""
        return [t + s * o for t, s, o in zip(full, scale, self.offsets, strict=True)]


@dataclass(frozen=True)
class LevelSpec:
    """One resolution level of an image: an array and its position in the image's coordinate system.

    Attributes
    ----------
    key
        Path of the array below the dataset's root (OME-Zarr), or the file that contains its planes (OME-TIFF), with
        ``/`` between its parts. It never points outside the root. In a plan, it is empty until the format has assigned
        it. Arrays with the same key are the series of one file, in order, and their levels.
    shape
        Extent along each axis of the image, in samples; RGB samples that are stored interleaved are not an axis. In a
        plan, an unbounded axis has extent 1.
    dtype
        numpy's name of the sample type. Samples are little-endian.
    chunks
        Shape of a chunk; of a plane in an OME-TIFF.
    shards
        Shape of a shard, a multiple of `chunks`; None without sharding.
    compression
        As in `AcquisitionSettings.compression`; the codec's own name if settings have no word for it.
    checksum
        Whether the CRC-32C of each stored chunk follows it.
    scale
        Distance between neighbours along each axis, in the axis' unit; None where it is unknown.
    translation
        Coordinate of the first sample along each axis, without the stage position (see `ImageSpec.position`).
    dimensions
        The axes in storage order, with the extents that full resolution is planned to have; y and x are the last two.
    samples
        Samples per pixel that are stored interleaved: 3 for RGB in an OME-TIFF, otherwise 1.
    growing
        Number of the unbounded axis while the array is written; None if there is none.
    order
        The axes before y and x, slowest first, if planes arrive in the order of nested loops over them while the array
        is written; otherwise None.
    reduction
        How a smaller level is computed while it is written; None for full resolution, and where it is not known.
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    compression: str = "none"
    checksum: bool = False
    scale: tuple[float | None, ...] = ()
    translation: tuple[float, ...] = ()
    dimensions: tuple[Dimension, ...] = ()
    samples: int = 1
    growing: int | None = field(default=None, compare=False)
    order: tuple[int, ...] | None = field(default=None, compare=False)
    reduction: Reduction | None = field(default=None, compare=False)

    @cached_property
    def numpy_dtype(self) -> np.dtype[np.generic]:
        """The little-endian dtype of a sample."""
        dtype: np.dtype[np.generic] = np.dtype(self.dtype).newbyteorder("<")
        return dtype

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(dim.name for dim in self.dimensions)

    @property
    def frame_shape(self) -> tuple[int, int]:
        """(y, x) in pixels."""
        return self.shape[-2], self.shape[-1]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one stored plane."""
        return math.prod(self.frame_shape) * self.samples * self.numpy_dtype.itemsize

    @property
    def index_shape(self) -> tuple[int, ...]:
        """`shape` without y and x."""
        return self.shape[:-2]

    @property
    def storage(self) -> tuple[object, ...]:
        """What the stored bytes depend on: equal for the arrays of images that differ in names only."""
        chunks = (self.chunks, self.shards, self.compression, self.checksum)
        return (self.shape, self.growing, self.dtype, self.samples, *chunks)


@dataclass(frozen=True)
class Addressing:
    """How the frames of an acquisition become the planes of an image.

    Attributes
    ----------
    number
        Number of the image in the dataset.
    first_array
        Number of its array of full resolution among the arrays of the dataset; those of smaller levels follow.
    planes
        Number of consecutive planes per frame along `plane_axis`: 3 for RGB in OME-Zarr, where samples become channels,
        otherwise 1.
    plane_axis
        The storage axis of the planes of a frame; None if a frame is one plane.
    slow_axis
        The storage axis that acquisition advances slowest; incomplete acquisitions are trimmed along it. None if the
        image is a single plane.
    """

    number: int = 0
    first_array: int = 0
    planes: int = 1
    plane_axis: int | None = None
    slow_axis: int | None = None

    def plane(self, index: tuple[int, ...], sample: int = 0) -> tuple[int, ...]:
        """Return the storage index of a plane of the frame at `index`."""
        axis = self.plane_axis
        if axis is None:
            return index
        return (*index[:axis], index[axis] * self.planes + sample, *index[axis + 1 :])

    def frames_along(self, axis: int, extent: int) -> int:
        """Return the number of frames in the first `extent` planes along a storage axis."""
        return -(-extent // self.planes) if axis == self.plane_axis else extent

    def planes_along(self, axis: int, frames: int) -> int:
        """Return the number of planes of `frames` frames along a storage axis."""
        return frames * self.planes if axis == self.plane_axis else frames


@dataclass(frozen=True)
class ImageSpec:
    """One image: an NGFF multiscale, or an Image element of OME-XML.

    Attributes
    ----------
    key
        Path of the group below the dataset's root, ``""`` for the root itself; in an OME-TIFF the file of its
        first plane.
    name
        Its name in the metadata; in a plan ``""`` for a single image without a position.
    levels
        Full resolution first; at least one.
    channels
        Name, color, display window and optical properties of each channel.
    position
        Stage position in micrometer, name, and well; None if unknown.
    camera
        The camera, where each camera has images of its own.
    index_axes
        Names of the axes of ``storage_index`` in `read_frame_metadata`. None for an axis of extent 1 that the image
        does not have: OME-XML indexes planes along T, C and Z, always.
    addressing
        How frames become its planes while it is written.
    """

    key: str
    name: str
    levels: tuple[LevelSpec, ...]
    channels: tuple[Channel, ...] = ()
    position: Position | None = None
    camera: str = ""
    index_axes: tuple[str | None, ...] = ()
    addressing: Addressing = field(default_factory=Addressing, compare=False)

    @property
    def number(self) -> int:
        """Number of the image in a plan."""
        return self.addressing.number

    @property
    def array(self) -> LevelSpec:
        """The array of full resolution."""
        return self.levels[0]

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """The axes in storage order; y and x are the last two."""
        return self.levels[0].dimensions

    @property
    def axes(self) -> tuple[AxisSpec, ...]:
        """Name, type and unit of the axes, in storage order; y and x are the last two."""
        full = self.levels[0]
        return tuple(
            AxisSpec(
                dim.name,
                dim.type if dim.type in ("space", "time", "channel") else "other",
                None if scale is None else dim.unit,
            )
            for dim, scale in zip(full.dimensions, full.scale, strict=True)
        )

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(dim.name for dim in self.levels[0].dimensions)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape at full resolution."""
        return self.levels[0].shape

    @property
    def samples(self) -> int:
        """Samples per pixel that are stored interleaved: 3 for RGB in an OME-TIFF."""
        return self.levels[0].samples

    @property
    def reductions(self) -> tuple[Reduction, ...]:
        """How each smaller level is computed, largest first."""
        return tuple(level.reduction for level in self.levels if level.reduction is not None)

    @cached_property
    def frame_shape(self) -> tuple[int, ...]:
        """The shape of an appended frame: (y, x), or (y, x, samples)."""
        full = self.levels[0]
        samples = full.samples * self.addressing.planes
        return full.shape[-2:] if samples == 1 else (*full.shape[-2:], samples)

    def axis(self, name: str) -> int | None:
        """Return the number of an axis, None if there is no axis of this name."""
        return self.dims.index(name) if name in self.dims else None

    def level_shapes(self, full: tuple[int, ...]) -> list[tuple[int, ...]]:
        """Return the shapes of all levels, if full resolution has the shape `full`."""
        return [full, *(reduction.shape(full) for reduction in self.reductions)]


@dataclass(frozen=True)
class ArraySpec:
    """One array of a dataset, with all that a reader in another process needs to find it.

    Attributes
    ----------
    path
        Absolute path of the array's directory (OME-Zarr) or file (OME-TIFF).
    image, level
        Number of the image in the dataset, and of the resolution level in the image.
    dims, shape, chunks, shards, dtype
        See `ImageSpec` and `LevelSpec`.
    """

    path: Path
    image: int
    level: int
    dims: tuple[str, ...]
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None
    dtype: str

    @property
    def uri(self) -> str:
        """`path` as a ``file://`` URI."""
        return self.path.as_uri()


@dataclass(frozen=True, repr=False)
class DatasetSpec:
    """A dataset of one or more images.

    Attributes
    ----------
    path
        The dataset's directory, or its first file.
    format, version
        ``"ome-zarr"`` and ``"0.5"``, ``"ome-tiff"`` and ``"2016-06"``, ...
    layout
        ``"image"``, ``"collection"`` (several positions) or ``"plate"``.
    images
        In the dataset's own order.
    dimensions
        Axes of the whole acquisition in the order of acquisition, that of the positions included; as long as in
        the longest image. y and x are the last two.
    plate
        Rows, columns and name of the plate; the images' positions name their wells.
    status
        ``"writing"``, ``"complete"``, ``"cancelled"`` or ``"failed"``; None if the writer recorded none.
    frames_written, frames_expected
        Numbers of frames, None if unknown. While the status is "writing", as of the last flush.
    frames_in_order
        While the status is "writing": the number of frames, in order of acquisition, before the first one that is not
        on disk. None if it is not recorded: after `close`, and in OME-TIFF.
    started, updated
        Time at which the acquisition began (without `AcquisitionSettings.acquisition_date`, when the dataset was
        created), and of the last flush, in ISO 8601; None if unknown.
    written_by
        Program and version, None if unknown.
    settings
        The settings that ome-writers wrote it with; None if another program wrote it.
    metadata
        Metadata of the whole acquisition, by namespace.
    description
        What the dataset is, from `ome_writers.edit`, `Experiment.description` or, in an OME-TIFF of another program,
        its first image; None if unknown.
    """

    path: Path
    format: str
    version: str
    layout: DatasetLayout
    images: tuple[ImageSpec, ...]
    dimensions: tuple[Dimension, ...]
    plate: Plate | None = None
    status: str | None = None
    frames_written: int | None = None
    frames_expected: int | None = None
    frames_in_order: int | None = None
    started: str | None = None
    updated: str | None = None
    written_by: str | None = None
    settings: AcquisitionSettings | None = None
    metadata: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    description: str | None = None

    @property
    def root(self) -> Path:
        """The directory, or the ``.ozx`` file, that the images' keys are relative to."""
        from ome_writers.untrusted import locate

        return locate(self.path).folder

    @property
    def position_axis(self) -> int | None:
        """Number of the dimension of positions; None for one image without a position."""
        return next((i for i, d in enumerate(self.dimensions) if d.type == "position"), None)

    def __repr__(self) -> str:
        status = "".join(f"{part}, " for part in (self.status, self._frames) if part)
        axes = ", ".join(f"{dim.name}: {dim.count}" for dim in self.dimensions)
        kind, dtype = f"{self.format} {self.version} {self.layout}", self.images[0].levels[0].dtype
        return f"<DatasetSpec {str(self.path)!r} {kind}, {status}({axes}) {dtype}>"

    def _repr_html_(self) -> str:
        from ome_writers.settings import describe_axes, describe_names, html_table

        return html_table(
            "DatasetSpec",
            {
                "path": str(self.path),
                "format": f"{self.format} {self.version}, {self.layout}",
                "status": self.status or "",
                "frames": self._frames,
                "axes": describe_axes(self.dimensions),
                "dtype": self.images[0].levels[0].dtype,
                "images": describe_names(image.name for image in self.images),
                "channels": describe_names(c.name for c in self.images[0].channels),
                "written by": self.written_by or "",
            },
        )

    @property
    def _frames(self) -> str:
        count, total = self.frames_written, self.frames_expected
        return "" if count is None else f"{count} of {total} frames" if total else f"{count} frames"

    def arrays(self) -> Iterator[ArraySpec]:
        """Yield every array, image by image, full resolution first."""
        for number, image in enumerate(self.images):
            for level, array in enumerate(image.levels):
                yield ArraySpec(
                    path=(self.root / array.key).absolute(),
                    image=number,
                    level=level,
                    dims=image.dims,
                    shape=array.shape,
                    chunks=array.chunks,
                    shards=array.shards,
                    dtype=array.dtype,
                )


def copy_with(spec: Spec, **values: Any) -> Spec:
    """Return a copy of an image or a part of it with other values, which no `cached_property` may depend on.

    It takes a tenth of the time of `dataclasses.replace`: there may be a million images.
    """
    copy = object.__new__(spec.__class__)
    object.__setattr__(copy, "__dict__", spec.__dict__ | values)
    return copy
