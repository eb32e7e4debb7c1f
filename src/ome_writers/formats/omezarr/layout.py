"""Group hierarchy of an OME-Zarr: one image, a collection (bioformats2raw.layout 3), or a plate.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import Layout
from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.omezarr.group_metadata import well_fields
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
