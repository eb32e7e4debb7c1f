"""Settings in, plan out: the one place where intent becomes fact."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.errors import UnsupportedError
from ome_writers.routing.plan import ArrayPlan, ImagePlan, Plan
from ome_writers.routing.router import Router, Step
from ome_writers.settings import Channel, Dimension, Position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.settings import AcquisitionSettings

__all__ = ["resolve"]

MOST_CHUNK_BYTES = 2**34
MOST_CHUNKS = 2**24  # a shard: its index alone takes 16 bytes for each
MOST_CHANNELS = 2**20  # each has its entry in the documents
CAMERA_AXES = frozenset({"cam", "camera"})
_RGB = {"Red": "#FF0000", "Green": "#00FF00", "Blue": "#0000FF"}


def resolve(settings: AcquisitionSettings) -> Plan:
    """Turn complete settings into the plan of what will happen.

    Axes that no image of either format can hold beside the others are given a place here: cameras (an axis
    named ``cam``) become part of the channel axis, any other axis too many becomes images of the
    collection, and the samples of RGB frames become channels in OME-Zarr and samples in OME-TIFF.

    Raises
    ------
    UnsupportedError
        If an unbounded axis cannot be stored as an axis, or if a chunk, the index of a shard or the list of
        channels would be larger than any memory.
    """
    acquired = settings.dimensions[:-2]
    folded, collected = _surplus(acquired)
    stored = [d for d in settings.array_storage_dimensions if d not in (*folded, *collected)]
    samples = 3 if settings.rgb else 1
    planes = samples if settings.format.name == "ome-zarr" else 1
    channels = planes * math.prod(d.count or 1 for d in (*stored, *folded) if _names_channels(d))
    if channels > MOST_CHANNELS:
        raise UnsupportedError(
            f"An image may have {MOST_CHANNELS} channels, and this one would have {channels}."
        )
    channel, stored = _channel_axis(stored, folded, planes, settings)
    router = Router(
        axes=tuple(d.name for d in acquired),
        counts=tuple(d.count for d in acquired),
        steps=tuple(_steps(acquired, stored, folded, collected, channel, planes)),
        rank=len(stored) - 2,
        schedule=settings.schedule,
    )
    extents = _extents(router) if settings.schedule is not None else None
    images = []
    for number, (name, position) in enumerate(_images(acquired, collected)):
        array = _array(
            settings, stored, samples // planes, None if extents is None else extents[number]
        )
        slow = _slow_axis(router, array)
        images.append(ImagePlan(number, name, position, array, slow))
    return Plan(
        settings=settings,
        images=tuple(images),
        router=router,
        frames=router.frames,
        planes=planes,
        plane_axis=None if planes == 1 else [d.name for d in stored].index(channel),
    )


def _names_channels(dim: Dimension) -> bool:
    return dim.type == "channel" or dim.name.lower() in CAMERA_AXES


def _surplus(acquired: Sequence[Dimension]) -> tuple[list[Dimension], list[Dimension]]:
    """Return the axes that fold into channels, and those that become images."""
    folded: list[Dimension] = []
    collected: list[Dimension] = []
    taken: set[str] = set()
    for kind in ("time", "channel", "space", "other"):
        for dim in acquired:
            if (dim.type or "other") != kind:
                continue
            slot = "channel" if kind == "other" else kind
            if kind == "other" and dim.name.lower() in CAMERA_AXES:
                folded.append(dim)
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


def _channel_axis(
    stored: list[Dimension], folded: list[Dimension], planes: int, settings: AcquisitionSettings
) -> tuple[str, list[Dimension]]:
    """Return the channel axis' name, and the stored axes with cameras and samples folded into it."""
    channel = next((d for d in stored[:-2] if d.type == "channel"), None)
    if not folded and planes == 1:
        return (channel.name if channel else "c"), stored
    names: list[Channel] = []
    base: list[Channel | None] = [*_channels(channel)] if channel else [None]
    for one in base:
        labels: list[tuple[str | None, str | None]] = [(one.name if one else None, None)]
        for dim in folded:
            labels = [(n, _label(dim, i)) for n, _ in labels for i in range(dim.count or 1)]
        for label, camera in labels:
            for sample in _RGB if planes > 1 else (None,):
                words = [w for w in (label, camera, sample) if w]
                update: dict[str, object] = {"name": " / ".join(words), "camera": camera}
                if sample:
                    update["color"] = _RGB[sample]
                names.append(Channel(**{**(one.model_dump() if one else {}), **update}))
    merged = Dimension(
        name=channel.name if channel else "c",
        type="channel",
        count=len(names),
        coords=list(names),
        chunk_size=channel.chunk_size if channel else 1,
        shard_size_chunks=channel.shard_size_chunks if channel else None,
    )
    if channel:
        return merged.name, [merged if d is channel else d for d in stored]
    at = next((i for i, d in enumerate(stored) if d.type == "space"), len(stored) - 2)
    return merged.name, [*stored[:at], merged, *stored[at:]]


