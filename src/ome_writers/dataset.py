"""What a dataset on disk is: images, their resolution levels and arrays, axes, channels, positions, plate, status.

Every format parses to this model (`ome_writers.read`), and a running stream describes its output with it
(`OMEStream.dataset`). It contains no pixels and holds no file open.
"""

# Longer than 300 lines: one model; half of the file is its documentation.
from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ome_writers.settings import (
    AcquisitionSettings,
    Channel,
    Dimension,
    Plate,
    Position,
)
from ome_writers.untrusted import is_archive

__all__ = ["ArraySpec", "AxisSpec", "DatasetSpec", "ImageSpec", "LevelSpec"]

AxisType = Literal["space", "time", "channel", "other"]
DatasetLayout = Literal["image", "collection", "plate"]


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
class LevelSpec:
    """One resolution level of an image: an array and its position in the image's coordinate system.

    Attributes
    ----------
    key
        Path of the array below the dataset's root (OME-Zarr), or the file that contains its planes (OME-TIFF).
    shape
        Extent along each axis of the image, in samples; RGB samples that are stored interleaved are not an axis.
    dtype
        numpy's name of the sample type.
    chunks
        Shape of a chunk; of a plane in an OME-TIFF.
    shards
        Shape of a shard, None without sharding.
    compression
        As in `AcquisitionSettings.compression`; the codec's own name if settings have no word for it.
    scale
        Distance between neighbours along each axis, in the axis' unit; None where it is unknown.
    translation
        Coordinate of the first sample along each axis, without the stage position (see `ImageSpec.position`).
    """

    key: str
    shape: tuple[int, ...]
    dtype: str
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None = None
    compression: str = "none"
    scale: tuple[float | None, ...] = ()
    translation: tuple[float, ...] = ()


@dataclass(frozen=True)
class ImageSpec:
    """One image: an NGFF multiscale, or an Image element of OME-XML.

    Attributes
    ----------
    key
        Path of the group below the dataset's root, ``""`` for the root itself; in an OME-TIFF the file of its
        first plane.
    name
        Its name in the metadata.
    axes
        In storage order; y and x are the last two.
    levels
        Full resolution first; at least one.
    channels
        Name, color, display window and optical properties of each channel.
    position
        Stage position in micrometer, name, and well; None if unknown.
    camera
        The camera, where each camera has images of its own.
    samples
        Samples per pixel that are stored interleaved: 3 for RGB in an OME-TIFF.
    index_axes
        Names of the axes of ``storage_index`` in `read_frame_metadata`. None for an axis of extent 1 that the image
        does not have: OME-XML indexes planes along T, C and Z, always.
    """

    key: str
    name: str
    axes: tuple[AxisSpec, ...]
    levels: tuple[LevelSpec, ...]
    channels: tuple[Channel, ...] = ()
    position: Position | None = None
    camera: str = ""
    samples: int = 1
    index_axes: tuple[str | None, ...] = ()

    @property
    def dims(self) -> tuple[str, ...]:
        """Names of the axes."""
        return tuple(axis.name for axis in self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape at full resolution."""
        return self.levels[0].shape

    def axis(self, name: str) -> int | None:
        """Return the number of an axis, None if there is no axis of this name."""
        return self.dims.index(name) if name in self.dims else None


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

    @property
    def root(self) -> Path:
        """The directory, or the ``.ozx`` file, that the images' keys are relative to."""
        return self.path if self.path.is_dir() or is_archive(self.path) else self.path.parent

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


def axis_type(dim: Dimension) -> AxisType:
    """Return the type of a dimension as an axis of an image."""
    return dim.type if dim.type in ("space", "time", "channel") else "other"


def image_of_planes(
    key: str,
    name: str,
    dimensions: Sequence[Dimension],
    dtype: str,
    *,
    samples: int = 1,
    channels: Sequence[Channel] | None = None,
    position: Position | None = None,
) -> ImageSpec:
    """Return an image whose planes are stored uncompressed, one by one; y and x are the last of `dimensions`.

    `channels` are by default those of the channel axis.
    """
    shape = tuple(dim.count or 1 for dim in dimensions)
    level = LevelSpec(
        key=key,
        shape=shape,
        dtype=dtype,
        chunks=(*[1] * (len(shape) - 2), *shape[-2:]),
        scale=tuple(dim.scale for dim in dimensions),
        translation=(0.0,) * len(shape),
    )
    if channels is None:
        coords = [coord for dim in dimensions for coord in dim.coords or ()]
        channels = [coord for coord in coords if isinstance(coord, Channel)]
    return ImageSpec(
        key=key,
        name=name,
        axes=tuple(
            AxisSpec(dim.name, axis_type(dim), dim.unit if dim.scale else None)
            for dim in dimensions
        ),
        levels=(level,),
        channels=tuple(channels),
        position=position,
        samples=samples,
        index_axes=tuple(dim.name for dim in dimensions[:-2]),
    )
