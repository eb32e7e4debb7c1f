"""What a stream needs to continue an OME-TIFF: its OME-XML in memory, which frames are on disk, and their IFDs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ImageSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.dataset_metadata import Outcome
from ome_writers.formats.frame_metadata import Journal
from ome_writers.formats.ome_xml import (
    assemble_document,
    axis_letters,
    dimension_order,
    render_planes,
    strip_progress,
    without_warning,
)
from ome_writers.formats.ometiff.entry_file import find_entry_file
from ome_writers.formats.ometiff.frame_metadata import read_frames
from ome_writers.formats.ometiff.ifd_repair import IfdRepair
from ome_writers.formats.ometiff.layout import is_set
from ome_writers.formats.ometiff.metadata import TiffMetadata, stored_settings
from ome_writers.formats.ometiff.stored_documents import StoredDocuments, load_documents
from ome_writers.formats.resumption import (
    Reopened,
    ResumableDataset,
    all_attempts,
    finish_attempts,
    frame_mask,
)
from ome_writers.routing import PageOrder, Plan
from ome_writers.storage import ExistingArray, files

Mask = NDArray[np.bool_]
Numbers = NDArray[np.int64]


def resumable(root: Path) -> ResumableDataset:
    """Return the OME-TIFF at `root`; raise UnsupportedError with the reason why it cannot be continued."""
    try:
        stored = load_documents(root)
    except UnsupportedError as error:
        raise UnsupportedError(str(error).replace("cannot be repaired: ", "")) from error
    info = stored.latest.info
    frames = info.get("frames_written")
    frames = frames if type(frames) is int else 0
    entry = find_entry_file(root) if root.is_dir() else None
    layout = stored.layout
    if entry is not None:
        layout = replace(layout, entry=f"../{entry.name}")
    return ResumableDataset(
        stored.plan,
        layout,
        str(info.get("status")),
        frames,
        None,
        all_attempts(
            info.get("attempts"),
            started=None if stored.began is None else f"{stored.began:%Y-%m-%dT%H:%M:%SZ}",
            ended=info.get("updated"),
            frames=frames,
        ),
        partial(reopen, root),
    )


def reopen(root: Path, dataset: ResumableDataset, repairs: bool) -> Reopened:
    """Return the metadata and frames of a closed dataset, and write its frame metadata to its journals again."""
    if repairs:
        from ome_writers.formats.ometiff.repair import find_problems

        for _ in find_problems(root, dry_run=False):
            pass
    plan, layout = dataset.plan, dataset.layout
    stored = load_documents(layout.output)
    shapes = tuple(map(stored.latest.shape, plan.images))
    planes = [_planes_on_disk(stored, image, shapes[image.number]) for image in plan.images]
    frames = dict(read_frames(layout.output))
    described = []
    for image, mask in zip(plan.images, planes, strict=True):
        entries = [_as_journal_entry(image, entry) for entry in frames.get(image.number, ())]
        _write_journal(layout.root / layout.journals[image.number], entries)
        indices = [entry["storage_index"] for entry in entries]
        described.append(frame_mask(plan, image.number, mask.shape, indices))
    journal = Journal.open_existing(
        layout.root, layout.journals, durable=plan.settings.durability == "disk"
    )
    ifds = _page_ifds(stored, plan, shapes, planes)
    metadata = _ContinuedMetadata(plan, layout)
    metadata.resume(stored, shapes, journal, dataset)
    existing = [
        ExistingArray(shape, mask, ifds[image.key])
        for image, full, mask in zip(plan.images, shapes, planes, strict=True)
        for shape in image.level_shapes(full)
    ]
    return Reopened(metadata, journal, tuple(existing), tuple(planes), tuple(described), {})


def _planes_on_disk(stored: StoredDocuments, image: ImageSpec, shape: Sequence[int]) -> Mask:
    """Return which planes of an image have a frame: all but those that the document lists."""
    mask = np.ones(shape[:-2], bool)
    if not stored.latest.info.get("frames_written"):
        return ~mask
    listed = stored.latest.info.get("planes_without_frames")
    runs = listed.get(str(image.number), ()) if isinstance(listed, dict) else ()
    axes = axis_letters(image)
    flat = mask.reshape(-1)
    for run in runs:
        *index, count = run
        at = [0] * mask.ndim
        for letter, i in zip("TCZ", index, strict=True):
            if letter in axes:
                at[axes[letter]] = i
        first = int(np.ravel_multi_index(at, mask.shape)) if at else 0
        flat[first : first + count] = False
    return mask


def _page_ifds(
    stored: StoredDocuments, plan: Plan, shapes: Sequence[Sequence[int]], planes: Sequence[Mask]
) -> dict[str, tuple[Numbers, Numbers]]:
    """Return the pages with a frame in the new `plan`, and the offsets of their IFDs; see `storage.ExistingArray`."""
    found: dict[str, tuple[Numbers, Numbers]] = {}
    for key in dict.fromkeys(image.key for image in plan.images):
        chain = IfdRepair(files.path_below(stored.layout.root, key))
        try:
            chain.refuse_foreign()
        except UnsupportedError as error:
            raise UnsupportedError(str(error).replace("repaired", "resumed")) from error
        members = [image.number for image in plan.images if image.key == key]
        before, after = (
            PageOrder([each.images[number].array for number in members])
            for each in (stored.plan, plan)
        )
        old, new = (
            np.concatenate(
                [order.pages(n, shapes[i])[planes[i]].ravel() for n, i in enumerate(members)]
            )
            for order in (before, after)
        )
        if stored.files.renumbers:  # the chain has the remaining pages only
            old = np.searchsorted(before.pages_within([shapes[i] for i in members]), old)
        if old.max(initial=0) >= len(chain):
            raise UnsupportedError(
                f"{chain.path} cannot be resumed: it has {len(chain)} pages, its metadata {old.max() + 1}. Run "
                f"`ome-writers validate`."
            )
        order = np.argsort(new)
        found[key] = new[order], chain.ifds[old[order]]
    return found


def _as_journal_entry(image: ImageSpec, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return frame metadata with the storage index of the image instead of T, C and Z in DimensionOrder."""
    axes = axis_letters(image)
    order = dimension_order(image)[:1:-1]
    by_letter = dict(zip(order, entry["storage_index"], strict=True))
    index = [0] * len(image.array.index_shape)
    for letter, axis in axes.items():
        index[axis] = by_letter[letter]
    return {**entry, "storage_index": index}


