"""Group hierarchy of an OME-Zarr: one image, a collection (bioformats2raw.layout 3), or a plate; scale of a level.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import Layout
from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.plates import is_plate, plate_layout
from ome_writers.routing import Plan

XML_KEY = "OME/METADATA.ome.xml"
"""The OME-XML of a collection."""


def lay_out(plan: Plan) -> tuple[Plan, Layout]:
    return _in_groups(plan, image_keys(plan), Path(plan.settings.output_path))


def stored_layout(plan: Plan, root: Path) -> tuple[Plan, Layout]:
    """Return plan and layout of a dataset on disk."""
    return _in_groups(plan, stored_image_keys(plan, root), root)


def image_keys(plan: Plan) -> list[str]:
    """Return the path of each image's group in a new dataset."""
    images = [str(number) for number in range(len(plan.images))]
    if plan.settings.position_dimension_index is None:
        return [""] if len(images) == 1 else images
    if is_plate(plan):
        for well in plate_layout(plan).wells:
            for number, name in well.fields:
                images[number] = f"{well.path}/{name}"
    return images


def stored_image_keys(plan: Plan, root: Path) -> list[str]:
    """Return the path of each image's group on disk: fields of view as in the metadata of the wells."""
    images = image_keys(plan)
    if images == [""] or not is_plate(plan):
        return images
    from ome_writers.formats.omezarr.node_metadata import well_fields  # not while writing

    for well in plate_layout(plan).wells:
        with suppress(KeyError, TypeError, UnsupportedError):  # the metadata is damaged or missing
            stored = well_fields(root, well.path)
            if len(stored) == len(well.fields):
                for (number, _), path in zip(well.fields, stored, strict=True):
                    images[number] = path
    return images


def level_path(level: int) -> str:
    """Return the path of a resolution level in the group of its image."""
    return str(level)


def _in_groups(plan: Plan, images: Sequence[str], root: Path) -> tuple[Plan, Layout]:
    prefixes = [f"{key}/" if key else "" for key in images]
    paths = [level_path(k) for k in range(max(len(image.levels) for image in plan.images))]
    arrays = (
        [prefix + path for path in paths[: len(image.levels)]]
        for image, prefix in zip(plan.images, prefixes, strict=True)
    )
    journals = tuple(prefix + JOURNAL_NAME for prefix in prefixes)
    return plan.with_keys(images, arrays), Layout(root, root, journals)


def join_key(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name


def compose(
    transformations: Sequence[dict[str, Any]], axes: int, name: str
) -> tuple[list[float], list[float]]:
    """Return scale and translation of transformations that are applied one after the other.

    Raises UnsupportedError if one is not an identity, a scale, a translation or a sequence of these.
    """
    scale, translation = [1.0] * axes, [0.0] * axes
    for each in transformations:
        kind = each.get("type")
        if kind == "scale":
            factors = [float(factor) for factor in each["scale"]]
            scale = [a * b for a, b in zip(scale, factors, strict=True)]
            translation = [a * b for a, b in zip(translation, factors, strict=True)]
        elif kind == "translation":
            offsets = [float(offset) for offset in each["translation"]]
            translation = [a + b for a, b in zip(translation, offsets, strict=True)]
        elif kind == "sequence":
            factors, offsets = compose(each["transformations"], axes, name)
            scale = [a * b for a, b in zip(scale, factors, strict=True)]
            translation = [a * b + c for a, b, c in zip(translation, factors, offsets, strict=True)]
        elif kind != "identity":
            raise UnsupportedError(
                f"{name}: coordinate transformation {kind!r}; identity, scale, translation and sequences of "
                f"these are read."
            )
    return scale, translation
