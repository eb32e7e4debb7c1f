"""Settings in, plan out: the one place where intent becomes fact."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.errors import UnsupportedError
from ome_writers.routing.cameras import camera_axis, frame_kinds, is_camera_axis
from ome_writers.routing.channel_labels import label_of, with_cameras
from ome_writers.routing.limits import refuse_immense, refuse_many_channels, refuse_many_images
from ome_writers.routing.plan import ArrayPlan, ImagePlan, Plan
from ome_writers.routing.router import Router, Step
from ome_writers.settings import Dimension, Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.routing.cameras import FrameKind
    from ome_writers.settings import AcquisitionSettings

__all__ = ["resolve"]


def resolve(settings: AcquisitionSettings) -> Plan:
    """Turn complete settings into the plan of what will happen.

    Axes that no image of either format can hold beside the others are given a place here: cameras (an axis
    named ``cam``) become part of the channel axis, or an image each where their frames are not alike; any other axis
    too many becomes images of the collection, and the samples of RGB frames become channels in OME-Zarr and samples
    in OME-TIFF.

    Raises
    ------
    UnsupportedError
        If an unbounded axis cannot be stored as an axis, or if a chunk, the index of a shard or the list of
        channels would be larger than any memory.
    """
    acquired = settings.dimensions[:-2]
    kinds = frame_kinds(settings)
    apart = None if all(k.is_like(kinds[0]) for k in kinds) else camera_axis(settings)
    kinds = kinds if apart is not None else kinds[:1]
    as_planes = settings.format.name == "ome-zarr"
    planes = [3 if as_planes and kind.rgb else 1 for kind in kinds]
    folded, collected = _surplus(acquired, apart, colours=max(planes) > 1)
    stored = [d for d in settings.storage_index_dimensions if d not in (*folded, *collected)]
    refuse_many_channels((*stored, *folded), max(planes))
    channel = next((d for d in stored if d.type == "channel"), None)
    if channel is None and (folded or max(planes) > 1):
        channel = _insert_channel_axis(stored, settings.frame_dimensions)
    router = Router(
        axes=tuple(d.name for d in acquired),
        counts=tuple(d.count for d in acquired),
        steps=tuple(_steps(acquired, [d.name for d in stored], folded, collected, channel)),
        rank=len(stored),
        schedule=settings.schedule,
    )
    forms = [_form(stored, channel, folded, n, kind) for kind, n in zip(kinds, planes, strict=True)]
    refuse_many_images(acquired, collected)
    named = _images(acquired, collected, apart)
    images = _image_plans(settings, router, forms, named, own_cameras=apart is not None)
    return Plan(settings, images, router, router.frames)


def _insert_channel_axis(stored: list[Dimension], frame: Sequence[Dimension]) -> Dimension:
    """Put an axis of one channel, which cameras or samples become part of, among the stored axes; return it."""
    taken = {d.name for d in (*stored, *frame)}
    name = next(n for n in ("c", *(f"c{i}" for i in range(len(taken)))) if n not in taken)
    channel = Dimension(name=name, type="channel", count=1, chunk_size=1)
    at = next((i for i, d in enumerate(stored) if d.type == "space"), len(stored))
    stored.insert(at, channel)
    return channel


@dataclass(frozen=True)
class _Form:
    """What all images of one kind of frames have in common: there may be a million of them."""

    kind: FrameKind
    dimensions: tuple[Dimension, ...]
    planes: int
    plane_axis: int | None


def _form(
    stored: Sequence[Dimension],
    channel: Dimension | None,
    folded: Sequence[Dimension],
    planes: int,
    kind: FrameKind,
) -> _Form:
    """Return the stored axes with cameras and samples folded into that of the channels."""
    axis = next((i for i, d in enumerate(stored) if d is channel), None)
    index = list(stored)
    if axis is not None and channel is not None:
        index[axis] = with_cameras(channel, folded, planes, "" if folded else kind.camera)
    return _Form(kind, (*index, *kind.frame), planes, axis if planes > 1 else None)


def _surplus(
    acquired: Sequence[Dimension], apart: Dimension | None, *, colours: bool
) -> tuple[list[Dimension], list[Dimension]]:
    """Return the axes that fold into channels, and those that become images; `apart` is one of these.

    With `colours` the samples of a frame fold into channels, too.
    """
    folded = [d for d in acquired if is_camera_axis(d) and d is not apart]
    collected: list[Dimension] = []
    taken: set[str] = set()
    for kind in ("time", "channel", "space", "other"):
        for dim in acquired:
            if (dim.type or "other") != kind or (dim in folded and dim.count is not None):
                continue
            if kind == "other" and (folded or colours):
                taken.add("channel")
            slot = "channel" if kind == "other" else kind
            if dim is apart and dim.count is not None:
                collected.append(dim)
            elif slot not in taken:
                taken.add(slot)
            elif dim.count is None:
                raise UnsupportedError(
                    f"The unbounded axis {dim.name!r} has type {dim.type!r}, and another axis has that place "
                    f"in the image. Give it type='time'."
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
    acquired: Sequence[Dimension], collected: Sequence[Dimension], apart: Dimension | None
) -> list[tuple[str, Position | None, int]]:
    """Return name, position and camera (its place along `apart`) of each image, in the order of their numbers."""
    images: list[tuple[str, Position | None, int]] = [("", None, 0)]
    for dim in acquired:
        if dim.type == "position":
            places = [(_label(c), c) for c in dim.coords or () if isinstance(c, Position)]
            images = [(_join(n, label), p, k) for n, _, k in images for label, p in places]
        elif dim in collected:
            labels = [label_of(dim, i) for i in range(dim.count or 1)]
            images = [
                (_join(name, label), p, i if dim is apart else k)
                for name, p, k in images
                for i, label in enumerate(labels)
            ]
    return images


def _label(position: Position) -> str:
    """Return what tells a position from all others: its name, and its row and column in a grid."""
    if position.grid_row is None:
        return position.name
    return f"{position.name}_{position.grid_row}_{position.grid_column}"


def _join(name: str, more: str) -> str:
    return f"{name} / {more}" if name else more


def _image_plans(
    settings: AcquisitionSettings,
    router: Router,
    forms: Sequence[_Form],
    named: Sequence[tuple[str, Position | None, int]],
    *,
    own_cameras: bool,
) -> tuple[ImagePlan, ...]:
    """Return the plans of the images that are `named` (see `_images`); images that are alike share one of an array."""
    extents = _extents(router) if settings.schedule is not None else None
    nowhere = (1,) * router.rank  # of an image that the schedule never comes to: none is empty
    arrays: dict[tuple[int, tuple[int, ...] | None], tuple[ArrayPlan, int | None]] = {}
    images = []
    for number, (name, position, which) in enumerate(named):
        form = forms[which]
        alike = (which, None if extents is None else extents.get(number, nowhere))
        if alike not in arrays:
            made = _array(settings, form, alike[1])
            arrays[alike] = made, _slow_axis(router, made)
        array, slow_axis = arrays[alike]
        camera = form.kind.camera if own_cameras else ""
        images.append(
            ImagePlan(
                number, name, position, array, slow_axis, camera, form.planes, form.plane_axis
            )
        )
    return tuple(images)


def _extents(router: Router) -> dict[int, tuple[int, ...]]:
    """Return the hull of what a schedule puts into each image, over one cycle."""
    images, index = router.address_arrays(0, router.period)
    hull: dict[int, tuple[int, ...]] = {}
    for image in np.unique(images).tolist():
        hull[image] = tuple((index[images == image].max(axis=0) + 1).tolist())
    return hull


def _array(
    settings: AcquisitionSettings, image: _Form, extents: tuple[int, ...] | None
) -> ArrayPlan:
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
        most = math.inf if dim.count is None else math.ceil(extent / chunk)
        chunks.append(int(chunk))
        shards.append(int(chunk * min(dim.shard_size_chunks or 1, most)))
    dtype = np.dtype(image.kind.dtype)
    refuse_immense(dtype, shape[-2:], chunks, shards)
    return ArrayPlan(
        dimensions=stored,
        shape=tuple(shape),
        growing=growing,
        dtype=dtype.newbyteorder("<"),
        chunks=tuple(chunks),
        shards=tuple(shards) if sharded else None,
        compression=settings.compression or "none",
        samples=3 // image.planes if image.kind.rgb else 1,
    )


def _slow_axis(router: Router, array: ArrayPlan) -> int | None:
    """Return the storage axis that acquisition advances slowest, among those longer than 1."""
    for step in router.steps:
        if step.axis is not None and (step.axis == array.growing or array.shape[step.axis] > 1):
            return step.axis
    return None
