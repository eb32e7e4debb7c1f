"""Metadata of an OME-TIFF: its OME-XML, in the file, in each file of a set, or in a companion file."""
# Longer than 300 lines: one document, from its plan to its result.

from __future__ import annotations

import dataclasses
import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.formats.dataset_metadata import (
    Outcome,
    check_global_metadata,
    library_version,
    new_dataset_id,
    settings_to_store,
)
from ome_writers.formats.ome_xml import (
    assemble_document,
    axis_letters,
    binary_only,
    render_body,
    render_planes,
    strip_progress,
    with_warning,
    without_warning,
)
from ome_writers.formats.ome_xml.annotations import render_progress, reserve_progress
from ome_writers.formats.ometiff.layout import TiffSet, ifd_runs, is_set
from ome_writers.formats.strict_json import to_plain_json
from ome_writers.routing import Plan

if TYPE_CHECKING:
    from ome_types.model import OME

    from ome_writers.formats.dataset_metadata import Layout, Patch
    from ome_writers.formats.frame_metadata import Journal
    from ome_writers.formats.ome_xml import Body, RenderedPlanes
    from ome_writers.formats.ometiff.edited_document import EditedDocument
    from ome_writers.formats.ometiff.stored_documents import StoredDocuments

MISSING_AT_CLOSE = "missing_at_close"
"""The key of the planes without a frame in the annotation, while `close` gives them pixels of zeros: if the process is
killed then, their IFDs are like those of frames. Image number to the shape of a mask and its runs, see `_runs`."""


