"""An OME-Zarr whose writer died, from the pixels up."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats import Journal, Outcome, latest_entries, truncate_partial_line
from ome_writers.formats.omezarr import (
    XML_KEY,
    ZarrMetadata,
    group_attributes,
    plan_from_settings,
    read_json_object,
    stored_layout,
)
from ome_writers.storage import files
from ome_writers.storage.finding import Finding
from ome_writers.storage.lock_file import LOCK_NAME, lock_path
from ome_writers.storage.zarr.array_metadata import array_metadata
from ome_writers.storage.zarr.array_survey import ArraySurvey, Survey
from ome_writers.untrusted import check_shape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ome_writers.formats import Layout, Status
    from ome_writers.routing import ImagePlan, Plan

__all__ = ["findings", "plan_of"]


def findings(root: Path, *, dry_run: bool) -> Iterator[Finding]:
    """Make an OME-Zarr tidy, and yield what was found."""
    plan = plan_of(root)
    layout = stored_layout(plan, root)
    _refuse_rewritten(root, plan, layout)
    return _Work(root, plan, layout, dry_run).findings()


class _Work:
    """One repair."""

    def __init__(self, root: Path, plan: Plan, layout: Layout, dry_run: bool) -> None:
        self._root = root
        self._plan = plan
        self._layout = layout
        self._dry_run = dry_run
        self._said = group_attributes(root).get("ome_writers", {})
        self._writing = self._said.get("status") == "writing"
        # by image: how many places have metadata, and how far they reach along its axis
        self._told: list[tuple[int, int]] = []

    def findings(self) -> Iterator[Finding]:
        """Do the work from the pixels up, and yield what was found; the lock goes last."""
        surveys, shapes = [], []
        for image, key in zip(self._plan.images, self._layout.arrays, strict=True):
            remains = ArraySurvey(files.path_below(self._root, key), image.array)
            yield from remains.recover(dry_run=self._dry_run, cut=self._writing)
            growing = image.array.growing is not None
            survey = remains.survey(_axis(image), _channel(image), whole=growing)
            surveys.append(survey)
            document = read_json_object(self._root / key / "zarr.json")
            shapes.append(tuple(document.get("shape", image.array.shape)))
        for key in self._layout.journals:
            path = files.path_below(self._root, key)
            if truncate_partial_line(path, dry_run=self._dry_run):
                yield Finding(path, "the journal ends in the middle of a line: cut off")
        journal = Journal.open_existing(self._root, self._layout.journals)
        if self._writing:
            self._told = [
                _told(latest_entries(journal.lines(i.number)), _axis(i)) for i in self._plan.images
            ]
            shapes = [self._final(i, shapes[i.number], surveys) for i in self._plan.images]
        yield from self._show(shapes)
        yield from self._say(surveys, shapes, journal)
        yield from self._clear()

    def _frames(self, surveys: list[Survey]) -> int:
        """Return about how many frames there are, by pixels or metadata."""
        frames = sum(
            max(survey.planes // image.planes, places)
            for image, survey, (places, _) in zip(
                self._plan.images, surveys, self._told, strict=True
            )
        )
        return frames if self._plan.frames is None else min(frames, self._plan.frames)

    def _final(
        self, image: ImagePlan, shown: tuple[int, ...], surveys: list[Survey]
    ) -> tuple[int, ...]:
        """Return the shape that an array gets: what is there; of a growing one, not less than was shown."""
        axis, growing = _axis(image), image.array.growing is not None
        if not growing:
            shown = image.array.shape  # acquire-zarr's own document says how far it has come
        if axis is None or (not growing and self._plan.settings.on_incomplete == "keep"):
            return shown
        if self._frames(surveys) == self._plan.frames:
            return shown
        reached = max(surveys[image.number].extent, self._told[image.number][1])
        # the samples of a frame stay together
        reached = image.planes_along(axis, image.frames_along(axis, reached))
        extent = max(shown[axis], reached) if growing else min(shown[axis], max(1, reached))
        return (*shown[:axis], extent, *shown[axis + 1 :])

    def _show(self, shapes: list[tuple[int, ...]]) -> Iterator[Finding]:
        """Bring the documents of the arrays up to date."""
        for image, key, shape in zip(self._plan.images, self._layout.arrays, shapes, strict=True):
            path = self._root / key / "zarr.json"
            document = read_json_object(path)
            if not document:
                document = array_metadata(image.array, shape)
                what = "the document of an array is missing: made again"
            elif tuple(document["shape"]) == shape:
                continue
            else:
                before, after = (" x ".join(map(str, s)) for s in (document["shape"], shape))
                what = f"the array shows {before}, and {after} was reached: said so"
                document["shape"] = list(shape)
            self._put(f"{key}/zarr.json", json.dumps(document).encode())
            yield Finding(path, what)

    def _say(
        self, surveys: list[Survey], shapes: list[tuple[int, ...]], journal: Journal
    ) -> Iterator[Finding]:
        """Bring the documents of the groups up to date, and remove the journals that they contain."""
        documents = ZarrMetadata(self._plan, self._layout)
        groups = {path: group_attributes(self._root / path) for path in documents.paths}
        documents.adopt({path: found for path, found in groups.items() if found})
        unfinished = self._writing or self._waiting(groups, journal)
        if unfinished:
            documents.finish(self._outcome(surveys, shapes), journal)
        for key, content in documents.render():
            path = files.path_below(self._root, key)
            # the OME-XML of a finished dataset knows planes that are not asked for here
            if _same(path, content) or (key == XML_KEY and path.exists() and not unfinished):
                continue
            what = "is not up to date" if path.exists() else "is missing"
            self._put(key, content)
            yield Finding(path, f"the document {what}: written")
        for image in documents.embedded_journals():
            path = self._root / self._layout.journals[image]
            if not self._dry_run:
                journal.discard(image)
            yield Finding(path, "the journal is contained in the image's document: removed")

    def _waiting(self, groups: dict[str, Any], journal: Journal) -> bool:
        """Whether a journal is on disk that no document has taken in, or that one contains already."""
        for image, path in zip(self._plan.images, self._layout.images, strict=True):
            told = groups[path].get("ome_writers", {}).get("frame_metadata")
            if journal.count(image.number) and not isinstance(told, dict):
                return True
        return False

    def _outcome(self, surveys: list[Survey], shapes: list[tuple[int, ...]]) -> Outcome:
        windows = {(i, c): w for i, survey in enumerate(surveys) for c, w in survey.windows.items()}
        status: Status = self._said.get("status", "failed")
        written = self._said.get("frames", {}).get("written", 0)
        if self._writing:
            written = self._frames(surveys)
            status = "complete" if written == self._plan.frames else "failed"
        return Outcome(status, written, tuple(shapes), windows)

    def _clear(self) -> Iterator[Finding]:
        """Remove what a writer leaves when it dies: temporary files, and its lock."""
        for folder, names, plain in os.walk(self._root):
            for name in sorted((*names, *plain)):
                path = Path(folder, name)
                if self._is_temporary(path):
                    what = "folder" if path.is_dir() else "file"
                    self._remove(path)
                    yield Finding(path, f"a temporary {what} of a writer: removed")
            names[:] = sorted(n for n in names if not self._is_temporary(Path(folder, n)))
        lock = lock_path(self._root, folder=True)
        if lock.exists():
            self._remove(lock)
            yield Finding(lock, "the lock of a writer that has ended: removed")

    def _is_temporary(self, path: Path) -> bool:
        """Whether this is a temporary file of an engine, in a place where engines make it."""
        target = files.temporary_target(path.name)
        if target is None or path.is_symlink() or path.is_dir() != (target == "stage"):
            return False
        arrays = {self._root / key for key in self._layout.arrays}
        if target == "stage" or target.isdigit():
            chunks = {array / "c" for array in arrays}
            return path.parent in arrays or not chunks.isdisjoint((path.parent, *path.parents))
        groups = {self._root / key for key in (*self._layout.images, "OME")} | {self._root}
        documents = {"zarr.json", XML_KEY.rpartition("/")[2], LOCK_NAME.removeprefix(".")}
        return target in documents and path.parent in (arrays | groups | {g.parent for g in groups})

    def _put(self, key: str, content: bytes) -> None:
        if not self._dry_run:
            files.atomic_write(files.path_below(self._root, key), content, durable=True)

    def _remove(self, path: Path) -> None:
        if self._dry_run:
            return
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _refuse_rewritten(root: Path, plan: Plan, layout: Layout) -> None:
    """Refuse arrays that are not cut, typed and shaped as the settings of the dataset have them."""
    for image, key in zip(plan.images, layout.arrays, strict=True):
        document = read_json_object(root / key / "zarr.json", root)
        if not document:
            continue  # missing or torn: it is made again
        shape = check_shape(document.get("shape"), f"{root}/{key}", axes=len(image.array.shape))
        planned = array_metadata(image.array, image.array.shape)
        differs = [
            name
            for name, of in (("chunks", _layout_of), ("data type", lambda d: d.get("data_type")))
            if of(document) != of(planned)
        ]
        fixed = [axis for axis in range(len(shape)) if axis != image.array.growing]
        if any(shape[axis] > image.array.shape[axis] for axis in fixed):
            differs.append("shape")
        if differs:
            raise UnsupportedError(
                f"{root} cannot be repaired: {key}/zarr.json has another {' and '.join(differs)} than the settings "
                f"that the dataset was written with. Another program has rewritten it; nothing was changed."
            )


def plan_of(root: Path) -> Plan:
    """Return the plan of the settings that a dataset was written with."""
    ours = group_attributes(root).get("ome_writers")
    stored = ours.get("settings") if isinstance(ours, dict) else None
    if not isinstance(stored, dict) or stored.get("format", {}).get("name") != "ome-zarr":
        if not read_json_object(root / "zarr.json"):
            raise UnsupportedError(f"{root} cannot be repaired: its zarr.json is no JSON document.")
        raise UnsupportedError(
            f"{root} was not written by this library and cannot be repaired: its zarr.json has no settings."
        )
    try:
        plan = plan_from_settings(stored)
    except UnsupportedError as error:
        raise UnsupportedError(
            f"{root} was written by another version, whose settings are not understood here: {error}"
        ) from error
    return _with_stored_shards(root, plan)


def _with_stored_shards(root: Path, plan: Plan) -> Plan:
    """Return the plan with the shards that were not asked for: acquire-zarr writes no chunk without one."""
    images = []
    for image, key in zip(plan.images, stored_layout(plan, root).arrays, strict=True):
        chunks = image.array.chunks
        document = read_json_object(root / key / "zarr.json")
        if image.array.shards is None and document:
            sharded = array_metadata(replace(image.array, shards=chunks), image.array.shape)
            if _layout_of(document) == _layout_of(sharded):
                image = replace(image, array=replace(image.array, shards=chunks))
        images.append(image)
    return replace(plan, images=tuple(images))


def _layout_of(document: dict[str, Any]) -> list[Any]:
    """Return how array metadata cut the array into chunks and shards; compression, with its level, is not compared."""
    codecs = document.get("codecs") or [{}]
    sharded = codecs[0].get("name") == "sharding_indexed"
    inner = codecs[0]["configuration"].get("chunk_shape") if sharded else None
    grid = document.get("chunk_grid") or {}
    return [grid.get("name"), grid.get("configuration", {}).get("chunk_shape"), inner]


def _axis(image: ImagePlan) -> int | None:
    """Return the axis along which an image may be shorter than planned."""
    return image.slow_axis if image.array.growing is None else image.array.growing


def _told(frames: list[dict[str, Any]], axis: int | None) -> tuple[int, int]:
    """Return how many places have metadata, and how far they reach along `axis`."""
    ends = (frame["storage_index"][axis] + 1 for frame in frames) if axis is not None else ()
    return len(frames), max(ends, default=0)


def _channel(image: ImagePlan) -> int | None:
    return next((i for i, d in enumerate(image.array.dimensions) if d.type == "channel"), None)


def _same(path: Path, content: bytes) -> bool:
    """Whether a file says the same as `content`, however it is written."""
    if not path.exists():
        return False
    if path.suffix == ".json":
        return bool(read_json_object(path) == json.loads(content))
    return path.read_bytes() == content
