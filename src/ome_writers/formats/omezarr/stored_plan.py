"""The plan of an OME-Zarr on disk: of its stored settings, and of its arrays, to write them again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers import codecs
from ome_writers.dataset import LevelSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.omezarr.layout import stored_layout
from ome_writers.formats.omezarr.node_metadata import layout_and_groups, read_settings
from ome_writers.formats.omezarr.parse import parse_array
from ome_writers.formats.stored_settings import plan_from_settings, with_stored_arrays
from ome_writers.routing import Plan
from ome_writers.untrusted import check_shape, read_json_object

if TYPE_CHECKING:
    from ome_writers.formats.dataset_metadata import Layout


def plan_of_stored_settings(root: Path) -> tuple[Plan, Layout]:
    """Return plan and layout of a dataset: its stored settings, with its arrays as they are on disk.

    Raises UnsupportedError if the settings are missing or of another version, or the arrays are not those of the
    settings: another program has rewritten them.
    """
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
        plan = plan_from_settings(stored, _listed_images(root))
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{root} was written by another version of this library, whose settings are not supported: {error}"
        ) from error
    plan, layout = stored_layout(plan, root)
    arrays = [[_stored_array(root, level) for level in image.levels] for image in plan.images]
    for image, (full, *_) in zip(plan.images, arrays, strict=True):
        if full is not None:
            _refuse_rewritten(root, image.array, full)
    return with_stored_arrays(plan, arrays), layout


def _listed_images(root: Path) -> int | None:
    """Return the number of images that the group metadata list; None if they are missing or truncated."""
    try:
        return len(layout_and_groups(root)[1])
    except (UnsupportedError, OSError):
        return None


def _stored_array(root: Path, planned: LevelSpec) -> LevelSpec | None:
    """Return an array as it is on disk; None if its metadata are missing or truncated: they are written again."""
    metadata = read_json_object(root / planned.key / "zarr.json", root)
    if not metadata:
        return None
    stored = parse_array(metadata, planned.key, f"{root}/{planned.key}")
    check_shape(stored.shape, f"{root}/{planned.key}", axes=len(planned.shape))
    return stored


def _refuse_rewritten(root: Path, planned: LevelSpec, stored: LevelSpec) -> None:
    """Raise UnsupportedError if chunks, data type or shape of an array differ from the stored settings."""
    differs = []
    # acquire-zarr writes every chunk in a shard
    shards = planned.shards or (stored.shards and planned.chunks)
    if (stored.chunks, stored.shards) != (planned.chunks, shards):
        differs.append("chunks")
    if stored.dtype != planned.dtype:
        differs.append("data type")
    fixed = [axis for axis in range(len(planned.shape)) if axis != planned.growing]
    if any(stored.shape[axis] > planned.shape[axis] for axis in fixed):
        differs.append("shape")
    if differs:
        raise UnsupportedError(
            f"{root} cannot be repaired: {' and '.join(differs)} in {stored.key}/zarr.json differ from the settings "
            f"that the dataset was written with. Another program has rewritten it. Nothing was changed."
        )


def array_plan(level: LevelSpec, *, sharded: bool = True) -> LevelSpec:
    """Return an array for writing as it is on disk, with shards if it has them and `sharded`.

    One with a codec that is not written gets the default.
    """
    known = level.compression in codecs.ZARR_COMPRESSIONS
    return replace(
        level,
        shards=level.shards if sharded else None,
        growing=None,
        order=None,
        reduction=None,
        compression=level.compression if known else "blosc-zstd",
    )
