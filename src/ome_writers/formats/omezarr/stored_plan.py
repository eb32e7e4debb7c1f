"""The plan of an OME-Zarr that a writer left behind, from the settings stored in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import UnsupportedError
from ome_writers.formats import plan_from_settings
from ome_writers.formats.omezarr import read_json_object, read_settings, stored_layout
from ome_writers.formats.omezarr.array_metadata import parse_array_metadata
from ome_writers.routing import Plan
from ome_writers.untrusted import check_shape

if TYPE_CHECKING:
    from ome_writers.formats import Layout


def refuse_rewritten(root: Path, plan: Plan) -> None:
    """Raise UnsupportedError if chunks, data type or shape of an array differ from the stored settings."""
    for image in plan.images:
        key = image.array.key
        metadata = read_json_object(root / key / "zarr.json", root)
        if not metadata:
            continue  # missing or truncated: written again from the settings
        planned, stored = image.array, parse_array_metadata(metadata, f"{root}/{key}")
        check_shape(stored.shape, f"{root}/{key}", axes=len(planned.shape))
        differs = []
        if (stored.chunks, stored.shards) != (planned.chunks, planned.shards):
            differs.append("chunks")
        if stored.data_type != planned.dtype:
            differs.append("data type")
        fixed = [axis for axis in range(len(planned.shape)) if axis != planned.growing]
        if any(stored.shape[axis] > planned.shape[axis] for axis in fixed):
            differs.append("shape")
        if differs:
            raise UnsupportedError(
                f"{root} cannot be repaired: {' and '.join(differs)} in {key}/zarr.json differ from the settings that "
                f"the dataset was written with. Another program has rewritten it. Nothing was changed."
            )


def stored_plan(root: Path) -> tuple[Plan, Layout]:
    """Return plan and layout of a dataset from the settings stored in it."""
    stored = read_settings(root)
    if stored is None:
        if not read_json_object(root / "zarr.json"):
            raise UnsupportedError(
                f"{root} cannot be repaired: its zarr.json is missing or not valid JSON."
            )
        raise UnsupportedError(
            f"{root} was not written by this library and cannot be repaired: its zarr.json does not have settings."
        )
    try:
        plan = plan_from_settings(stored)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{root} was written by another version of this library, whose settings are not supported: {error}"
        ) from error
    plan, layout = stored_layout(plan, root)
    return _with_stored_shards(root, plan), layout


def _with_stored_shards(root: Path, plan: Plan) -> Plan:
    """Return the plan with shards that the settings do not have: acquire-zarr writes every chunk in a shard."""
    images = []
    for image in plan.images:
        full = image.array
        metadata = read_json_object(root / full.key / "zarr.json")
        if full.shards is None and metadata:
            stored = parse_array_metadata(metadata, f"{root}/{full.key}")
            if stored.chunks == stored.shards == full.chunks:
                levels = tuple(replace(level, shards=level.chunks) for level in image.levels)
                image = replace(image, levels=levels)
        images.append(image)
    return replace(plan, images=tuple(images))
