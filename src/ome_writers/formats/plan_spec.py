"""The `DatasetSpec` of a dataset that a plan is being written to, without reading it back."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ome_writers.dataset import DatasetLayout, DatasetSpec, ImageSpec, LevelSpec
from ome_writers.formats.dataset_metadata import library_version
from ome_writers.formats.plates import stored_plate
from ome_writers.formats.registry import format_row
from ome_writers.routing import Plan, planned_channels
from ome_writers.settings import split_suffix

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
    shapes = outcome.shapes or tuple(image.shape for image in plan.images)
    return DatasetSpec(
        path=layout.root if layout.root == layout.output or len(plan.images) > 1 else layout.output,
        format=settings.name,
        version=getattr(settings, "version", row.version),
        layout=layout_of_plan(plan),
        images=tuple(
            _image(image, shape, row, split_suffix(layout.output.name)[0])
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


def _image(image: ImageSpec, shape: tuple[int, ...], row: FormatRow, name: str) -> ImageSpec:
    """Return an image with its current shape, and with what only the format knows; `name` is that of the output."""
    shapes = image.level_shapes(shape)
    return replace(
        image,
        name=image.name or name,
        levels=tuple(map(_with_shape, image.levels, shapes)),
        channels=image.channels if shape == image.shape else planned_channels(image.array, shape),
        index_axes=row.index_axes(image),
    )


def _with_shape(level: LevelSpec, shape: tuple[int, ...]) -> LevelSpec:
    return level if shape == level.shape else replace(level, shape=shape)
