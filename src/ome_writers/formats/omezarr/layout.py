"""Group hierarchy of an OME-Zarr: one image, a collection (bioformats2raw.layout 3), or a plate.

Source: https://ngff.openmicroscopy.org/0.5/
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import Layout
from ome_writers.formats.frame_metadata import JOURNAL_NAME
from ome_writers.formats.omezarr.group_metadata import well_fields
from ome_writers.formats.plates import is_plate, plate_layout
from ome_writers.routing import Plan

XML_KEY = "OME/METADATA.ome.xml"
"""The OME-XML of a collection."""


def lay_out(plan: Plan) -> Layout:
    output = Path(plan.settings.output_path)
    if is_plate(plan):
        images = [""] * len(plan.images)
        for well in plate_layout(plan).wells:
            for number, name in well.fields:
                images[number] = f"{well.path}/{name}"
    elif plan.settings.position_dimension_index is None and len(plan.images) == 1:
        images = [""]
    else:
        images = [str(image.number) for image in plan.images]
    return _with_images(Layout(output, output, (), (), ()), plan, images)


def stored_layout(plan: Plan, root: Path) -> Layout:
    """Return the layout of a dataset on disk, with the paths of fields of view from the metadata of the wells."""
    layout = replace(lay_out(plan), root=root, output=root)
    if not is_plate(plan):
        return layout
    images = list(layout.images)
    for well in plate_layout(plan).wells:
        with suppress(KeyError, TypeError, UnsupportedError):  # the metadata is damaged or missing
            stored = well_fields(root, well.path)
            if len(stored) == len(well.fields):
                for (number, _), path in zip(well.fields, stored, strict=True):
                    images[number] = path
    return _with_images(layout, plan, images)


def level_path(level: int) -> str:
    """Return the path of a resolution level in the group of its image."""
    return str(level)


def _with_images(layout: Layout, plan: Plan, images: Sequence[str]) -> Layout:
    return replace(
        layout,
        arrays=tuple(join_key(image, level_path(0)) for image in images),
        levels=tuple(
            tuple(join_key(group, level_path(k)) for k in range(1, 1 + len(image.levels)))
            for image, group in zip(plan.images, images, strict=True)
        ),
        images=tuple(images),
        journals=tuple(join_key(image, JOURNAL_NAME) for image in images),
    )


def join_key(group: str, name: str) -> str:
    return f"{group}/{name}" if group else name
