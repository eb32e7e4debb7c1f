"""Resolve settings to a `Plan`."""
# Longer than 300 lines: the steps of one function.

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np

from ome_writers.dataset import Addressing, ImageSpec, LevelSpec, copy_with
from ome_writers.errors import UnsupportedError
from ome_writers.routing.cameras import (
    FrameKind,
    camera_axis,
    frame_kinds,
    is_camera_axis,
    label_of,
    with_cameras,
)
from ome_writers.routing.levels import plan_levels
from ome_writers.routing.plan import MANY_IMAGES, Plan, paused_collection
from ome_writers.routing.router import Router, Step
from ome_writers.settings import AcquisitionSettings, Channel, Dimension, Position, storage_order_of
from ome_writers.untrusted import MAX_IMAGES


def resolve(settings: AcquisitionSettings) -> Plan:
    """Resolve complete settings to a plan.

    Axes that an image cannot have in addition to t, c, z, y and x are mapped here. Cameras (an axis named ``cam``)
    are folded into the channel axis, or become separate images if their frames differ. The indices of any other surplus
    axis become images of the collection. RGB samples become channels in OME-Zarr, and samples in OME-TIFF.

    Raises UnsupportedError if an unbounded axis cannot be stored as an axis, a limit is exceeded, or the resolution
    levels cannot be computed.
    """
    acquired = settings.dimensions[:-2]
    kinds = frame_kinds(settings)
    cameras = camera_axis(settings)
    camera_images = cameras if cameras and not all(k.fits(kinds[0]) for k in kinds) else None
    kinds = kinds if camera_images is not None else kinds[:1]
    is_zarr = settings.format.samples_as_channels
    planes = [3 if is_zarr and kind.rgb else 1 for kind in kinds]
    folded, collected = _surplus(acquired, camera_images, rgb=max(planes) > 1)
    axes = [d for d in acquired if d.type != "position"]
    ordered = storage_order_of(axes, settings.storage_order, settings.format.axis_order)
    stored = [d for d in ordered if d not in (*folded, *collected)]
    refuse_many_channels((*stored, *folded), max(planes))
    channel = next((d for d in stored if d.type == "channel"), None)
    if channel is None and (folded or max(planes) > 1):
        channel = _insert_channel_axis(stored, settings.dimensions[-2:])
    router = Router(
        axes=tuple(d.name for d in acquired),
        counts=tuple(d.count for d in acquired),
        steps=tuple(_steps(acquired, [d.name for d in stored], folded, collected, channel)),
        rank=len(stored),
        schedule=settings.schedule,
    )
    layouts = [
        _layout(stored, channel, folded, n, kind) for kind, n in zip(kinds, planes, strict=True)
    ]
    count = count_images(acquired, collected)
    with paused_collection() if count >= MANY_IMAGES else nullcontext():
        names = _images(acquired, collected, camera_images)
        images = _image_plans(settings, router, layouts, names, own_cameras=bool(camera_images))
    return Plan(settings, images, router, router.frames)


def _insert_channel_axis(stored: list[Dimension], frame: Sequence[Dimension]) -> Dimension:
    """Insert an axis with one channel, for cameras or samples, into the stored axes; return it."""
    taken = {d.name for d in (*stored, *frame)}
    name = next(n for n in ("c", *(f"c{i}" for i in range(len(taken)))) if n not in taken)
    channel = Dimension(name=name, type="channel", count=1, chunk_size=1)
    at = next((i for i, d in enumerate(stored) if d.type == "space"), len(stored))
    stored.insert(at, channel)
    return channel


@dataclass(frozen=True)
class _Layout:
    """The properties that all images of one frame kind share; there may be a million images."""

    kind: FrameKind
    dimensions: tuple[Dimension, ...]
    planes: int
    plane_axis: int | None


def _layout(
    stored: Sequence[Dimension],
    channel: Dimension | None,
    folded: Sequence[Dimension],
    planes: int,
    kind: FrameKind,
) -> _Layout:
    """Return the stored axes, with cameras and samples folded into the channel axis."""
    axis = next((i for i, d in enumerate(stored) if d is channel), None)
    index = list(stored)
    if axis is not None and channel is not None:
        index[axis] = with_cameras(channel, folded, planes, "" if folded else kind.camera)
    return _Layout(kind, (*index, *kind.frame), planes, axis if planes > 1 else None)


