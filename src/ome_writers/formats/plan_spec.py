"""The `DatasetSpec` of a dataset that a plan is being written to, without reading it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from ome_writers.dataset import (
    AxisSpec,
    DatasetLayout,
    DatasetSpec,
    ImageSpec,
    LevelSpec,
    axis_type,
)
from ome_writers.formats.dataset_metadata import library_version
from ome_writers.formats.plates import stored_plate
from ome_writers.formats.registry import format_row
from ome_writers.routing import ImagePlan, Plan
from ome_writers.settings import Channel, split_suffix

if TYPE_CHECKING:
    from ome_writers.formats.dataset_metadata import Layout, Outcome
    from ome_writers.formats.registry import FormatRow


def layout_of_plan(plan: Plan) -> DatasetLayout:
    """Return whether a plan is of one image, a collection of positions, or a plate."""
    if plan.settings.position_dimension_index is None and len(plan.images) == 1:
        return "image"
    return "plate" if plan.settings.plate else "collection"


def spec_of_plan(plan: Plan, layout: Layout, outcome: Outcome) -> DatasetSpec:
    """Return what the dataset of a plan is.

    Without shapes in `outcome`, they are those that are planned.
    """
    settings = plan.settings.format
    row = format_row(settings.name)
    shapes = outcome.shapes or tuple(image.array.shape for image in plan.images)
    return DatasetSpec(
        path=layout.root
        if layout.root == layout.output or len(layout.images) > 1
        else layout.output,
        format=settings.name,
        version=getattr(settings, "version", row.version),
        layout=layout_of_plan(plan),
        images=tuple(
            _image(image, layout, shape, row)
            for image, shape in zip(plan.images, shapes, strict=True)
        ),
        dimensions=tuple(plan.settings.dimensions),
        plate=stored_plate(plan) if plan.settings.plate else None,
        status=outcome.status,
        frames_written=outcome.frames_written,
        frames_expected=plan.distinct_frames,
        updated=outcome.timestamp or None,
        written_by=f"ome-writers {library_version()}",
        settings=plan.settings,
    )


def _image(plan: ImagePlan, layout: Layout, shape: tuple[int, ...], row: FormatRow) -> ImageSpec:
    dimensions = plan.array.dimensions
    return ImageSpec(
        key=layout.images[plan.number],
        name=plan.name or split_suffix(layout.output.name)[0],
        axes=tuple(AxisSpec(d.name, axis_type(d), d.unit if d.scale else None) for d in dimensions),
        levels=_levels(plan, layout, shape),
        channels=planned_channels(plan, shape),
        position=plan.position,
        camera=plan.camera,
        samples=plan.array.samples,
        index_axes=row.index_axes(plan),
    )


def planned_channels(plan: ImagePlan, shape: Sequence[int]) -> tuple[Channel, ...]:
    """Return the channels of an image whose array has this shape; unnamed ones are numbered."""
    axis = next((i for i, d in enumerate(plan.array.dimensions) if d.type == "channel"), None)
    count = 1 if axis is None else shape[axis]
    coords = [] if axis is None else list(plan.array.dimensions[axis].coords or ())[:count]
    coords += [f"Channel {i}" for i in range(len(coords), count)]
    return tuple(c if isinstance(c, Channel) else Channel(name=str(c)) for c in coords)


def _levels(plan: ImagePlan, layout: Layout, shape: tuple[int, ...]) -> tuple[LevelSpec, ...]:
    dimensions = plan.array.dimensions
    full = LevelSpec(
        key=layout.arrays[plan.number],
        shape=tuple(shape),
        dtype=plan.array.dtype.name,
        chunks=plan.array.chunks,
        shards=plan.array.shards,
        compression=plan.array.compression,
        scale=tuple(d.scale for d in dimensions),
        translation=tuple(d.translation or 0.0 for d in dimensions),
    )
    keys = layout.array_keys(plan.number)[1:]
    smaller = (
        replace(
            reduced_level(full, level.shape(shape), level.factors, level.offsets),
            key=key,
            chunks=level.array.chunks,
            shards=level.array.shards,
        )
        for key, level in zip(keys, plan.levels, strict=True)
    )
    return (full, *smaller)


def reduced_level(
    full: LevelSpec, shape: tuple[int, ...], factors: Sequence[float], offsets: Sequence[float]
) -> LevelSpec:
    """Return a level of the array `full`, with chunks clipped to its shape; see `LevelPlan`."""
    steps = zip(full.scale, factors, strict=True)
    origins = zip(full.translation, full.scale, offsets, strict=True)
    return replace(
        full,
        shape=shape,
        chunks=tuple(map(min, full.chunks, shape)),
        scale=tuple(None if s is None and f == 1 else f * (s or 1.0) for s, f in steps),
        translation=tuple(t + (s or 1.0) * o for t, s, o in origins),
    )
