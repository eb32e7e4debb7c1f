"""Describe an OME-Zarr of this library from the settings stored in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.conversion.ngff import channel_values, root_metadata
from ome_writers.conversion.source import Source, nested_loop_indices, with_values
from ome_writers.errors import UnsupportedError
from ome_writers.formats import make_distinct
from ome_writers.formats.omezarr import group_attributes, read_json_object, stored_layout
from ome_writers.repair import plan_of
from ome_writers.routing import camera_axis
from ome_writers.settings import Channel, Position
from ome_writers.untrusted import MAX_FRAMES, check_count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ome_writers.conversion.source import Indices
    from ome_writers.routing import Plan
    from ome_writers.settings import Dimension
    from ome_writers.views import StreamView

__all__ = ["describe_from_settings"]


def describe_from_settings(path: Path, view: StreamView) -> Source | None:
    """Describe an OME-Zarr from its stored settings; None if it does not have settings that this version supports.

    Names and colours are from the group metadata, which users may have edited.
    """
    try:
        plan = plan_of(path)
    except UnsupportedError:
        return None
    layout = stored_layout(plan, path)
    arrays = [read_json_object(path / key / "zarr.json") for key in layout.arrays]
    if not all(arrays):
        return None
    attributes = group_attributes(path)
    groups = [group_attributes(path / key).get("ome", {}) for key in layout.images]
    ours = attributes["ome_writers"]
    shapes = np.array([array["shape"][:-2] for array in arrays], np.int64).reshape(len(arrays), -1)
    settings = plan.settings
    cameras = [image.camera for image in plan.images]
    axis = camera_axis(settings) if all(cameras) else None

    return Source(
        path=path,
        format="ome-zarr",
        dimensions=tuple(_with_edits(dim, plan, groups) for dim in settings.dimensions),
        dtypes=[image.array.dtype.name for image in plan.images],
        frame_shapes=[image.frame_shape for image in plan.images],
        view=view,
        indices=_indices(plan, shapes, view),
        address_of=plan.router.address_of,
        plate=settings.plate,
        storage_order=settings.storage_order,
        written=ours.get("frames", {}).get("written"),
        status=ours.get("status"),
        compression=settings.compression,
        metadata=root_metadata(attributes),
        cameras=cameras if axis else (),
        camera_axis=settings.dimensions.index(axis) if axis else None,
        frame_dimensions=[i.array.dimensions[-2:] for i in plan.images] if axis else (),
    )


def _indices(plan: Plan, shapes: Indices, view: StreamView) -> Indices:
    """Return the indices of all frames inside the arrays, in the order of the schedule if it is bounded."""
    router = plan.router

    def inside(indices: Indices) -> np.ndarray[Any, np.dtype[np.bool_]]:
        images, stored = router.project(indices)
        within = stored < shapes[np.minimum(images, len(shapes) - 1)]
        return np.asarray(within.all(axis=1))

    indices: Indices
    if router.schedule is None or router.frames is None:
        indices = nested_loop_indices([max(1, n) for n in view.shape[: len(router.axes)]])
        return np.asarray(indices[inside(indices)])
    check_count(router.frames, "the number of frames to convert", MAX_FRAMES)
    indices = router.acquired(np.arange(router.frames, dtype=np.int64))
    indices = indices[inside(indices)]
    # read an index that is scheduled twice only once
    first = np.unique(indices, axis=0, return_index=True)[1]
    return np.asarray(indices[np.sort(first)])


def _with_edits(dim: Dimension, plan: Plan, groups: Sequence[dict[str, Any]]) -> Dimension:
    """Return a dimension with the names and colours of the group metadata."""
    coords = list(dim.coords or ())
    if dim.type == "channel" and coords:
        values = channel_values(groups[0])
        edited = [_channel(coord, value) for coord, value in zip(coords, values, strict=False)]
        return with_values(dim, coords=[*edited, *coords[len(edited) :]])
    if dim.type == "position" and len(coords) == len(groups):
        names = [group.get("multiscales", [{}])[0].get("name") for group in groups]
        written = [image.name for image in plan.images]
        if names != written and all(names):
            names = make_distinct(map(str, names))
            coords = [
                coord.model_copy(update={"name": name})
                for coord, name in zip(coords, names, strict=True)
                if isinstance(coord, Position)
            ]
            return with_values(dim, coords=coords)
    return dim


def _channel(coord: Any, values: dict[str, Any]) -> Channel:
    """Return a channel of the settings with name and colour of the group metadata."""
    channel = coord if isinstance(coord, Channel) else Channel(name=str(coord))
    edited = {"name": values["name"], "color": values.get("color")}
    if channel.color is None and str(edited["color"] or "").upper() in ("", "#FFFFFF"):
        del edited["color"]  # white is the default of channels without a colour
    return Channel(**{**channel.model_dump(), **{k: v for k, v in edited.items() if v}})