def _surplus(
    acquired: Sequence[Dimension], camera_images: Dimension | None, *, rgb: bool
) -> tuple[list[Dimension], list[Dimension]]:
    """Return the axes that are folded into channels, and those that become images (as `camera_images` does).

    `rgb`: the samples of a frame are folded into channels, too.
    """
    folded = [d for d in acquired if is_camera_axis(d) and d is not camera_images]
    collected: list[Dimension] = []
    taken: set[str] = set()
    for kind in ("time", "channel", "space", "other"):
        for dim in acquired:
            if (dim.type or "other") != kind or (dim in folded and dim.count is not None):
                continue
            if kind == "other" and (folded or rgb):
                taken.add("channel")
            slot = "channel" if kind == "other" else kind
            if dim is camera_images and dim.count is not None:
                collected.append(dim)
            elif slot not in taken:
                taken.add(slot)
            elif dim.count is None:
                raise UnsupportedError(
                    f"The unbounded axis {dim.name!r} has type {dim.type!r}, which another axis of the image has. "
                    f"Give it type='time'."
                )
            else:
                collected.append(dim)
    return folded, collected


def _steps(
    acquired: Sequence[Dimension],
    stored: Sequence[str],
    folded: Sequence[Dimension],
    collected: Sequence[Dimension],
    channel: Dimension | None,
) -> list[Step]:
    images = [d for d in acquired if d.type == "position" or d in collected]
    cameras = math.prod(d.count or 1 for d in folded)
    steps = []
    for dim in acquired:
        if dim in images:
            after = images[images.index(dim) + 1 :]
            steps.append(Step(None, math.prod(d.count or 1 for d in after)))
        elif channel is not None and dim in folded:
            after = list(folded)[list(folded).index(dim) + 1 :]
            stride = math.prod(d.count or 1 for d in after)
            steps.append(Step(stored.index(channel.name), stride))
        elif channel is not None and dim.name == channel.name:
            steps.append(Step(stored.index(channel.name), cameras))
        else:
            steps.append(Step(stored.index(dim.name), 1))
    return steps


def _images(
    acquired: Sequence[Dimension], collected: Sequence[Dimension], camera_images: Dimension | None
) -> list[tuple[str, Position | None, int]]:
    """Return name, position and camera index of each image, ordered by image number."""
    images: list[tuple[str, Position | None, int]] = [("", None, 0)]
    for dim in acquired:
        if dim.type == "position":
            positions = [(_label(c), c) for c in dim.coords or () if isinstance(c, Position)]
            images = [(_join(n, label), p, k) for n, _, k in images for label, p in positions]
        elif dim in collected:
            labels = [label_of(dim, i) for i in range(dim.count or 1)]
            images = [
                (_join(name, label), p, i if dim is camera_images else k)
                for name, p, k in images
                for i, label in enumerate(labels)
            ]
    return images


def _label(position: Position) -> str:
    """Return a unique label of a position: its name, with row and column of the grid if it has them."""
    if position.grid_row is None:
        return position.name
    return f"{position.name}_{position.grid_row}_{position.grid_column}"


def _join(name: str, more: str) -> str:
    return f"{name} / {more}" if name else more