class TiffMetadata:
    """Implements `DatasetMetadata`, `SupportsGrow` and `ListsMissingPlanes`.

    Documents are generated from plan, outcome and journal. In a document that the user has edited, only sizes, IFDs and
    frame metadata are kept up to date.
    """

    def __init__(self, plan: Plan, layout: Layout) -> None:
        self._plan = plan
        self._layout = layout
        self._files = TiffSet.of(plan, layout)
        self._id = new_dataset_id()
        self._settings: dict[str, Any] | None = stored_settings(plan)
        self._adopted: dict[str, Any] = {}  # acquisition annotation of an interrupted writer
        self._began = datetime.datetime.now(datetime.timezone.utc)
        shapes = tuple(i.array.shape for i in plan.images)
        self._outcome = Outcome("writing", 0, shapes, time=self._began)
        self._globals: dict[str, Mapping[str, Any]] = {}
        self._planes: dict[int, RenderedPlanes] = {}
        self._edited: dict[int, EditedDocument] = {}
        self._dirty = set(self._files.keys)
        # the bytes of the first document that change at each flush
        self._progress: Patch | None = None
        self._embedded: list[int] = []
        # from the beginning of `close` until its result; see `list_missing`
        self._missing: dict[str, Any] = {}

    def render(self) -> Iterator[tuple[str, bytes]]:
        dirty, self._dirty = self._dirty, set()
        body, first = None, b""
        # UUID elements of a set refer to every file, including the one that contains the document
        urns = self._files.uuids if is_set(self._plan) else {}
        for number, key in self._files.keys.items():
            if number not in dirty:
                continue
            if number in self._files.binary_only:
                yield key, with_warning(self._binary_only_document(number))
                continue
            if number in self._edited:
                text = self._edited[number].document(self._files.uuids[number])
            else:
                body = body or self._body()
                text = assemble_document(body, urns.get(number))
            if number >= 0:  # not a companion file
                text = with_warning(text)
            if number == self._files.complete[0]:
                first = text
                if self._outcome.status == "writing":
                    text, self._progress = reserve_progress(text, key)
            yield key, text
        if first and self._layout.entry:
            from ome_writers.formats.ometiff.entry_file import render_entry_file

            yield self._layout.entry, render_entry_file(first, self._layout.root.name)

    def update_progress(self, outcome: Outcome) -> tuple[Patch, ...]:
        """Patch the frame count in the first complete document."""
        self._outcome = dataclasses.replace(outcome, shapes=self._outcome.shapes)
        if self._progress is None:
            return ()
        new = render_progress(outcome.frames_written, outcome.timestamp)
        patch = self._progress._replace(new=new)
        self._progress = patch._replace(old=new)
        return (patch,) if patch.new != patch.old else ()

    def grow(self, shapes: Sequence[tuple[int, ...]]) -> None:
        if tuple(shapes) != self._outcome.shapes:
            self._outcome = dataclasses.replace(self._outcome, shapes=tuple(shapes))
            self._refresh()

    def list_missing(self, missing: Mapping[int, NDArray[np.bool_]]) -> None:
        self._missing = {
            str(number): {"shape": list(mask.shape), "runs": _runs(mask).tolist()}
            for number, mask in missing.items()
        }
        self._refresh()

    def get_metadata(self) -> dict[int, OME]:
        """Return position number (-1: companion file) to `ome_types.model.OME`; the models share common elements."""
        from ome_writers.formats.ometiff.models import document_models

        common = None
        if any(n not in self._edited for n in self._files.complete):
            common = assemble_document(self._body(), self._files.uuids[self._files.complete[0]])
        pointers = {
            number: self._binary_only_document(number) for number in self._files.binary_only
        }
        return document_models(self._files.uuids, common, self._edited, pointers)

    def update_metadata(self, metadata: Any) -> None:
        """Replace documents by edited models of `get_metadata`; BinaryOnly documents stay.

        Raises TypeError if `metadata` is not a dict of position number to model; KeyError if a position does not exist.
        """
        from ome_writers.formats.ometiff.models import check_models, edit

        check_models(metadata, self._files.keys)
        given = {n: model for n, model in metadata.items() if n in self._files.complete}
        generated = assemble_document(self._body(), None)
        edited = edit(given, generated, self._body(without_planes=True), self._planes)
        self._edited |= edited
        self._dirty |= edited.keys()

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        check_global_metadata(namespace, metadata)
        self._globals[namespace] = pairs = to_plain_json(metadata)
        for edited in set(self._edited.values()):
            edited.annotate(namespace, pairs)
        self._dirty.update(self._files.complete)

    def find_metadata(self, namespace: str) -> Mapping[str, Any] | None:
        found: Iterator[Mapping[str, Any] | None]
        found = (edited.find_metadata(namespace) for edited in self._edited.values())
        return self._globals.get(namespace) or next((each for each in found if each), None)

    def use_plan(self, plan: Plan) -> None:
        before = self._body(without_planes=True) if self._edited else []
        self._plan, self._settings = plan, stored_settings(plan)
        if self._edited:
            after = self._body(without_planes=True)
            for edited in set(self._edited.values()):
                edited.merge(before, after)
        self._refresh()

    def finish(self, outcome: Outcome, journal: Journal) -> None:
        self._outcome, self._missing = outcome, {}
        for image in self._plan.images:
            number = image.number
            if journal.count(number):
                lines = partial(journal.lines, number)
                self._planes[number] = render_planes(number, lines, axis_letters(image))
                self._embedded.append(number)
        self._refresh()

    def embedded_journals(self) -> tuple[int, ...]:
        return tuple(self._embedded)

    def adopt(self, stored: StoredDocuments) -> None:
        """Continue from the documents of an interrupted writer; nothing is rendered until they change.

        A document that differs from the generated one, because a user edited it or another version wrote it, is kept
        apart from sizes, IFDs and frame metadata.
        """
        from ome_writers.formats.ometiff.edited_document import EditedDocument
        from ome_writers.formats.ometiff.parse import user_annotations

        latest = stored.latest
        self._files, self._adopted = stored.files, latest.info
        self._id = str(latest.info.get("id"))
        self._began = stored.began or self._began
        self._globals = dict(user_annotations(latest.root))
        if self._settings != latest.info.get("settings"):
            self._settings = None
        shapes = tuple(map(latest.shape, self._plan.images))
        frames = latest.info.get("frames_written", 0)
        self._outcome = Outcome("writing", frames, shapes, time=stored.updated)
        body = self._body()
        edited: dict[int, EditedDocument] = {}  # by id of the content
        urns = self._files.uuids if is_set(self._plan) else {}
        for number, text in stored.texts.items():
            generated = assemble_document(body, urns.get(number))
            if strip_progress(without_warning(text)) != strip_progress(generated):
                content = id(stored.documents[number])
                edited[content] = edited.get(content) or EditedDocument(text, body, {})
                self._edited[number] = edited[content]
        self._dirty = set()

    def _refresh(self) -> None:
        """Update all complete documents."""
        if self._edited:
            body = self._body(without_planes=True)
            for edited in set(self._edited.values()):
                edited.refresh(body, self._planes)
        self._dirty.update(self._files.complete)

    def _binary_only_document(self, number: int) -> bytes:
        target = self._files.complete[0]
        return binary_only(
            self._files.uuids[number], self._files.keys[target], self._files.uuids[target]
        )

    def _body(self, *, without_planes: bool = False) -> Body:
        """Return the content of complete documents; there may be thousands of Plane elements."""
        shapes, writing = self._outcome.shapes, self._outcome.status == "writing"
        planes = (
            {n: of_image.annotations_only for n, of_image in self._planes.items()}
            if without_planes
            else self._planes
        )
        return render_body(
            self._plan,
            shapes,
            began=self._began,
            pages=ifd_runs(self._plan, self._files, shapes, writing=writing),
            planes=planes,
            metadata=self._globals,
            info=self._acquisition_info(),
        )

    def _acquisition_info(self) -> dict[str, Any]:
        info: dict[str, Any] = {
            "id": self._id,
            "version": library_version(),
            "status": self._outcome.status,
            "frames_expected": self._plan.distinct_frames,
            "frames_written": self._outcome.frames_written,
            "updated": self._outcome.timestamp,
        }
        if self._plan.settings.on_incomplete == "keep":
            info["on_incomplete"] = "keep"
        # OME-XML can express regular steps only, without an origin or a negative direction.
        coords = {
            d.name: list(d.coords)
            for d in self._plan.settings.dimensions[:-2]
            if d.coords and all(isinstance(coord, (int, float)) for coord in d.coords)
        }
        if coords:
            info["coords"] = coords
        if "planes_without_frames" in self._adopted:
            info["planes_without_frames"] = self._adopted["planes_without_frames"]
        if self._outcome.empty_planes:
            info["planes_without_frames"] = {
                str(number): _runs_of(mask, axis_letters(self._plan.images[number]))
                for number, mask in self._outcome.empty_planes.items()
            }
        if missing := self._missing or self._adopted.get(MISSING_AT_CLOSE):
            info[MISSING_AT_CLOSE] = missing
        axes = axis_letters(self._plan.images[0])
        for letter, axis in axes.items():
            if axis == self._plan.images[0].array.growing:
                info["axes"] = "".join(sorted(axes, key=lambda c: axes[c]))
                info["growing"] = letter
        if self._settings is not None:
            info["settings"] = self._settings
        return {**info, **{k: v for k, v in self._adopted.items() if k not in info}}


def stored_settings(plan: Plan) -> Any:
    # lone surrogates, as in paths of other encodings, cannot be encoded in UTF-8
    stored = json.dumps(settings_to_store(plan.settings), ensure_ascii=False)
    return json.loads(stored.encode(errors="replace"))


def _runs(mask: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return [first, count] of each run of True in the mask, in storage order."""
    edges = np.flatnonzero(np.diff(mask.ravel(), prepend=False, append=False))
    return np.stack([edges[::2], edges[1::2] - edges[::2]], axis=1)


def _runs_of(mask: NDArray[np.bool_], axes: Mapping[str, int]) -> list[list[int]]:
    """Return [T, C, Z, number of planes] of each run of True in the mask, in storage order."""
    first, count = _runs(mask).T
    index = np.unravel_index(first, mask.shape) if mask.ndim else ()
    columns = [index[axes[c]] if c in axes else np.zeros_like(first) for c in "TCZ"]
    runs: list[list[int]] = np.stack([*columns, count], axis=1).tolist()
    return runs
