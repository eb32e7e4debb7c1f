"""The index of a frame by axis name: the same for every format."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats.registry import FormatRow
from ome_writers.formats.stored_settings import plan_from_settings
from ome_writers.routing import coordinate_labels, resolve

if TYPE_CHECKING:
    from ome_writers.dataset import DatasetSpec, ImageSpec
    from ome_writers.routing import Plan
    from ome_writers.settings import Dimension

    FrameIndex = Callable[[int, Sequence[int]], dict[str, Any]]


def frame_index(row: FormatRow, path: Path) -> FrameIndex:
    """Return a function from image number and ``storage_index`` to the index of a frame, by axis of the acquisition.

    A position is identified by its name, as in the coordinates of views, and its axis is called ``p``.
    """
    spec: DatasetSpec | None = row.parse(path) if row.readable else None
    plan = _plan(spec, row.stored_settings(path))
    dimensions = spec.dimensions if spec is not None else plan.settings.dimensions if plan else ()
    positions = next((d for d in dimensions if d.type == "position"), None)
    labels = coordinate_labels(positions.coords or ()) if positions is not None else []
    images = () if spec is None else spec.images

    def of(number: int, stored: Sequence[int]) -> dict[str, Any]:
        image = images[number] if number < len(images) else None
        by_name = _stored(image, stored)
        if plan is not None:
            names = [d.name for d in plan.images[number].array.dimensions[:-2]]
            at = stored if image is None else [by_name.get(name, 0) for name in names]
            index: dict[str, Any] = plan.router.index_of((number, tuple(at)))
            if positions is not None and positions.name in index:
                label = labels[index[positions.name]]
                name = _position_name(dimensions)
                index = {
                    name if k == positions.name else k: label if k == positions.name else i
                    for k, i in index.items()
                }
            return index
        if number < len(labels):
            by_name["p"] = labels[number]
        elif image is not None and image.position is not None:
            by_name["p"] = image.position.name
        return by_name

    return of


def _plan(spec: DatasetSpec | None, settings: Any) -> Plan | None:
    """Return the plan of a dataset of this library; None if its images are others."""
    try:
        if spec is None:
            return plan_from_settings(settings)
        plan = None if spec.settings is None else resolve(spec.settings)
    except (UnsupportedError, ValueError):
        return None
    if plan is None or [i.dims for i in spec.images] != [
        tuple(d.name for d in i.array.dimensions) for i in plan.images
    ]:
        return None
    return plan


def _stored(image: ImageSpec | None, index: Sequence[int]) -> dict[str, Any]:
    names = () if image is None else image.index_axes
    return {name: i for name, i in zip(names, index, strict=False) if name is not None}


def _position_name(dimensions: Sequence[Dimension]) -> str:
    """Return the name of the axis of positions, as views name it."""
    names = [d.name for d in dimensions]
    own = next(d.name for d in dimensions if d.type == "position")
    return own if "p" in names else "p"