def _channels(dim: Dimension) -> list[Channel]:
    """Return the channels of a channel axis, numbered where it names none."""
    return [
        c if isinstance(c, Channel) else Channel(name=str(c))
        for c in (dim.coords or range(dim.count or 1))
    ]


def _label(dim: Dimension, i: int) -> str:
    """Return the name of place `i` along a folded or collected axis."""
    if dim.coords:
        coord = dim.coords[i]
        return str(getattr(coord, "name", coord))
    return f"Camera-{i + 1}" if dim.name.lower() in CAMERA_AXES else f"{dim.name}{i}"


def _steps(
    acquired: Sequence[Dimension],
    stored: Sequence[Dimension],
    folded: Sequence[Dimension],
    collected: Sequence[Dimension],
    channel: str,
    planes: int,
) -> list[Step]:
    names = [d.name for d in stored]
    images = [d for d in acquired if d.type == "position" or d in collected]
    steps = []
    for dim in acquired:
        if dim in images:
            after = images[images.index(dim) + 1 :]
            steps.append(Step(None, math.prod(d.count or 1 for d in after)))
        elif dim in folded:
            after = list(folded)[list(folded).index(dim) + 1 :]
            stride = planes * math.prod(d.count or 1 for d in after)
            steps.append(Step(names.index(channel), stride))
        elif dim.name == channel:
            stride = planes * math.prod(d.count or 1 for d in folded)
            steps.append(Step(names.index(channel), stride))
        else:
            steps.append(Step(names.index(dim.name), 1))
    return steps


def _images(
    acquired: Sequence[Dimension], collected: Sequence[Dimension]
) -> list[tuple[str, Position | None]]:
    """Return name and position of each image, in the order of their numbers."""
    images: list[tuple[str, Position | None]] = [("", None)]
    for dim in acquired:
        if dim.type == "position":
            places = [(c.name, c) for c in dim.coords or () if isinstance(c, Position)]
            images = [(_join(n, label), p) for n, _ in images for label, p in places]
        elif dim in collected:
            labels = [_label(dim, i) for i in range(dim.count or 1)]
            images = [(_join(n, label), p) for n, p in images for label in labels]
    return images


def _join(name: str, more: str) -> str:
    return f"{name} / {more}" if name else more


def _extents(router: Router) -> dict[int, tuple[int, ...]]:
    """Return the hull of what a schedule puts into each image, over one cycle."""
    images, index = router.places(0, router._period)
    hull: dict[int, tuple[int, ...]] = {}
    for image in np.unique(images).tolist():
        hull[image] = tuple((index[images == image].max(axis=0) + 1).tolist())
    return hull


def _array(
    settings: AcquisitionSettings,
    stored: Sequence[Dimension],
    samples: int,
    extents: tuple[int, ...] | None,
) -> ArrayPlan:
    growing = next((i for i, d in enumerate(stored) if d.count is None), None)
    shape = [d.count or 1 for d in stored]
    if extents is not None:
        shape[:-2] = [1 if i == growing else e for i, e in enumerate(extents)]
    sharded = any(d.shard_size_chunks for d in stored)
    chunks, shards = [], []
    for extent, dim in zip(shape, stored, strict=True):
        bound = math.inf if dim.count is None else extent
        chunk = min(dim.chunk_size or 1, bound)
        most = math.inf if dim.count is None else math.ceil(extent / chunk)
        chunks.append(int(chunk))
        shards.append(int(chunk * min(dim.shard_size_chunks or 1, most)))
    _refuse_immense(settings, chunks, shards)
    return ArrayPlan(
        dimensions=tuple(stored),
        shape=tuple(shape),
        growing=growing,
        dtype=np.dtype(settings.dtype).newbyteorder("<"),
        chunks=tuple(chunks),
        shards=tuple(shards) if sharded else None,
        compression=settings.compression or "none",
        samples=samples,
    )


def _refuse_immense(
    settings: AcquisitionSettings, chunks: Sequence[int], shards: Sequence[int]
) -> None:
    """Refuse chunks and shards that are put together from many frames and fit no memory."""
    nbytes = math.prod(chunks) * np.dtype(settings.dtype).itemsize
    if nbytes > MOST_CHUNK_BYTES and math.prod(chunks[:-2]) > 1:
        raise UnsupportedError(
            f"A chunk over several frames may have {MOST_CHUNK_BYTES} bytes, and one of shape {tuple(chunks)} has "
            f"{nbytes}. Set a smaller chunk_size."
        )
    count = math.prod(s // c for s, c in zip(shards, chunks, strict=True))
    if count > MOST_CHUNKS:
        raise UnsupportedError(
            f"A shard may have {MOST_CHUNKS} chunks, and one of shape {tuple(shards)} has {count}. Set a smaller "
            f"shard_size_chunks."
        )


def _slow_axis(router: Router, array: ArrayPlan) -> int | None:
    """Return the storage axis that acquisition advances slowest, among those longer than 1."""
    for step in router.steps:
        if step.axis is not None and (step.axis == array.growing or array.shape[step.axis] > 1):
            return step.axis
    return None
