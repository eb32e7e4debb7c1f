"""All that an OME-TIFF says: one OME-XML, put into one file, into each of several, or into a companion."""

from __future__ import annotations

import dataclasses
import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.formats.dataset_metadata import (
    Outcome,
    check_global_metadata,
    library_version,
    new_dataset_id,
)
from ome_writers.formats.ome_xml import (
    assemble_document,
    axis_letters,
    binary_only,
    render_body,
    render_planes,
)
from ome_writers.formats.ome_xml.annotations import render_progress, reserve_progress
from ome_writers.formats.ometiff.entry_file import render_entry_file
from ome_writers.formats.ometiff.layout import TiffSet, ifd_runs, is_set
from ome_writers.formats.strict_json import to_plain_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray
    from ome_types.model import OME

    from ome_writers.formats.dataset_metadata import Layout, Patch
    from ome_writers.formats.frame_metadata import Journal
    from ome_writers.formats.ome_xml import Body, RenderedPlanes
    from ome_writers.formats.ometiff.models import EditedDocument
    from ome_writers.routing import Plan

__all__ = ["TiffMetadata"]


class TiffMetadata:
    """The documents of one OME-TIFF; see `DatasetMetadata`.

    As long as nobody edits them they follow from plan, outcome and journal. Edited ones are the user's, but for
    what only the files know: sizes, and where the planes are.
    """

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._plan = plan
        self._layout = layout
        self._files = TiffSet.of(plan, layout)
        self._id = new_dataset_id()
        self._settings = plan.settings.model_dump(mode="json")
        self._began = datetime.datetime.now(datetime.timezone.utc)
        shapes = tuple(i.array.shape for i in plan.images)
        self._outcome = Outcome("writing", 0, shapes, time=self._began)
        self._globals: dict[str, Mapping[str, Any]] = {}
        self._planes: dict[int, RenderedPlanes] = {}
        self._edited: dict[int, EditedDocument] = {}
        self._dirty = set(self._files.keys)
        self._progress: Patch | None = (
            None  # the part of the first document that changes with each flush
        )
        self._obsolete: list[int] = []

    def render(self) -> Iterator[tuple[str, bytes]]:
        """Yield the documents that changed; see `DatasetMetadata.render`."""
        dirty, self._dirty = self._dirty, set()
        body, first = None, b""
        # elements that name files name their own, too
        urns = self._files.uuids if is_set(self._plan) else {}
        for number, key in self._files.keys.items():
            if number not in dirty:
                continue
            if number in self._files.parts:
                yield key, self._pointer(number)
                continue
            if number in self._edited:
                text = self._edited[number].document(self._files.uuids[number])
            else:
                body = body or self._body()
                text = assemble_document(body, urns.get(number))
            if number == self._files.whole[0]:
                first = text
                if self._outcome.status == "writing":
                    text, self._progress = reserve_progress(text, key)
            yield key, text
        if first and self._layout.entry:
            yield self._layout.entry, render_entry_file(first, self._layout.root.name)

    def update_progress(self, outcome: Outcome) -> tuple[Patch, ...]:
        """Record how far the acquisition is, in place, in the first document that holds everything."""
        self._outcome = dataclasses.replace(outcome, shapes=self._outcome.shapes)
        if self._progress is None:
            return ()
        new = render_progress(outcome.frames_written, outcome.timestamp)
        patch = self._progress._replace(new=new)
        self._progress = patch._replace(old=new)
        return (patch,) if patch.new != patch.old else ()

    def grow(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Take note of the shapes that the arrays show from now on."""
        if tuple(shapes) != self._outcome.shapes:
            self._outcome = dataclasses.replace(self._outcome, shapes=tuple(shapes))
            self._refresh()

    def get_metadata(self) -> dict[int, OME]:
        """Return a model of each document: number of the position to `ome_types.model.OME`, -1 for a companion.

        The models share the elements that all files have in common.
        """
        from ome_writers.formats.ometiff.models import models

        common = None
        if any(n not in self._edited for n in self._files.whole):
            common = assemble_document(
                self._body(bare=True), self._files.uuids[self._files.whole[0]]
            )
        pointers = {number: self._pointer(number) for number in self._files.parts}
        return models(self._files.uuids, common, self._planes, self._edited, pointers)

    def update_metadata(self, metadata: Any) -> None:
        """Take over models of documents, as `get_metadata` returns them.

        Files that only point to the metadata of another keep doing so.

        Raises
        ------
        TypeError
            If `metadata` is no dict of position number to model.
        KeyError
            If there is no such position.
        """
        from ome_writers.formats.ometiff.models import check_models, edit

        check_models(metadata, self._files.keys)
        given = {n: model for n, model in metadata.items() if n in self._files.whole}
        for number, edited in edit(given, self._body(bare=True), self._planes).items():
            self._edited[number] = edited
            self._dirty.add(number)

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Attach `metadata` to the whole acquisition; see `DatasetMetadata`."""
        check_global_metadata(namespace, metadata)
        self._globals[namespace] = pairs = to_plain_json(metadata)
        for edited in set(self._edited.values()):
            edited.annotate(namespace, pairs)
        self._dirty.update(self._files.whole)

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        """Take in how the acquisition ended; see `DatasetMetadata.finish`."""
        self._outcome = outcome
        for image in self._plan.images:
            number = image.number
            if journal.count(number):
                lines = partial(journal.lines, number)
                self._planes[number] = render_planes(number, lines, axis_letters(image))
                self._obsolete.append(number)
        self._refresh()

    def embedded_journals(self) -> tuple[int, ...]:
        """Return the images whose journal is embedded: all that have one."""
        return tuple(self._obsolete)

    def _refresh(self) -> None:
        """Have all documents that say everything say what is known now."""
        if self._edited:
            facts = self._body(bare=True)
            for edited in set(self._edited.values()):
                edited.refresh(facts, self._planes)
        self._dirty.update(self._files.whole)

    def _pointer(self, number: int) -> bytes:
        target = self._files.whole[0]
        return binary_only(
            self._files.uuids[number], self._files.keys[target], self._files.uuids[target]
        )

    def _body(self, *, bare: bool = False) -> Body:
        """Return what all files say; `bare` leaves out the Plane elements, which there may be thousands of."""
        shapes, writing = self._outcome.shapes, self._outcome.status == "writing"
        planes = (
            {n: of_image.annotations_only for n, of_image in self._planes.items()}
            if bare
            else self._planes
        )
        return render_body(
            self._plan,
            shapes,
            began=self._began,
            pages=ifd_runs(self._plan, self._layout, self._files, shapes, writing=writing),
            planes=planes,
            metadata=self._globals,
            info=self._state(),
        )

    def _state(self) -> dict[str, Any]:
        state: dict[str, Any] = {
            "id": self._id,
            "version": library_version(),
            "status": self._outcome.status,
            "frames_expected": self._plan.frames,
            "frames_written": self._outcome.frames_written,
            "updated": self._outcome.timestamp,
        }
        if self._plan.settings.on_incomplete == "keep":
            state["on_incomplete"] = "keep"
        # OME-XML has words for even steps only, and none for where they begin or for a stack that descends
        planned = {
            d.name: list(d.coords)
            for d in self._plan.settings.dimensions[:-2]
            if d.coords and all(isinstance(each, (int, float)) for each in d.coords)
        }
        if planned:
            state["coords"] = planned
        if self._outcome.empty_planes:
            state["planes_without_frames"] = {
                str(number): _runs_of(mask, axis_letters(self._plan.images[number]))
                for number, mask in self._outcome.empty_planes.items()
            }
        axes = axis_letters(self._plan.images[0])
        for letter, axis in axes.items():
            if axis == self._plan.images[0].array.growing:
                state["axes"] = "".join(sorted(axes, key=lambda each: axes[each]))
                state["growing"] = letter
        state["settings"] = self._settings
        return state


def _runs_of(mask: NDArray[np.bool_], axes: Mapping[str, int]) -> list[list[int]]:
    """Return [T, C, Z, planes] of each run of planes in the mask, in storage order: its first plane, and how many."""
    flat = mask.ravel()
    edges = np.flatnonzero(np.diff(flat, prepend=False, append=False))
    index = np.unravel_index(edges[::2], mask.shape) if mask.ndim else ()
    columns = [index[axes[c]] if c in axes else np.zeros_like(edges[::2]) for c in "TCZ"]
    runs: list[list[int]] = np.stack([*columns, edges[1::2] - edges[::2]], axis=1).tolist()
    return runs
