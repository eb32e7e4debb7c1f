"""The resolution levels of an OME-TIFF: SubIFDs of each page, which OME-XML does not describe."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ome_writers.dataset import ImageSpec
from ome_writers.formats.plan_spec import reduced_level
from ome_writers.routing import ImagePlan


def with_planned_levels(image: ImageSpec, planned: ImagePlan) -> ImageSpec:
    """Return an image of this library with its resolution levels."""
    (full,) = image.levels
    levels = (
        reduced_level(full, level.shape(full.shape), level.factors, level.offsets)
        for level in planned.levels
    )
    return replace(image, levels=(full, *levels))


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
