"""The `Source` of a dataset of any format and program, from its `DatasetSpec`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.conversion.source import Source, nested_loop_indices, with_values
from ome_writers.dataset import DatasetSpec, ImageSpec
from ome_writers.routing import Plan, Router, Step, camera_axis, resolve
from ome_writers.settings import Dimension, split_suffix
from ome_writers.untrusted import MAX_FRAMES, check_count
from ome_writers.views import view_names

if TYPE_CHECKING:
    from ome_writers.conversion.source import Indices
    from ome_writers.views import StreamView


def source_of(spec: DatasetSpec, view: StreamView) -> Source:
    """Return the source of a conversion.

    The settings of a dataset of this library determine the order of frames and the addresses; other datasets are read
    in the order of their dimensions.

    Only the first level of each image is converted.
    """
    settings = spec.settings
    plan = resolve(settings) if settings else None
    router = plan.router if plan else _stored_router(spec)
    camera = camera_axis(settings) if settings and all(i.camera for i in spec.images) else None
    frames: list[tuple[Dimension, ...]]
    if plan is None:
        shapes = [
            (*image.shape[-2:], *(image.samples,) * (image.samples > 1)) for image in spec.images
        ]
        frames = [_frame_dimensions(spec.dimensions, image) for image in spec.images]
    else:
        shapes = [image.frame_shape for image in plan.images]
        frames = [image.array.dimensions[-2:] for image in plan.images] if camera else []
    return Source(
        spec=spec,
        view=view,
        frame_shapes=shapes,
        plan=plan,
        router=router,
        indices=_indices(router, spec, plan),
        name=_own_name(spec, plan),
        camera_axis=settings.dimensions.index(camera) if settings and camera else None,
        frame_dimensions=frames,
    )


def _frame_dimensions(
    dimensions: Sequence[Dimension], image: ImageSpec
) -> tuple[Dimension, Dimension]:
    """Return the axes y and x with the pixel size of an image."""

    def with_pixel_size(axis: int) -> Dimension:
        dim, scale, unit = dimensions[axis], image.levels[0].scale[axis], image.axes[axis].unit
        return (
            dim
            if (dim.scale, dim.unit) == (scale, unit)
            else with_values(dim, scale=scale, unit=unit)
        )

    return with_pixel_size(-2), with_pixel_size(-1)


def _own_name(spec: DatasetSpec, plan: Plan | None) -> str:
    """Return the name of a single image, unless it is that of its file or of its index along a further axis."""
    if spec.position_axis is not None or len(spec.images) != 1:
        return ""
    if plan is not None and plan.images[0].name == spec.images[0].name:
        return ""
    name = spec.images[0].name
    file = Path(spec.settings.output_path) if spec.settings else spec.path
    return "" if name in (file.name, split_suffix(file.name)[0]) else name


def _stored_router(spec: DatasetSpec) -> Router:
    """Return the router of another program's dataset: its dimensions are image number and axes of the arrays."""
    axes = spec.images[0].dims
    dimensions = spec.dimensions[:-2]
    return Router(
        axes=view_names(dimensions),
        counts=tuple(dim.count for dim in dimensions),
        steps=tuple(
            Step(None if dim.type == "position" else axes.index(dim.name), 1) for dim in dimensions
        ),
        rank=len(axes) - 2,
    )


def _indices(router: Router, spec: DatasetSpec, plan: Plan | None) -> Indices:
    """Return the indices of all frames inside the arrays, in the order of the schedule if it is bounded."""
    shapes = np.array([image.shape[:-2] for image in spec.images], np.int64)
    shapes = shapes.reshape(len(spec.images), -1)

    def inside(indices: Indices) -> Indices:
        images, stored = router.project(indices)
        within = stored < shapes[np.minimum(images, len(shapes) - 1)]
        return np.asarray(indices[within.all(axis=1)])

    if plan is None:
        return inside(nested_loop_indices([count or 1 for count in router.counts]))
    if router.schedule is None or router.frames is None:
        counts = [_extent(plan, spec, axis) for axis in range(len(router.axes))]
        return inside(nested_loop_indices(counts))
    check_count(router.frames, "the number of frames to convert", MAX_FRAMES)
    indices = inside(router.acquired(np.arange(router.frames, dtype=np.int64)))
    # read an index that is scheduled twice only once
    first = np.unique(indices, axis=0, return_index=True)[1]
    return np.asarray(indices[np.sort(first)])


def _extent(plan: Plan, spec: DatasetSpec, axis: int) -> int:
    """Return the stored extent of an acquisition axis; of an axis of images the planned one."""
    (stored, stride), count = plan.router.steps[axis], plan.router.counts[axis]
    if stored is None:
        return count or 1
    extent = max(
        -(-planned.frames_along(stored, image.shape[stored]) // stride)
        for planned, image in zip(plan.images, spec.images, strict=True)
    )
    return max(1, extent if count is None else min(extent, count))
