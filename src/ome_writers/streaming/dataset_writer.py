"""`DatasetWriter`: a dataset to which frame writers write; pixels first, then frame metadata, then its metadata.

An error in one step is kept and the following steps still run, so that as much as possible is saved.
"""
# Longer than 300 lines: one class, with all that is written beside the pixels.

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ome_writers.errors import UnsupportedError, WriteError, describe_frames
from ome_writers.file_sync import sync_folder
from ome_writers.formats import ListsMissingPlanes, SupportsCarryOver, SupportsGrow
from ome_writers.routing import Plan
from ome_writers.storage import (
    DERIVED,
    ExtensibleEngine,
    PatchingEngine,
    TruncatingEngine,
    WriteFailure,
    frame_of,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ome_writers.dataset import DatasetSpec, LevelSpec
    from ome_writers.formats import (
        AddedMetadata,
        DatasetMetadata,
        Journal,
        JournalEntry,
        Layout,
        Outcome,
    )
    from ome_writers.storage import Engine, EngineRow, ExistingArray
    from ome_writers.streaming.companions import Companions
    from ome_writers.streaming.output_claim import OutputClaim
    from ome_writers.streaming.resumable import ResumeClaim
    from ome_writers.streaming.stored_frames import StoredFrames

    Runs = Sequence[tuple[int, int]]
    """First number and length of runs of frames; see `Cursor.pop_runs`."""
    Snapshot = tuple[Sequence[JournalEntry], Outcome, Runs]
    Outcomes = Sequence[tuple[AddedMetadata, Outcome]]

_COUNT_INTERVAL_S = 0.1  # with `counts_later`


class Output(NamedTuple):
    """A created dataset, ready for frames."""

    plan: Plan
    engine_row: EngineRow
    dataset_writer: DatasetWriter
    stored: StoredFrames | None = None  # the frames of a dataset that is resumed


class ImageSet(NamedTuple):
    """Metadata and journal of the images that one frame writer writes."""

    layout: Layout
    metadata: AddedMetadata
    journal: Journal


class AddedWriter(Protocol):
    """Writes further images to a dataset; see `DerivedWriter`."""

    @property
    def plan(self) -> Plan: ...

    @property
    def image_set(self) -> ImageSet: ...

    @property
    def claim(self) -> OutputClaim | ResumeClaim | None:
        """The claim on the path of its images, if it is not that of the dataset."""
        ...

    def flush_snapshot(self) -> Snapshot:
        """Return what a flush writes: frame metadata, the current shapes and extents, and new frames."""
        ...

    def final_shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes that the images have after `close`."""
        ...

    def final_outcome(self, shapes: Sequence[tuple[int, ...]], *, failed: bool) -> Outcome:
        """Return the result of the acquisition, once the pixels are on disk."""
        ...


class DatasetWriter:
    """Owns engine, metadata, journal and output claim of one dataset. Thread-safe.

    A stream's own frame writer calls `flush`, `close_pixels` and `close_metadata`, which include the images of the
    frame writers that were added.

    `claim` is None for scratch in memory. `synced_folder` is synced after the lock file was removed; it is None without
    ``durability="disk"``.
    """

    def __init__(
        self,
        plan: Plan,
        layout: Layout,
        engine: Engine,
        metadata: DatasetMetadata,
        journal: Journal,
        claim: OutputClaim | ResumeClaim | None,
        synced_folder: Path | None = None,
        *,
        resumed: bool = False,
    ) -> None:
        self.engine = engine
        # looked up once: `isinstance` of a protocol takes longer than the other steps of a flush
        self._patching = engine if isinstance(engine, PatchingEngine) else None
        self.companions: Companions | None = None  # of the stream
        self.journal = journal
        self.metadata = metadata
        # whether `close_pixels` was called: a flush must not publish "writing"; and whether the claim is released
        self._closed = self._released = False
        self.discarded = False  # whether the output was removed; nothing is written any more
        self.global_metadata: dict[str, Mapping[str, Any]] = {}  # by namespace, as set by the user
        # whether the user has replaced metadata with `update_metadata`
        self.metadata_updated = False
        self.layout = layout
        # whether it continues the dataset of an earlier stream, which is then never removed
        self.resumed = resumed
        self.image_set = ImageSet(layout, metadata, journal)
        self._images = plan.images
        self.added: list[AddedWriter] = []  # frame writers of further images
        self._added_shapes: list[list[tuple[int, ...]]] = []  # final, by added writer
        self._engine_failures = engine.failures  # always the same list: checked for each frame
        self._failures: list[WriteFailure] = []
        self.claim = claim
        self._progress = None if claim is None else claim.progress
        self._synced_folder = synced_folder
        self._frames_removed = -1  # number of frames reported lost because the output was removed
        self._counting: threading.Thread | None = None  # writes the number of frames
        self._next_count = 0.0
        self._flush_lock = threading.Lock()
        self._metadata_lock = threading.Lock()

    @property
    def failed(self) -> bool:
        """Whether a write has failed; checked before each frame."""
        return bool(self._engine_failures or self._failures)

    @property
    def lost_frames(self) -> set[int]:
        """Numbers of the frames that could not be written."""
        return {n for failure in self.failures() for n in failure.frames}

    def error(self) -> WriteError | None:
        """Return all failures as one error to raise; None if there are none.

        Its frames are those of the stream's own frame writer.
        """
        failures = self.failures()
        if not failures:
            return None
        frames = [n for failure in failures for n in failure.frames]
        first = failures[0].error
        problem, remedy = "the dataset is not complete on disk", "run `ome-writers repair`"
        if frames:
            noun, verb = ("frames", "are") if len(set(frames)) > 1 else ("frame", "is")
            problem = f"{noun} {describe_frames(frames)} {verb} not on disk"
            # without frame numbers, or with repairable frames, the metadata may be incomplete as well
            all_named = all(failure.frames and not failure.repairable for failure in failures)
            remedy = "acquire again" if all_named else f"{remedy} and acquire again"
        error = WriteError(
            f"Writing to {self.layout.output} failed, {problem}: {type(first).__name__}: {first}. What was written "
            f"before is readable. Free space or repair the disk, then {remedy}.",
            frames,
        )
        error.__cause__ = first
        return error

    def has_reported(self, raised: BaseException) -> bool:
        """Return whether an exception is an earlier result of `error`."""
        causes = (failure.error for failure in self.failures())
        return isinstance(raised, WriteError) and any(raised.__cause__ is cause for cause in causes)

    def failures(self) -> list[WriteFailure]:
        """Return what has failed, with the numbers of frames instead of planes."""
        return [
            replace(failure, frames=tuple(dict.fromkeys(map(frame_of, _frames(failure)))))
            for failure in (*self._engine_failures, *self._failures)
        ]

    def add(
        self,
        arrays: tuple[Sequence[LevelSpec], Sequence[ExistingArray]],
        open_writer: Callable[[int], AddedWriter],
        lock: AbstractContextManager[Any],
    ) -> AddedWriter:
        """Create or continue arrays, and add the frame writer that `open_writer` returns for the number of the first.

        `lock` is held by all threads that write frames. Raises UnsupportedError if the engine cannot add arrays.
        """
        if not isinstance(self.engine, ExtensibleEngine):
            raise UnsupportedError(
                f"{self.layout.output}: its backend cannot add images to a dataset that it is writing. Use another "
                f"backend, or write them to a dataset of their own."
            )
        with self._flush_lock, lock:
            writer = open_writer(self.engine.add_arrays(*arrays))
            self.added.append(writer)
            with self._metadata_lock:
                self._put(writer.image_set.metadata.render())
        return writer

    def flush(self, snapshot: Callable[[], Snapshot], *, counts_later: bool = False) -> bool:
        """Write to disk what `snapshot` returns, and what those of the added frame writers return.

        With `counts_later`, the number of frames in the metadata is written by a thread, not at each call: replacing a
        file may take as long as several flushes. Returns whether the metadata counts these frames.
        """
        with self._flush_lock:
            if self._closed:
                return True
            frame_metadata, outcome, runs = snapshot()
            added = [(writer.image_set, *writer.flush_snapshot()[:2]) for writer in self.added]
            shapes = self._array_shapes(outcome.shapes, [each.shapes for *_, each in added])
            self._run(lambda: self.engine.flush(shapes))
            # before the progress, which tells how many frames are complete on disk
            for image_set, entries, _ in ((self.image_set, frame_metadata, outcome), *added):
                self._run(partial(image_set.journal.write, entries))
            outcomes = [
                (image_set.metadata, of_images)
                for image_set, _, of_images in (*added, (self.image_set, frame_metadata, outcome))
            ]
            for metadata, of_images in outcomes:
                self._run(partial(self._write_shapes, metadata, of_images.shapes))
            if self.failed:  # some of these frames are not on disk
                return True
            if self._progress is not None:
                self._progress.record(runs)
            if counts_later and self._patching is None:
                return self._start_counting(outcomes)
            self._end_counting()
            self._write_counts(outcomes)
            return True

    def _start_counting(self, outcomes: Outcomes) -> bool:
        """Write the number of frames in a thread; False if that was done a moment ago, or is in progress."""
        now, thread = time.monotonic(), self._counting
        if now < self._next_count or (thread is not None and thread.is_alive()):
            return False
        self._next_count = now + _COUNT_INTERVAL_S
        self._counting = threading.Thread(
            target=self._run,
            args=(partial(self._write_counts, outcomes),),
            name="ome-writers-counts",
            daemon=True,
        )
        self._counting.start()
        return True

    def _end_counting(self) -> None:
        thread, self._counting = self._counting, None
        if thread is not None:
            thread.join()

    def _write_counts(self, outcomes: Outcomes) -> None:
        for metadata, outcome in outcomes:
            self._write_progress(metadata, outcome)

    def check_output_exists(self, frames: int) -> None:
        """Report the first `frames` frames as lost if the output was removed while the stream wrote to it.

        Engines recreate missing folders and would not notice.
        """
        if (
            self.claim is None
            or self.claim.exists
            or self._released
            or frames <= self._frames_removed
        ):
            return
        self._frames_removed = frames
        error = FileNotFoundError(f"{self.layout.output} was removed while the stream wrote to it")
        self.fail(error, frames)

    def close_pixels(
        self, shapes: Sequence[tuple[int, ...]], missing: Mapping[int, NDArray[np.bool_]]
    ) -> None:
        """Write all pixels and frame metadata, and give the arrays their final shapes.

        `missing` is `Outcome.empty_planes`.
        """
        with self._flush_lock:
            self._closed = True
            self._end_counting()
            added = self._added_shapes = [writer.final_shapes() for writer in self.added]
            self._run(partial(self._list_missing, self.metadata, missing))
            for writer, of_images in zip(self.added, added, strict=True):
                empty = writer.final_outcome(of_images, failed=False).empty_planes
                self._run(partial(self._list_missing, writer.image_set.metadata, empty))
            self._run(lambda: self.engine.close(self._array_shapes(shapes, added)))
            for journal in (self.journal, *(writer.image_set.journal for writer in self.added)):
                self._run(partial(_write_pending, journal))

    def close_metadata(self, outcome: Outcome, spec: Callable[[], DatasetSpec], runs: Runs) -> None:
        """Write the final metadata and the files of companions, and release the output path.

        `runs` are the frames since the last flush.
        """
        failed = outcome.status == "failed"
        with self._metadata_lock:
            written = True
            for writer, shapes in zip(self.added, self._added_shapes, strict=True):
                of_images = writer.final_outcome(shapes, failed=failed)
                written = self._finish(writer.image_set, of_images) and written
            written = self._finish(self.image_set, outcome) and written
            if (companions := self.companions) is not None:
                self._run(lambda: self._put(companions.closing(spec)))
            if written and isinstance(self.engine, TruncatingEngine):
                self._run(self.engine.truncate)
            if not self._failures:
                for _, metadata, journal in (self.image_set, *(w.image_set for w in self.added)):
                    for image in metadata.embedded_journals():
                        journal.discard(image)
        if self.claim is not None and self._progress is not None:
            with self._flush_lock:
                state = "failed" if self.failed else outcome.status
                self._progress.close(state, () if self.failed else runs)
            self._released = True
            self._run(self.claim.release)
        for claim in [writer.claim for writer in self.added if writer.claim is not None]:
            if claim.progress is not None:
                claim.progress.close("failed" if self.failed else outcome.status)
            self._run(claim.release)
        if self._synced_folder is not None:
            self._run(partial(sync_folder, self._synced_folder))

    @property
    def can_carry_over(self) -> bool:
        """Whether the user's metadata can be carried over completely to another dataset."""
        return not self.metadata_updated or isinstance(self.metadata, SupportsCarryOver)

    def discard(self) -> None:
        """Remove the output; that of a resumed stream stays, with the status ``writing``."""
        with self._flush_lock, self._metadata_lock:
            self.discarded = True
            added = [[image.shape for image in writer.plan.images] for writer in self.added]
            self.engine.close(self._array_shapes([image.shape for image in self._images], added))
            if not self.resumed and self.layout.root != self.layout.output:
                # Journals beside the output. Pixels first: after a crash they would be frames without metadata.
                with suppress(OSError):
                    self.layout.output.unlink()
                for image in range(len(self._images)):
                    with suppress(OSError):
                        self.journal.discard(image)
            claim, self.claim = self.claim, None
            for each in (*(writer.claim for writer in self.added), claim):
                if each is not None:
                    each.rollback()

    def fail(self, error: Exception, frames: int) -> None:
        """Record a failure that lost the first `frames` frames."""
        self._failures.append(WriteFailure(error, tuple(range(frames))))

    def carry_over_metadata(self, replaced: DatasetWriter) -> None:
        """Apply the user's metadata of a dataset that this one replaces, as far as the format can."""
        with self._metadata_lock:
            same_format = type(self.metadata) is type(replaced.metadata)
            updated = replaced.metadata_updated and same_format
            if updated and isinstance(self.metadata, SupportsCarryOver):
                self.metadata.carry_over(replaced.metadata)
                self.metadata_updated = True
            for namespace, metadata in replaced.global_metadata.items():
                self.metadata.set_global_metadata(namespace, metadata)
                self.global_metadata[namespace] = metadata
            self._write_metadata()

    def get_metadata(self) -> Any:
        """Return a copy of the dataset's metadata."""
        with self._metadata_lock:
            return self.metadata.get_metadata()

    def update_metadata(self, metadata: Any) -> None:
        """Replace metadata, in memory and on disk."""
        with self._metadata_lock:
            self.metadata.update_metadata(metadata)
            self.metadata_updated = True
            self._write_user_metadata()

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Set metadata of the whole acquisition, in memory and on disk."""
        with self._metadata_lock:
            self.metadata.set_global_metadata(namespace, metadata)
            self.global_metadata[namespace] = metadata
            self._write_user_metadata()

    def find_metadata(self, namespace: str) -> Mapping[str, Any] | None:
        """Return the metadata that the user set for a namespace; None if there is none."""
        with self._metadata_lock:
            return self.metadata.find_metadata(namespace)

    def use_plan(self, plan: Plan) -> None:
        """Describe the same arrays by another plan, in memory and on disk."""
        with self._metadata_lock:
            self.metadata.use_plan(plan)
            self._write_user_metadata()

    def _array_shapes(
        self, shapes: Sequence[tuple[int, ...]], added: Sequence[Sequence[tuple[int, ...]]]
    ) -> list[tuple[int, ...]]:
        """Return the shapes of all arrays, from those of full resolution; `added` are those of the added writers."""
        images = [*self._images, *(image for writer in self.added for image in writer.plan.images)]
        pairs = zip(images, chain(shapes, *added), strict=True)
        return [each for image, shape in pairs for each in image.level_shapes(shape)]

    def _finish(self, image_set: ImageSet, outcome: Outcome) -> bool:
        """Write the final metadata of a set of images; return whether that succeeded."""
        _, metadata, journal = image_set
        finished = self._run(lambda: metadata.finish(outcome, journal))
        return self._run(lambda: self._put(metadata.render())) and finished

    def _write_user_metadata(self) -> None:
        try:
            self._write_metadata()
        except OSError as error:
            raise WriteError(
                f"The metadata of {self.layout.output} could not be written: {type(error).__name__}: {error}. Free "
                f"space or repair the disk: the next change of metadata, or `close`, writes them again."
            ) from error

    def _write_progress(self, metadata: AddedMetadata, outcome: Outcome) -> None:
        """Write the current progress to metadata.

        An error here is not a failure of the acquisition: on Windows a reader may hold a file open for a moment.
        The next flush, or `close`, writes the metadata again.
        """
        with self._metadata_lock, suppress(OSError):
            patches = () if self.discarded else metadata.update_progress(outcome)
            if self._patching is not None:
                for patch in patches:
                    self._patching.patch(*patch)
            self._put(metadata.render())

    def _write_shapes(self, metadata: AddedMetadata, shapes: Sequence[tuple[int, ...]]) -> None:
        """Write the current shapes of the arrays, for formats that store them in the metadata."""
        if isinstance(metadata, SupportsGrow):
            with self._metadata_lock:
                metadata.grow(shapes)
                self._put(metadata.render())

    def _list_missing(
        self, metadata: AddedMetadata, missing: Mapping[int, NDArray[np.bool_]]
    ) -> None:
        """Write which planes do not have a frame: a kill while they get pixels must not make frames of them."""
        if missing and isinstance(metadata, ListsMissingPlanes):
            with self._metadata_lock:
                metadata.list_missing(missing)
                self._put(metadata.render())

    def _write_metadata(self) -> None:
        self._put(self.metadata.render())

    def _put(self, documents: Iterable[tuple[str, bytes]]) -> None:
        for key, content in documents:
            if not self.discarded:
                self.engine.put(key, content)

    def _run(self, step: Callable[[], object]) -> bool:
        """Run one step, keep its error, and return whether it succeeded."""
        if self.discarded:
            return False
        try:
            step()
        except Exception as error:
            self._failures.append(WriteFailure(error))
            return False
        return True


def _write_pending(journal: Journal) -> None:
    journal.write(journal.pop_pending())


def _frames(failure: WriteFailure) -> tuple[int, ...]:
    return tuple(number for number in failure.frames if number != DERIVED)
