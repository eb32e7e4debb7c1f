"""Survey of an OME-TIFF whose writer was killed: which planes were written, and which IFDs they are. Writes nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ImageSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import Outcome
from ome_writers.formats.frame_metadata import latest_entries
from ome_writers.formats.ometiff.layout import ifd_runs
from ome_writers.formats.ometiff.metadata import MISSING_AT_CLOSE
from ome_writers.routing import PageOrder
from ome_writers.untrusted import MAX_FRAMES, check_count

if TYPE_CHECKING:
    from ome_writers.formats.frame_metadata import Journal
    from ome_writers.formats.ometiff.ifd_repair import IfdRepair
    from ome_writers.formats.ometiff.stored_documents import StoredDocument, StoredDocuments


def survey(stored: StoredDocuments, chains: Mapping[str, IfdRepair], journal: Journal) -> Outcome:
    """Return what `close` would have recorded of the frames on disk.

    None of the `stored` documents has a final status; `chains` maps file names to IFD chains.
    """
    masks = []
    for image in stored.plan.images:
        pages = _pages(stored, image, chains)
        _refuse_other_ifds(stored, image, pages)
        mask = np.isin(pages, chains[image.key].pages_with_pixels)
        _exclude(stored.latest.info, image.number, mask)
        for entry in latest_entries(journal.lines(image.number)):
            index = tuple(entry["storage_index"])
            if len(index) == mask.ndim and all(map(int.__lt__, index, mask.shape)):
                mask[index] = True
        masks.append(mask)
    frames = sum(int(mask.sum()) for mask in masks)
    complete = frames == stored.plan.distinct_frames
    shapes, empty = [], {}
    for image, mask in zip(stored.plan.images, masks, strict=True):
        shapes.append(_final_shape(stored, image, mask, complete=complete))
        missing = ~mask[tuple(map(slice, shapes[-1][:-2]))]
        if missing.any():
            empty[image.number] = missing
    return Outcome(
        "complete" if complete else "failed",
        frames,
        tuple(shapes),
        time=stored.updated,
        empty_planes=empty,
    )


def _exclude(info: Mapping[str, Any], image: int, found: NDArray[np.bool_]) -> None:
    """Clear the planes of an image that an annotation lists; what is not a list of such planes is ignored."""
    by_image = info.get(MISSING_AT_CLOSE)
    listed = by_image.get(str(image)) if isinstance(by_image, dict) else None
    shape = listed.get("shape") if isinstance(listed, dict) else None
    if (
        not isinstance(shape, list)
        or len(shape) != found.ndim
        or not all(type(n) is int and 0 < n <= m for n, m in zip(shape, found.shape, strict=True))
    ):
        return
    missing = np.zeros(math.prod(shape), bool)
    runs = listed.get("runs") if isinstance(listed, dict) else None
    for run in runs if isinstance(runs, list) else ():
        if isinstance(run, list) and len(run) == 2 and all(type(n) is int and n >= 0 for n in run):
            missing[run[0] : run[0] + run[1]] = True
    found[tuple(map(slice, shape))] &= ~missing.reshape(shape)


def outcome_of_closed(stored: StoredDocuments, closed: StoredDocument) -> Outcome:
    """Return what a document with a final status records."""
    written = closed.info.get("frames_written")
    return Outcome(
        closed.info["status"],
        written if isinstance(written, int) else 0,
        tuple(map(closed.shape, stored.plan.images)),
        time=stored.updated,
    )


def kept_ifds(stored: StoredDocuments, outcome: Outcome) -> dict[str, list[int]]:
    """Return file name to the sorted IFDs, in the current chain, that the OME-XML of `outcome` refers to.

    Those between are included if the OME-XML does not renumber them.
    """
    plan = stored.plan
    if stored.closed is None and stored.files.renumbers:
        order = PageOrder([image.array for image in plan.images])
        return {plan.images[0].key: order.pages_within(outcome.shapes).tolist()}
    runs = ifd_runs(plan, stored.files, outcome.shapes, writing=False)
    ends = dict.fromkeys((image.key for image in plan.images), 0)
    for image, of_image in zip(plan.images, runs, strict=True):
        ends[image.key] = max(ends[image.key], *(ifd + count for _, ifd, count in of_image.runs))
    return {name: list(range(end)) for name, end in ends.items()}


def _pages(
    stored: StoredDocuments, image: ImageSpec, chains: Mapping[str, IfdRepair]
) -> NDArray[np.int64]:
    """Return the IFD of each plane of an image, by storage index; of a growing one, of all planes in the chain."""
    members = [each for each in stored.plan.images if each.key == image.key]
    order = PageOrder([each.array for each in members])
    shape = list(image.shape)
    if image.array.growing is not None:
        shape[image.array.growing] = len(chains[image.key]) // order.pages_per_row
    check_count(math.prod(shape[:-2]), f"{image.key}: the number of planes", MAX_FRAMES)
    return order.pages([each.number for each in members].index(image.number), shape)


def _refuse_other_ifds(stored: StoredDocuments, image: ImageSpec, pages: NDArray[np.int64]) -> None:
    """Raise UnsupportedError unless the TiffData of an image refer to these IFDs."""
    in_dimension_order = np.moveaxis(pages, image.array.growing or 0, 0) if pages.ndim else pages
    expected = in_dimension_order.ravel()
    for run in stored.latest.plane_runs(image.number):
        ifds = expected[run.first : run.first + run.planes]
        if not np.array_equal(ifds, np.arange(run.ifd, run.ifd + len(ifds))):
            raise UnsupportedError(
                f"{stored.layout.output} cannot be repaired: the TiffData of image {image.number} refer to other IFDs "
                f"than this library writes, so another program has rewritten the file. Nothing was changed."
            )


def _final_shape(
    stored: StoredDocuments, image: ImageSpec, mask: NDArray[np.bool_], *, complete: bool
) -> tuple[int, ...]:
    """Return the extents that were written. A growing array is never shrunk below its published shape."""
    growing = image.array.growing
    shape, axis = (
        stored.latest.shape(image),
        image.addressing.slow_axis if growing is None else growing,
    )
    keep = complete or stored.plan.settings.on_incomplete == "keep"
    if axis is None or (growing is None and keep):
        return shape
    reached = int(np.nonzero(mask)[axis].max(initial=-1)) + 1
    extent = min(max(shape[axis], reached), mask.shape[axis]) if growing is not None else reached
    return (*shape[:axis], max(1, extent), *shape[axis + 1 :])