def _image_plans(
    settings: AcquisitionSettings,
    router: Router,
    layouts: Sequence[_Layout],
    names: Sequence[tuple[str, Position | None, int]],
    *,
    own_cameras: bool,
) -> tuple[ImageSpec, ...]:
    """Return the image of each name in `names` (see `_images`); images with equal arrays share their `LevelSpec`s."""
    extents = _extents(router) if settings.schedule is not None else None
    one_frame = (1,) * router.rank  # of images that are never reached: no image may be empty
    kinds: dict[tuple[int, tuple[int, ...] | None], ImageSpec] = {}
    images: list[ImageSpec] = []
    arrays = 0
    for number, (name, position, camera_index) in enumerate(names):
        key = (camera_index, None if extents is None else extents.get(number, one_frame))
        kind = kinds.get(key)
        if kind is None:
            layout = layouts[camera_index]
            array, slow = _array(settings, router, layout, key[1])
            smaller = (
                plan_levels(settings.pyramid, array, settings.format) if settings.pyramid else ()
            )
            kind = kinds[key] = ImageSpec(
                key="",
                name="",
                levels=(array, *smaller),
                channels=planned_channels(array, array.shape),
                camera=layout.kind.camera if own_cameras else "",
                index_axes=tuple(d.name for d in layout.dimensions[:-2]),
                addressing=Addressing(0, 0, layout.planes, layout.plane_axis, slow),
            )
        addressing = copy_with(kind.addressing, number=number, first_array=arrays)
        images.append(copy_with(kind, name=name, position=position, addressing=addressing))
        arrays += len(kind.levels)
    return tuple(images)


def planned_channels(array: LevelSpec, shape: Sequence[int]) -> tuple[Channel, ...]:
    """Return the channels of an image whose array has this shape; unnamed ones are numbered."""
    axis = next((i for i, d in enumerate(array.dimensions) if d.type == "channel"), None)
    count = 1 if axis is None else shape[axis]
    coords = [] if axis is None else list(array.dimensions[axis].coords or ())[:count]
    coords += [f"Channel {i}" for i in range(len(coords), count)]
    return tuple(c if isinstance(c, Channel) else Channel(name=str(c)) for c in coords)


def _extents(router: Router) -> dict[int, tuple[int, ...]]:
    """Return the extents of each image over one cycle of the schedule."""
    images, index = router.address_arrays(0, router.period)
    extents: dict[int, tuple[int, ...]] = {}
    for image in np.unique(images).tolist():
        extents[image] = tuple((index[images == image].max(axis=0) + 1).tolist())
    return extents


def _array(
    settings: AcquisitionSettings, router: Router, image: _Layout, extents: tuple[int, ...] | None
) -> tuple[LevelSpec, int | None]:
    """Return the array of full resolution, and the axis that acquisition advances slowest."""
    stored = image.dimensions
    growing = next((i for i, d in enumerate(stored) if d.count is None), None)
    shape = [d.count or 1 for d in stored]
    if extents is not None:
        reached = [n * image.planes if i == image.plane_axis else n for i, n in enumerate(extents)]
        shape[:-2] = [1 if i == growing else n for i, n in enumerate(reached)]
    sharded = any(d.shard_size_chunks for d in stored)
    chunks, shards = [], []
    for extent, dim in zip(shape, stored, strict=True):
        bound = math.inf if dim.count is None else extent
        chunk = min(dim.chunk_size or 1, bound)
        max_chunks = math.inf if dim.count is None else math.ceil(extent / chunk)
        chunks.append(int(chunk))
        shards.append(int(chunk * min(dim.shard_size_chunks or 1, max_chunks)))
    if settings.format.divides_planes:
        tile = settings.format.chunk_of_plane(shape[-2], shape[-1], settings.pyramid)
        chunks = shards = [*[1] * (len(shape) - 2), *tile]
        sharded = False
    dtype = np.dtype(image.kind.dtype)
    refuse_large_chunks(dtype, shape[-2:], chunks, shards)
    order, slow_axis = _arrival(router, shape, growing, image.planes, image.plane_axis)
    array = LevelSpec(
        key="",
        shape=tuple(shape),
        dtype=dtype.name,
        chunks=tuple(chunks),
        shards=tuple(shards) if sharded else None,
        compression=settings.compression or "none",
        checksum=getattr(settings.format, "checksum", False),
        scale=tuple(d.scale for d in stored),
        translation=tuple(d.translation or 0.0 for d in stored),
        dimensions=stored,
        samples=3 // image.planes if image.kind.rgb else 1,
        growing=growing,
        order=order,
    )
    return array, slow_axis


