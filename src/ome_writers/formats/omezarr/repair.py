"""Recovery of an OME-Zarr: shards and chunks first, then array metadata, group metadata and journals."""

# Longer than 300 lines: one repair, from the pixels up to the metadata.
from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.dataset import ImageSpec, LevelSpec
from ome_writers.formats.dataset_metadata import Outcome
from ome_writers.formats.frame_metadata import Journal, truncate_partial_line
from ome_writers.formats.omezarr import derived
from ome_writers.formats.omezarr.array_survey import ArraySurvey, ChunkListing, Survey
from ome_writers.formats.omezarr.labels import FOLDERS
from ome_writers.formats.omezarr.layout import XML_KEY, join_key
from ome_writers.formats.omezarr.metadata import ZarrMetadata
from ome_writers.formats.omezarr.node_metadata import group_attributes
from ome_writers.formats.omezarr.parse import read_image_frames
from ome_writers.formats.omezarr.stored_level import StoredLevel
from ome_writers.formats.omezarr.stored_plan import plan_of_stored_settings
from ome_writers.formats.report import Finding
from ome_writers.formats.resumption import finish_attempts
from ome_writers.routing import Plan
from ome_writers.storage import LOCK_NAME, files
from ome_writers.storage.zarr import render_array_metadata
from ome_writers.untrusted import is_link, read_json_object

if TYPE_CHECKING:
    from ome_writers.formats.dataset_metadata import Layout, Status


def find_problems(root: Path, *, dry_run: bool) -> Iterator[Finding]:
    """Repair an OME-Zarr and yield the findings."""
    yield from _find_problems(root, dry_run=dry_run, listings=None)


def repair(root: Path) -> dict[str, ChunkListing]:
    """Repair an OME-Zarr that will be continued; return the chunk files of its arrays at full resolution, by key.

    For what it does not look for, see `list_chunks(quick=True)`.
    """
    listings: dict[str, ChunkListing] = {}
    for _ in _find_problems(root, dry_run=False, listings=listings):
        pass
    return listings


def _find_problems(
    root: Path, *, dry_run: bool, listings: dict[str, ChunkListing] | None
) -> Iterator[Finding]:
    plan, layout = plan_of_stored_settings(root)
    yield from _ZarrRepair(root, plan, layout, dry_run, listings).findings()
    for image in plan.images:
        for kind, folder in FOLDERS.items():
            group = join_key(image.key, folder)
            found = derived.own_names(root, group)
            missing = set(found) - {*derived.listed_names(root, group, kind)}
            for name in found:
                listed = None if listings is None else dict[str, ChunkListing]()
                yield from _find_problems(root / group / name, dry_run=dry_run, listings=listed)
            if missing:  # killed before they were listed
                path = root / group / "zarr.json"
                if not dry_run:
                    content = derived.list_names(root, group, kind, found)
                    files.atomic_write(path, content, durable=True)
                yield Finding(path, f"{', '.join(sorted(missing))} not listed: added")


