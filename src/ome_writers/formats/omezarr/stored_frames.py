"""What a stream needs to continue an OME-Zarr: its metadata in memory, and which frames are on disk."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ImageSpec, LevelSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import Outcome
from ome_writers.formats.frame_metadata import Journal
from ome_writers.formats.omezarr.array_survey import ChunkListing, list_chunks
from ome_writers.formats.omezarr.continued_metadata import ContinuedMetadata
from ome_writers.formats.omezarr.derived import stored_label
from ome_writers.formats.omezarr.layout import stored_layout
from ome_writers.formats.omezarr.node_metadata import (
    group_attributes,
    ome_writers_attributes,
    parse_array_metadata,
    read_settings,
)
from ome_writers.formats.omezarr.parse import read_image_frames
from ome_writers.formats.omezarr.shard_recovery import ShardRecovery
from ome_writers.formats.resumption import (
    Reopened,
    ResumableDataset,
    all_attempts,
    frame_mask,
)
from ome_writers.formats.stored_settings import plan_from_settings
from ome_writers.routing import Plan
from ome_writers.settings import find_engine
from ome_writers.storage import ExistingArray, files
from ome_writers.storage.zarr import EMPTY, ChunkReader, Grid
from ome_writers.untrusted import check_shape, moved_files, read_json_object

Mask = NDArray[np.bool_]


def resumable(root: Path) -> ResumableDataset:
    """Return the OME-Zarr at `root`; raise UnsupportedError with the reason why it cannot be continued."""
    own = ome_writers_attributes(root)
    settings = read_settings(root)
    if settings is None:
        raise UnsupportedError("ome-writers did not write it")
    try:
        plan, layout = stored_layout(plan_from_settings(settings), root)
    except UnsupportedError as error:
        raise UnsupportedError(f"its settings are those of another version ({error})") from error
    backend = plan.settings.format.backend
    row = find_engine(backend)
    if backend != "auto" and (row is None or not row.random_access):
        raise UnsupportedError(f"backend {backend!r} cannot continue its own shards")
    for image in plan.images:
        _refuse_other_arrays(root, image)
    counts = own.get("frames")
    counts = counts if isinstance(counts, dict) else {}
    written = counts.get("written")
    frames = written if type(written) is int else 0
    in_order = counts.get("in_order")
    return ResumableDataset(
        plan,
        layout,
        str(own.get("status")),
        frames,
        in_order if type(in_order) is int else None,
        all_attempts(
            own.get("attempts"),
            started=own.get("started"),
            ended=own.get("updated"),
            frames=frames,
        ),
        partial(reopen, root),
    )


def _refuse_other_arrays(root: Path, image: ImageSpec) -> None:
    """Raise UnsupportedError if the arrays of an image are not those of its settings."""
    planned = image.array
    metadata = read_json_object(root / planned.key / "zarr.json", root)
    if not metadata:
        return  # missing or truncated: repair writes it again
    stored = parse_array_metadata(metadata, f"{root}/{planned.key}")
    check_shape(stored.shape, f"{root}/{planned.key}", axes=len(planned.shape))
    if (stored.chunks, stored.shards) != (planned.chunks, planned.shards):
        raise UnsupportedError(
            "the chunks on disk are not those of its settings: another backend or program wrote them"
        )


def reopen(root: Path, dataset: ResumableDataset, repairs: bool) -> Reopened:
    """Return the metadata and frames of a closed dataset, and write its frame metadata to its journals again.

    The plan of `dataset` may have a longer first axis than the arrays on disk.
    """
    listings: dict[str, ChunkListing] = {}
    if repairs:
        from ome_writers.formats.omezarr.repair import repair

        listings = repair(root)
    plan, layout = dataset.plan, dataset.layout
    in_order = _masks_in_order(plan, dataset.frames_in_order or 0)
    shapes, planes, described = [], [], []
    for image in plan.images:
        shapes.append([_shape(root, level) for level in image.levels])
        frames = read_image_frames(root, image.key)
        _restore_journal(root / layout.journals[image.number], frames)
        indices = [frame["storage_index"] for frame in frames]
        known = in_order[image.number]
        found = _planes_on_disk(root, image, known, listings.get(image.array.key))
        planes.append(found)
        described.append(frame_mask(plan, image.number, _in_frames(image, found).shape, indices))
    journal = Journal.open_existing(
        root,
        layout.journals,
        durable=plan.settings.durability == "disk",
        encode_address=layout.encode_address,
    )
    metadata = ContinuedMetadata(plan, layout, label=stored_label(root))
    groups = {path: group_attributes(root / path) for path in metadata.paths}
    groups = {path: found for path, found in groups.items() if found}
    current = tuple(tuple(level[0]) for level in shapes)
    planned = tuple(
        _writing_shape(image, shape) for image, shape in zip(plan.images, current, strict=True)
    )
    outcome = Outcome("writing", dataset.frames_written, planned)
    windows = metadata.resume(groups, current, outcome, dataset.attempts)
    existing = [
        ExistingArray(shape, _at_level(mask, image, level))
        for image, of_image, mask in zip(plan.images, shapes, planes, strict=True)
        for level, shape in enumerate(of_image)
    ]
    frames_found = [_in_frames(*pair) for pair in zip(plan.images, planes, strict=True)]
    return Reopened(
        metadata, journal, tuple(existing), tuple(frames_found), tuple(described), windows
    )


def _writing_shape(image: ImageSpec, shape: tuple[int, ...]) -> tuple[int, ...]:
    axis = image.array.growing
    return (
        image.shape
        if axis is None
        else (*image.shape[:axis], *shape[axis : axis + 1], *image.shape[axis + 1 :])
    )


def _shape(root: Path, level: LevelSpec) -> tuple[int, ...]:
    """Return the shape of an array on disk."""
    metadata = read_json_object(root / level.key / "zarr.json", root)
    return tuple(metadata.get("shape", level.shape))


def _restore_journal(path: Path, frames: Sequence[dict[str, Any]]) -> None:
    """Write the frame metadata that the attributes of a group contain to the journal, unless it is there."""
    if not frames or path.is_file():
        return
    lines = (json.dumps(frame, allow_nan=False, ensure_ascii=False) for frame in frames)
    content = "".join(f"{line}\n" for line in lines).encode(errors="replace")
    files.atomic_write(path, content, durable=True)


def _masks_in_order(plan: Plan, frames: int) -> list[Mask | None]:
    """Return, by image, which frames are among the first `frames` in acquisition order; None: it does not matter."""
    if all(math.prod(image.array.chunks[:-2]) == 1 for image in plan.images):
        return [None] * len(plan.images)
    images, index = plan.router.address_arrays(0, frames)
    masks: list[Mask | None] = []
    for image in plan.images:
        own = index[images == image.number]
        mask = np.zeros(own.max(axis=0, initial=-1) + 1, bool)
        mask[tuple(own.T)] = True
        masks.append(mask)
    return masks


def _planes_on_disk(
    root: Path, image: ImageSpec, in_order: Mask | None, listing: ChunkListing | None
) -> Mask:
    """Return which planes of an image are on disk: of chunks with several, those of known frames or with pixels."""
    level = image.array
    grid = Grid(level)
    cells = _complete_cells(root, level, grid, listing)
    if grid.depth == 1:
        return cells
    mask = cells
    for axis, extent in enumerate(grid.chunk):
        mask = np.repeat(mask, extent, axis=axis)
    known = np.zeros(mask.shape, bool)
    if in_order is not None:
        addressing = image.addressing
        if addressing.plane_axis is not None:
            in_order = np.repeat(in_order, addressing.planes, axis=addressing.plane_axis)
        window = tuple(slice(min(a, b)) for a, b in zip(mask.shape, in_order.shape, strict=True))
        known[window] = in_order[window]
    chunks = ChunkReader(root / level.key, level)
    for cell in np.argwhere(cells).tolist():
        window = tuple(slice(i * n, (i + 1) * n) for i, n in zip(cell, grid.chunk, strict=True))
        if known[window].sum() >= grid.planes_in(tuple(cell)):
            continue
        column = chunks.column(tuple(cell))
        if column is None:
            mask[window] = False
            continue
        filled = np.moveaxis(column, 1, 0).reshape(grid.depth, -1).any(axis=1)
        mask[window] &= known[window] | filled.reshape(grid.chunk)
    return mask


def _complete_cells(root: Path, level: LevelSpec, grid: Grid, listing: ChunkListing | None) -> Mask:
    """Return which cells (see `Grid`) have all of their chunks on disk."""
    recovery = ShardRecovery(level)
    rank = len(level.chunks) - 2
    per_file = recovery.encoding.per_file if grid.sharded else (1,) * len(level.chunks)
    listed = (listing or list_chunks(root / level.key, level, quick=True)).chunks
    found_moved = moved_files(root)
    moved = [] if found_moved is None else [*found_moved.chunks(level.key, len(level.chunks))]
    coordinates = [coordinate for coordinate, *_ in (*listed, *moved)]
    at = np.asarray(coordinates, np.int64).reshape(-1, rank + 2)
    extent = (at[:, :rank].max(axis=0, initial=-1) + 1) * per_file[:rank]
    counts = np.zeros(extent, np.int32)
    if not grid.sharded:
        np.add.at(counts, tuple(at[:, :rank].T), 1)
    for coordinate, path, _ in listed if grid.sharded else ():
        if (index := recovery.read_index(Path(path), coordinate)) is not None:
            _count_chunks(counts, coordinate, index.entries, per_file)
    for coordinate, file in moved if grid.sharded else ():
        _count_chunks(counts, coordinate, recovery.decode_index(file.shard_index), per_file)
    complete: Mask = counts == math.prod(grid.tiles)
    return complete


def _count_chunks(
    counts: NDArray[np.int32],
    shard: tuple[int, ...],
    entries: NDArray[np.uint64],
    per_file: Sequence[int],
) -> None:
    """Add the chunks of a shard to the number of chunks of each cell."""
    present = (entries[:, 0] != EMPTY).reshape(per_file).sum(axis=(-2, -1))
    window = tuple(
        slice(i * n, (i + 1) * n) for i, n in zip(shard, per_file[: counts.ndim], strict=False)
    )
    counts[window] += present


def _in_frames(image: ImageSpec, planes: Mask) -> Mask:
    """Return which frames have all of their planes."""
    addressing = image.addressing
    axis, count = addressing.plane_axis, addressing.planes
    if axis is None:
        return planes
    whole = planes.shape[axis] // count * count
    parts = [np.take(planes, range(k, whole, count), axis=axis) for k in range(count)]
    result: Mask = np.logical_and.reduce(parts)
    return result


def _at_level(planes: Mask, image: ImageSpec, level: int) -> Mask:
    """Return which planes of a resolution level are on disk: those with a plane at full resolution."""
    if not level:
        return planes
    for axis, factor in enumerate(image.reductions[level - 1].factors[:-2]):
        if factor > 1:
            padding = [(0, -n % factor if i == axis else 0) for i, n in enumerate(planes.shape)]
            padded = np.pad(planes, padding)
            parts = [
                np.take(padded, range(k, padded.shape[axis], factor), axis) for k in range(factor)
            ]
            planes = np.logical_or.reduce(parts)
    return planes