def _arrival(
    router: Router, shape: Sequence[int], growing: int | None, planes: int, plane_axis: int | None
) -> tuple[tuple[int, ...] | None, int | None]:
    """Return the index axes of an image in the order of nested loops, slowest first, and the axis that is slowest.

    Axes of extent 1 keep their storage index where possible. The order is None if planes do not arrive in nested loops:
    with a schedule, or if two acquisition axes interleave in one stored axis (two cameras, each going through all
    channels). The slowest axis is the first that is longer than 1. See `Addressing` for `planes` and `plane_axis`.
    """
    axes = (step.axis for step in router.steps if step.axis is not None)
    slow_axis = next((axis for axis in axes if axis == growing or shape[axis] > 1), None)
    if router.schedule is not None:
        return None, slow_axis
    loops = [
        (step.axis, step.stride * (planes if step.axis == plane_axis else 1), count)
        for step, count in zip(router.steps, router.counts, strict=True)
        if step.axis is not None and count != 1
    ]
    if plane_axis is not None:
        loops.append((plane_axis, 1, planes))
    order: list[int] = []
    for i, (axis, stride, count) in enumerate(loops):
        if order and order[-1] == axis:
            if loops[i - 1][1] != stride * (count or 1):
                return None, slow_axis
        elif axis in order:
            return None, slow_axis
        else:
            order.append(axis)
    for axis in range(router.rank):
        if axis not in order:
            order.insert(axis, axis)
    return tuple(order), slow_axis


MAX_CHUNK_BYTES = 2**34
MAX_CHUNKS_PER_SHARD = 2**24  # the shard index has 16 bytes per chunk
MAX_CHANNELS = 2**20  # each has an entry in the metadata
MAX_CHUNKS_PER_PLANE = 2**20


def refuse_many_channels(dimensions: Sequence[Dimension], planes: int) -> None:
    """Raise UnsupportedError for more than `MAX_CHANNELS` channels, counting cameras and `planes` for each channel."""
    counts = (d.count or 1 for d in dimensions if d.type == "channel" or is_camera_axis(d))
    channels = math.prod(counts) * planes
    if channels > MAX_CHANNELS:
        raise UnsupportedError(
            f"An image may have {MAX_CHANNELS:,} channels, and this one would have {channels:,}. Reduce the "
            f"channels or cameras."
        )


def count_images(acquired: Sequence[Dimension], collected: Sequence[Dimension]) -> int:
    """Return the number of images; the indices of `collected` axes become images.

    Raises UnsupportedError if there are more than readers accept.
    """
    axes = [d for d in acquired if d.type == "position" or d in collected]
    images = math.prod(d.count or 1 for d in axes)
    if images > MAX_IMAGES:
        raise UnsupportedError(
            f"A dataset may have {MAX_IMAGES:,} images, and this one would have {images:,}. Split the "
            f"acquisition, or reduce the axes {[d.name for d in axes]}."
        )
    return images


def refuse_large_chunks(
    dtype: np.dtype[Any], frame: Sequence[int], chunks: Sequence[int], shards: Sequence[int]
) -> None:
    """Raise UnsupportedError for chunks of several frames that do not fit into memory, and for too many chunks."""
    nbytes = math.prod(chunks) * dtype.itemsize
    if nbytes > MAX_CHUNK_BYTES and math.prod(chunks[:-2]) > 1:
        raise UnsupportedError(
            f"A chunk of several frames may have {MAX_CHUNK_BYTES:,} bytes, and one of shape {tuple(chunks)} has "
            f"{nbytes:,}. Set a smaller chunk_size."
        )
    tiles = math.prod(math.ceil(n / c) for n, c in zip(frame, chunks[-2:], strict=True))
    if tiles > MAX_CHUNKS_PER_PLANE:
        raise UnsupportedError(
            f"A frame may have {MAX_CHUNKS_PER_PLANE:,} chunks, and one of shape {tuple(frame)} would have "
            f"{tiles:,}. Set a larger chunk_size."
        )
    count = math.prod(s // c for s, c in zip(shards, chunks, strict=True))
    if count > MAX_CHUNKS_PER_SHARD:
        raise UnsupportedError(
            f"A shard may have {MAX_CHUNKS_PER_SHARD:,} chunks, and one of shape {tuple(shards)} has {count:,}. "
            f"Set a smaller shard_size_chunks."
        )
