"""Axes of an OME-TIFF, which OME-XML calls T, C and Z whatever they are, and levels, which it does not describe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ome_writers.dataset import ImageSpec
from ome_writers.formats.ome_xml import ACQUISITION_ORDER, axis_letters
from ome_writers.formats.ome_xml.text import representable
from ome_writers.routing import planned_channels, reduced_level
from ome_writers.settings import Dimension

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element


def on_planned_axes(image: ImageSpec, planned: ImageSpec) -> ImageSpec:
    """Return an image of this library with the axes, resolution levels and names of its plan.

    An edited name differs from what XML can represent of the planned one.
    """
    axes = axis_letters(planned)
    order = [*sorted(axes, key=axes.__getitem__), "Y", "X"]
    at = [image.dims.index(letter.lower()) for letter in order]
    level = image.levels[0]
    dimensions = planned.levels[0].dimensions
    stored_units = (level.dimensions[i].unit for i in at)
    full = replace(
        level,
        shape=tuple(level.shape[i] for i in at),
        chunks=planned.levels[0].chunks,
        scale=tuple(level.scale[i] or d.scale for i, d in zip(at, dimensions, strict=True)),
        translation=tuple(d.translation or 0.0 for d in dimensions),
        dimensions=tuple(
            dim.model_copy(update={"unit": unit}) if unit and unit != dim.unit else dim
            for dim, unit in zip(dimensions, stored_units, strict=True)
        ),
        checksum=planned.levels[0].checksum,
    )
    smaller = (
        replace(
            reduced_level(full, each.shape(full.shape), each.factors, each.offsets),
            chunks=level.chunks,
        )
        for level in planned.levels
        if (each := level.reduction) is not None
    )
    coords = [coord for dim in dimensions[:-2] for coord in dim.coords or ()]
    names = [planned.name, *(str(getattr(coord, "name", "")) for coord in coords)]
    if not "".join(names).isprintable():
        image = _with_planned_names(image, planned, full.shape)
    return replace(
        image,
        levels=(full, *smaller),
        index_axes=tuple(
            dimensions[axes[name.upper()]].name if name and name.upper() in axes else None
            for name in image.index_axes
        ),
    )


def _with_planned_names(image: ImageSpec, planned: ImageSpec, shape: tuple[int, ...]) -> ImageSpec:
    """Return an image with the planned names of which XML can represent no more than it has."""
    channels = list(image.channels)
    for i, one in enumerate(planned_channels(planned.levels[0], shape)[: len(channels)]):
        if channels[i].name == representable(one.name):
            channels[i] = channels[i].model_copy(update={"name": one.name})
    name = planned.name if image.name == representable(planned.name) else image.name
    return replace(image, name=name or image.name, channels=tuple(channels))


def with_levels_of_page(
    image: ImageSpec, first: ImageSpec, shapes: Sequence[tuple[int, int]]
) -> ImageSpec:
    """Return an image of another program with its resolution levels.

    `shapes` are those of the first page of the image `first`; other images have them if their planes are as large. The
    levels are assumed to cover the extent of full resolution.
    """
    (full,) = image.levels
    levels = [full]
    for yx in shapes if full.shape[-2:] == first.shape[-2:] else ():
        shape = (*full.shape[:-2], *yx)
        factors = [n / m for n, m in zip(full.shape, shape, strict=True)]
        levels.append(reduced_level(full, shape, factors, [(f - 1) / 2 for f in factors]))
    return replace(image, levels=tuple(levels))


def with_tiles(
    image: ImageSpec, first: ImageSpec, tiles: Sequence[tuple[int, int] | None]
) -> ImageSpec:
    """Return an image whose chunks are tiles, or planes.

    `tiles` are those of the levels of the first page of the image `first`; see `with_levels_of_page`.
    """
    if image.shape[-2:] != first.shape[-2:]:
        return image
    levels = [
        replace(level, chunks=(*level.chunks[:-2], *(tile or level.shape[-2:])))
        for level, tile in zip(image.levels, tiles, strict=False)
    ]
    return replace(image, levels=(*levels, *image.levels[len(levels) :]))


def stored_dimensions(
    element: Element, images: Sequence[ImageSpec], *, endless: bool
) -> tuple[list[ImageSpec], list[Dimension]]:
    """Return images and dimensions without the axes of length 1 that OME-XML requires of every image.

    The time axis of a dataset without a planned end stays, and a channel that has a name or a color.
    """
    first = images[0]
    largest = [max(image.shape[i] for image in images) for i in range(len(first.axes))]
    kept = [
        i
        for i, axis in enumerate(first.axes)
        if axis.name in "yx"
        or largest[i] > 1
        or (axis.name == "t" and endless)
        or (axis.name == "c" and first.samples == 1 and _is_named(element))
    ]
    images = [_with_axes(image, kept) for image in images]
    first = images[0]
    dimensions = []
    for i, axis in zip(kept, first.axes, strict=True):
        coords = list(first.channels) if axis.type == "channel" else None
        scale = first.levels[0].scale[first.dims.index(axis.name)]
        dimensions.append(
            Dimension(
                name=axis.name,
                count=largest[i],
                type=axis.type,
                coords=coords,
                unit=axis.unit,
                scale=scale,
            )
        )
    if len(images) > 1 or element.find("{*}StageLabel") is not None:
        positions = [image.position or image.name for image in images]
        dimensions.insert(0, Dimension(name="p", type="position", coords=positions))
    order = _acquisition_order(element)
    if sorted(order) == sorted(d.name for d in dimensions[:-2]):
        dimensions[:-2] = sorted(dimensions[:-2], key=lambda d: order.index(d.name))
    return images, dimensions


def _with_axes(image: ImageSpec, kept: Sequence[int]) -> ImageSpec:
    def pick(values: Sequence[Any]) -> Any:
        return tuple(values[i] for i in kept)

    level = image.levels[0]
    level = replace(
        level,
        shape=pick(level.shape),
        chunks=pick(level.chunks),
        scale=pick(level.scale),
        translation=pick(level.translation),
        dimensions=pick(level.dimensions),
    )
    index_axes = tuple(image.dims[i] if i in kept else None for i in range(len(image.dims) - 2))
    return replace(image, levels=(level,), index_axes=index_axes)


def _is_named(image: Element) -> bool:
    channel = image.find("{*}Pixels/{*}Channel")
    return channel is not None and bool(channel.get("Name") or channel.get("Color"))


def _acquisition_order(image: Element) -> list[str]:
    """Return the axes in the order of acquisition that earlier versions wrote into the description."""
    match = re.search(rf"{ACQUISITION_ORDER}(.*)\.", image.findtext("{*}Description", ""))
    return match[1].split(", ") if match else []