class _ZarrRepair:
    def __init__(
        self,
        root: Path,
        plan: Plan,
        layout: Layout,
        dry_run: bool,
        listings: dict[str, ChunkListing] | None,
    ) -> None:
        self._root = root
        self._listings = listings  # of the arrays at full resolution
        self._no_chunks: list[str] = []  # entries of chunk folders that cannot be chunks
        self._plan = plan
        self._layout = layout
        self._dry_run = dry_run
        self._attributes = group_attributes(root).get("ome_writers", {})
        self._writing = self._attributes.get("status") == "writing"
        self._uncounted = False  # whether a closed dataset has more frames than its metadata counts
        # by image: number of frames with metadata, and their extent along the axis of `_axis`
        self._metadata: list[tuple[int, int]] = []

    def findings(self) -> Iterator[Finding]:
        """Repair from the pixels up and yield the findings."""
        surveys, shapes = [], []
        for image in self._plan.images:
            array = self._survey(image.array)
            yield from array.recover(dry_run=self._dry_run, truncate=self._writing)
            if self._listings is not None:
                self._listings[image.array.key] = array.listing
            complete = image.array.growing is not None or not self._writing
            surveys.append(array.survey(_axis(image), _channel(image), complete=complete))
            for level in image.levels[1:]:
                yield from self._survey(level).recover(
                    dry_run=self._dry_run, truncate=self._writing
                )
            metadata = read_json_object(self._root / image.array.key / "zarr.json")
            shapes.append(tuple(metadata.get("shape", image.shape)))
        for key in self._layout.journals:
            path = files.path_below(self._root, key)
            if truncate_partial_line(path, dry_run=self._dry_run):
                yield Finding(path, "frame metadata with an incomplete last line: line removed")
        journal = Journal.open_existing(self._root, self._layout.journals)
        self._metadata = [
            _frames_with_metadata(read_image_frames(self._root, image.key), _axis(image))
            for image in self._plan.images
        ]
        unfinished = [
            image
            for image, shape in zip(self._plan.images, shapes, strict=True)
            if self._writing or self._has_frames_outside(image, shape, surveys)
        ]
        self._uncounted = bool(unfinished) and not self._writing
        for image in unfinished:
            shapes[image.number] = self._final_shape(image, shapes[image.number], surveys)
        yield from self._update_arrays(shapes)
        yield from self._remove_outside(unfinished, shapes)
        # after ENOSPC, planes of a level can be missing in a closed dataset
        failed = self._attributes.get("status") == "failed"
        yield from self._complete_levels(self._plan.images if failed else unfinished, shapes)
        yield from self._update_groups(surveys, shapes, journal)
        yield from self._remove_temporary_files()

    def _survey(self, level: LevelSpec) -> ArraySurvey:
        folder = files.path_below(self._root, level.key)
        survey = ArraySurvey(folder, level, quick=self._listings is not None)
        self._no_chunks += survey.listing.others
        return survey

    def _frames(self, surveys: list[Survey]) -> int:
        """Return the number of frames with pixels or metadata; an estimate where a chunk has several planes."""
        frames = sum(
            max(survey.planes // image.addressing.planes, count)
            for image, survey, (count, _) in zip(
                self._plan.images, surveys, self._metadata, strict=True
            )
        )
        expected = self._plan.distinct_frames
        return frames if expected is None else min(frames, expected)

    def _has_frames_outside(
        self, image: ImageSpec, shape: tuple[int, ...], surveys: list[Survey]
    ) -> bool:
        """Return whether a closed image has chunks or frame metadata outside `shape`.

        KeyboardInterrupt in `append` can leave a frame that the stream did not count.
        """
        axis = _axis(image)
        if axis is None:
            return False
        chunk = image.array.chunks[axis]
        end = -(-shape[axis] // chunk) * chunk
        return surveys[image.number].extent > end or self._metadata[image.number][1] > shape[axis]

    def _final_shape(
        self, image: ImageSpec, shape: tuple[int, ...], surveys: list[Survey]
    ) -> tuple[int, ...]:
        """Return the extents that were written. A growing array is never shrunk below its published `shape`."""
        axis, growing = _axis(image), image.array.growing is not None
        if not growing:
            shape = image.shape  # acquire-zarr's own metadata have the shape written so far
        if axis is None or (not growing and self._plan.settings.on_incomplete == "keep"):
            return shape
        if self._frames(surveys) == self._plan.distinct_frames:
            return shape
        reached = max(surveys[image.number].extent, self._metadata[image.number][1])
        # the samples of a frame stay together
        frames = image.addressing
        reached = frames.planes_along(axis, frames.frames_along(axis, reached))
        extent = max(shape[axis], reached) if growing else min(shape[axis], max(1, reached))
        return (*shape[:axis], extent, *shape[axis + 1 :])

    def _update_arrays(self, shapes: list[tuple[int, ...]]) -> Iterator[Finding]:
        """Write array metadata that are missing or have another shape."""
        for array, shape in self._arrays(shapes):
            path = self._root / array.key / "zarr.json"
            metadata = read_json_object(path)
            if not metadata:
                metadata = render_array_metadata(array, shape)
                what = "array metadata missing: written"
            elif tuple(metadata["shape"]) == shape:
                continue
            else:
                before, after = (" x ".join(map(str, s)) for s in (metadata["shape"], shape))
                what = f"shape {before} instead of {after}: corrected"
                metadata["shape"] = list(shape)
            self._put(f"{array.key}/zarr.json", json.dumps(metadata).encode())
            yield Finding(path, what)

    def _arrays(self, shapes: list[tuple[int, ...]]) -> Iterator[tuple[LevelSpec, tuple[int, ...]]]:
        """Yield the arrays of all levels with their shapes; `shapes` are those of full resolution."""
        for image, shape in zip(self._plan.images, shapes, strict=True):
            yield from zip(image.levels, image.level_shapes(shape), strict=True)

    def _remove_outside(
        self, images: Sequence[ImageSpec], shapes: list[tuple[int, ...]]
    ) -> Iterator[Finding]:
        """Remove chunks of smaller levels of frames that level 0 lacks: the writer was killed between the two.

        They would be pixels of a frame that does not exist, when the acquisition is resumed.
        """
        for image in images:
            for level, shape in zip(
                image.levels[1:], image.level_shapes(shapes[image.number])[1:], strict=True
            ):
                survey = self._survey(level)
                if count := survey.remove_outside(shape, dry_run=self._dry_run):
                    what = f"{count} chunks of this resolution level are of frames that level 0 lacks: removed"
                    yield Finding(self._root / level.key, what)

    def _complete_levels(
        self, images: Sequence[ImageSpec], shapes: list[tuple[int, ...]]
    ) -> Iterator[Finding]:
        """Compute the planes of smaller levels that level 0 has and they lack, or the other way round."""
        for image in images:
            shape = shapes[image.number]
            count = 0
            for k, array in enumerate(image.levels[1:], start=1):
                level = StoredLevel(self._root, image, k, shape)
                # planes of projections are written repeatedly
                rewritten = count or "derived" in self._attributes
                missing = level.differences(missing_only=not rewritten)
                count = sum(1 for _ in missing) if self._dry_run else level.write(missing)
                if count:
                    what = f"{count} planes of this resolution level were not the reduction of the one above: computed"
                    yield Finding(self._root / array.key, what)

    def _update_groups(
        self, surveys: list[Survey], shapes: list[tuple[int, ...]], journal: Journal
    ) -> Iterator[Finding]:
        """Write group metadata and OME-XML that are not up to date, and remove the journals that they embed."""
        documents = ZarrMetadata(self._plan, self._layout, label=derived.stored_label(self._root))
        groups = {path: group_attributes(self._root / path) for path in documents.paths}
        documents.adopt({path: found for path, found in groups.items() if found})
        unfinished = (
            self._writing or self._uncounted or self._has_unreferenced_journal(groups, journal)
        )
        if unfinished:
            outcome = self._outcome(surveys, shapes)
            documents.finish(outcome, journal)
            finish_attempts(
                documents.attributes_of("").get("ome_writers", {}), outcome.frames_written
            )
        for key, content in documents.render():
            path = files.path_below(self._root, key)
            # `render` has the OME-XML without the Plane elements that a finished dataset has
            if _has_content(path, content) or (key == XML_KEY and path.exists() and not unfinished):
                continue
            what = "metadata not up to date" if path.exists() else "metadata missing"
            self._put(key, content)
            yield Finding(path, f"{what}: written")
        for image in documents.embedded_journals():
            path = self._root / self._layout.journals[image]
            if not path.exists():
                continue
            if not self._dry_run:
                journal.discard(image)
            yield Finding(
                path,
                "temporary file of frame metadata, which the metadata of the image contain already: removed",
            )

    def _has_unreferenced_journal(self, groups: dict[str, Any], journal: Journal) -> bool:
        """Return whether the group metadata of an image do not refer to its journal."""
        for image in self._plan.images:
            metadata = groups[image.key].get("ome_writers", {}).get("frame_metadata")
            if journal.count(image.number) and not isinstance(metadata, dict):
                return True
        return False

    def _outcome(self, surveys: list[Survey], shapes: list[tuple[int, ...]]) -> Outcome:
        windows = {(i, c): w for i, survey in enumerate(surveys) for c, w in survey.windows.items()}
        status: Status = self._attributes.get("status", "failed")
        written = self._attributes.get("frames", {}).get("written", 0)
        if self._writing:
            written = self._frames(surveys)
            status = "complete" if written == self._plan.distinct_frames else "failed"
        elif self._uncounted:
            written = max(written, self._frames(surveys))
        in_order = self._attributes.get("frames", {}).get("in_order", 0)
        return Outcome(status, written, tuple(shapes), windows, frames_in_order=in_order)

    def _remove_temporary_files(self) -> Iterator[Finding]:
        chunks = {self._root / a.key / "c" for i in self._plan.images for a in i.levels}
        found = [Path(name) for name in self._no_chunks]
        for folder, names, file_names in os.walk(self._root):
            found += (Path(folder, name) for name in (*names, *file_names))
            subfolders = [Path(folder, name) for name in sorted(names)]
            names[:] = [
                s.name
                for s in subfolders
                if not (s in chunks or self._is_temporary(s) or is_link(s))
            ]
        for path in sorted(found):
            if self._is_temporary(path):
                what = "folder" if path.is_dir() else "file"
                self._remove(path)
                yield Finding(path, f"temporary {what} of the writer: removed")

    def _is_temporary(self, path: Path) -> bool:
        """Return whether name and location are those of a temporary file or folder of an engine."""
        target = files.temporary_target(path.name)
        if target is None or is_link(path) or path.is_dir() != (target == "stage"):
            return False
        arrays = {self._root / level.key for image in self._plan.images for level in image.levels}
        if target == "stage" or target.isdigit():
            chunks = {array / "c" for array in arrays}
            return path.parent in arrays or not chunks.isdisjoint((path.parent, *path.parents))
        keys = [image.key for image in self._plan.images]
        groups = {self._root / key for key in (*keys, "OME")} | {self._root}
        groups |= {self._root / key / folder for key in keys for folder in FOLDERS.values()}
        metadata = {"zarr.json", XML_KEY.rpartition("/")[2], LOCK_NAME.removeprefix(".")}
        return target in metadata and path.parent in (arrays | groups | {g.parent for g in groups})

    def _put(self, key: str, content: bytes) -> None:
        if not self._dry_run:
            files.atomic_write(files.path_below(self._root, key), content, durable=True)

    def _remove(self, path: Path) -> None:
        if self._dry_run:
            return
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)  # a level that was computed again has replaced it


def _axis(image: ImageSpec) -> int | None:
    """Return the axis along which an image may be shorter than planned."""
    return image.addressing.slow_axis if image.array.growing is None else image.array.growing


def _frames_with_metadata(frames: list[dict[str, Any]], axis: int | None) -> tuple[int, int]:
    """Return the number of frames with metadata, and their extent along `axis`."""
    ends = (frame["storage_index"][axis] + 1 for frame in frames) if axis is not None else ()
    return len(frames), max(ends, default=0)


def _channel(image: ImageSpec) -> int | None:
    return next((i for i, d in enumerate(image.dimensions) if d.type == "channel"), None)


def _has_content(path: Path, content: bytes) -> bool:
    """Return whether a file has this content, for JSON in any formatting."""
    if not path.exists():
        return False
    if path.suffix == ".json":
        return bool(read_json_object(path) == json.loads(content))
    return path.read_bytes() == content
