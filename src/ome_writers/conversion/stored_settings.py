"""An OME-Zarr that this library wrote: its document has the settings behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.conversion.ngff import facts_of_channels, root_metadata
from ome_writers.conversion.source import Source, changed, loops
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

    from ome_writers.conversion.source import Address, Rows
    from ome_writers.routing import Plan
    from ome_writers.settings import Dimension
    from ome_writers.views import StreamView

__all__ = ["describe_own"]


def describe_own(path: Path, view: StreamView) -> Source | None:
    """Return what an OME-Zarr's own settings say of it; None when it has none that are understood here.

    Names and colours are those of the documents, which somebody may have changed since.
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

    def place(index: Sequence[int]) -> Address:
        return plan.router.address_of(index)

    return Source(
        path=path,
        format="ome-zarr",
        dimensions=tuple(_as_told(dim, plan, groups) for dim in settings.dimensions),
        dtypes=[image.array.dtype.name for image in plan.images],
        frame_shapes=[image.frame_shape for image in plan.images],
        view=view,
        rows=_rows(plan, shapes, view),
        place=place,
        plate=settings.plate,
        storage_order=settings.storage_order,
        written=ours.get("frames", {}).get("written"),
        status=ours.get("status"),
        compression=settings.compression,
        metadata=root_metadata(attributes),
        cameras=cameras if axis else (),
        camera_axis=settings.dimensions.index(axis) if axis else None,
        pixels=[image.array.dimensions[-2:] for image in plan.images] if axis else (),
    )


def _rows(plan: Plan, shapes: Rows, view: StreamView) -> Rows:
    """Return the indices of all places that the arrays have, in the order of a schedule that has an end."""
    router = plan.router

    def inside(rows: Rows) -> np.ndarray[Any, np.dtype[np.bool_]]:
        images, places = router.project(rows)
        there = places < shapes[np.minimum(images, len(shapes) - 1)]
        return np.asarray(there.all(axis=1))

    rows: Rows
    if router.schedule is None or router.frames is None:
        rows = loops([max(1, n) for n in view.shape[: len(router.axes)]])
        return np.asarray(rows[inside(rows)])
    check_count(router.frames, "the number of frames to convert", MAX_FRAMES)
    rows = router.acquired(np.arange(router.frames, dtype=np.int64))
    rows = rows[inside(rows)]
    # a place that is visited twice is read once
    first = np.unique(rows, axis=0, return_index=True)[1]
    return np.asarray(rows[np.sort(first)])


def _as_told(dim: Dimension, plan: Plan, groups: Sequence[dict[str, Any]]) -> Dimension:
    """Return a dimension with the names that the documents have now."""
    coords = list(dim.coords or ())
    if dim.type == "channel" and coords:
        told = facts_of_channels(groups[0])
        found = [_channel(coord, fact) for coord, fact in zip(coords, told, strict=False)]
        coords = [*found, *coords[len(found) :]]
        return changed(dim, coords=coords)
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
            return changed(dim, coords=coords)
    return dim


def _channel(coord: Any, fact: dict[str, Any]) -> Channel:
    """Return a channel of the settings, with another name or colour where the document has another."""
    channel = coord if isinstance(coord, Channel) else Channel(name=str(coord))
    white = channel.color is None and str(fact.get("color", "")).upper() in ("", "#FFFFFF")
    news = {"name": fact["name"]} if white else {"name": fact["name"], "color": fact.get("color")}
    return Channel(**{**channel.model_dump(), **{k: v for k, v in news.items() if v}})