def _write_journal(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    if not entries:
        path.unlink(missing_ok=True)
        return
    lines = (json.dumps(e, separators=(",", ":"), ensure_ascii=False) for e in entries)
    content = "".join(f"{line}\n" for line in lines).encode(errors="replace")
    files.atomic_write(path, content, durable=True)


class _ContinuedMetadata(TiffMetadata):
    """The metadata of a dataset that several streams have written."""

    def resume(
        self,
        stored: StoredDocuments,
        shapes: tuple[tuple[int, ...], ...],
        journal: Journal,
        dataset: ResumableDataset,
    ) -> None:
        """Continue the documents of a closed dataset, whose images have these shapes."""
        # first as it was closed, to find what clients have edited
        self._settings = stored.latest.info.get("settings")
        self.adopt(stored)
        status: Any = stored.latest.info["status"]
        frames = stored.latest.info.get("frames_written", 0)
        self._outcome = Outcome(status, frames, shapes, time=stored.updated)
        for image in self._plan.images:
            if journal.count(image.number):
                lines = partial(journal.lines, image.number)
                planes = render_planes(image.number, lines, axis_letters(image))
                self._planes[image.number] = planes
        body = self._body()
        urns = self._files.uuids if is_set(self._plan) else {}
        for number, text in stored.texts.items():
            generated = assemble_document(body, urns.get(number))
            if strip_progress(without_warning(text)) == strip_progress(generated):
                self._edited.pop(number, None)
        self._planes.clear()
        self._adopted = {
            k: v for k, v in self._adopted.items() if k not in ("planes_without_frames", "settings")
        }
        self._adopted["attempts"] = list(dataset.attempts)
        self._settings = stored_settings(self._plan)
        growing = [image.array.growing for image in self._plan.images]
        planned = tuple(
            image.shape
            if axis is None
            else (*image.shape[:axis], shape[axis], *image.shape[axis + 1 :])
            for image, axis, shape in zip(self._plan.images, growing, shapes, strict=True)
        )
        self._outcome = Outcome("writing", dataset.frames_written, planned, time=stored.updated)
        self._refresh()
        self._dirty = set(self._files.keys)

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        info = {**self._adopted, "updated": outcome.timestamp}
        finish_attempts(info, outcome.frames_written)
        self._adopted["attempts"] = info["attempts"]
        super().finish(outcome, journal)
