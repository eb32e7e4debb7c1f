"""`FrameWriter`: assigns each frame its address and passes frame and frame metadata on to the engine and the journal.

A restart (see `restart`) creates a new output with a new `FrameWriter`.
"""
# Longer than 300 lines: one class, with all that happens to a frame in the thread of `append`.

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec, ImageSpec
from ome_writers.errors import FrameShapeError, FrameTypeError, UnsupportedError
from ome_writers.formats import Outcome, format_row
from ome_writers.routing import Address, Plan, Progress
from ome_writers.storage import LendingEngine, part_of, run_stages
from ome_writers.streaming.cursor import Cursor
from ome_writers.streaming.stages import DisplayRange, SampledFrames, SplitSamples, read_frame
from ome_writers.streaming.stats import StreamStats

if TYPE_CHECKING:
    from ome_writers.formats import JournalEntry, Status
    from ome_writers.storage import EngineRow, Stage
    from ome_writers.streaming.dataset_writer import DatasetWriter, ImageSet
    from ome_writers.streaming.first_frame import FirstFrameInference
    from ome_writers.streaming.stored_frames import StoredFrames

_log = logging.getLogger("ome_writers")
_MAX_RESTART_FRAMES = 64


class FrameWriter:
    """Writes the frames of one output.

    Only one thread at a time may call `write`, `skip` and `recover`; the other methods are thread-safe.

    `inference` receives the index of every frame while it is active. `image_set` has the metadata of its images, if
    another frame writer writes the dataset's own.
    """

    def __init__(
        self,
        plan: Plan,
        engine_row: EngineRow,
        dataset_writer: DatasetWriter,
        inference: FirstFrameInference,
        image_set: ImageSet | None = None,
    ) -> None:
        self.plan = plan
        self.dataset_writer = dataset_writer
        self.image_set = image_set or dataset_writer.image_set
        self.journal = self.image_set.journal
        self.engine = dataset_writer.engine
        # the engine, if it lends memory for frames
        self.lending_engine = self.engine if isinstance(self.engine, LendingEngine) else None
        self.longest_append_s = 0.0  # the longest time that the engine blocked `write`
        self.engine_row = engine_row
        self._inference = inference
        self._images = plan.images
        sampling = format_row(plan.settings.format.name).has_display_windows
        self._sampled_frames = SampledFrames(plan.images, enabled=sampling)
        # next address, and what was appended so far
        self.cursor = Cursor(plan, self._sampled_frames.observe)
        first = plan.images[0]
        fitting = plan.settings.buffer_bytes // (first.addressing.planes * first.array.frame_bytes)
        # the number of frames up to which a restart writes them again: what fits into `buffer_bytes`, at most 64
        self.max_restart_frames = max(1, min(_MAX_RESTART_FRAMES, fitting))
        self._early_metadata: list[JournalEntry] = []  # on disk, while a restart is possible
        self._final_shapes: tuple[tuple[int, ...], ...] = ()
        self._progress = Progress(plan)
        self._split_samples = SplitSamples(plan.images)
        self._display_range = DisplayRange(plan.images)
        self.resumed: StoredFrames | None = None  # frames of an earlier stream
        self.stored = 0  # number of these
        self._start_date, self._start_time = datetime.now(timezone.utc), perf_counter()

    def resume(self, stored: StoredFrames) -> None:
        """Continue after the frames of an earlier stream."""
        stored.move(self.cursor, self._sampled_frames.observe)
        self.resumed, self.stored = stored, self.cursor.accepted
        self._progress.include_numbers(stored.pixels)
        for image, shape in enumerate(stored.shapes):
            self._progress.include_shape(image, shape)
        self._display_range.windows.update(stored.windows)

    @property
    def accepted(self) -> int:
        """Number of accepted frames."""
        return self.cursor.accepted

    def write(
        self, frame: Any, index: Mapping[str, int] | None, encoded: bytes | None, copy: bool
    ) -> int | Mapping[str, int]:
        """Write a frame at `index`, or at the next address; return its offset, or its full acquisition index.

        `encoded` is the frame metadata.

        Raises FrameShapeError, FrameTypeError, IndexError, UnsupportedError if the frame or the index is invalid; the
        state is unchanged.
        """
        cursor = self.cursor
        if cursor.pending:
            self.recover()
        acquired = None if index is None else self._complete_index(index)
        address = cursor.next_address if acquired is None else self._address_of(acquired)
        if address is None:
            address = cursor.require_next()  # raises EndOfAcquisitionError
        number = cursor.accepted
        image, stored = self._images[address[0]], address[1]
        frames = image.addressing
        shape, dtype = image.frame_shape, image.levels[0].numpy_dtype
        if type(frame) is not np.ndarray or frame.shape != shape or frame.dtype != dtype:
            frame = as_frame(frame, shape, dtype)
        if self._inference.active:
            self._inference.frame_received(
                acquired or self.plan.router.indices(cursor.offset),
                last=number >= self.max_restart_frames,
            )
        cursor.pending = True  # until the counters include the frame; see `recover`
        began = perf_counter()
        if acquired is not None:
            sampled = self._sampled_frames.take_explicit(address)
        elif sampled := cursor.offset >= self._sampled_frames.next_offset:
            sampled = self._sampled_frames.take(cursor.offset)
        if frames.planes == 1 and not sampled:
            self.engine.write(number, frames.first_array, stored, frame, not copy)
        else:
            self._write_staged(number, image, stored, frame, not copy, sampled)
        duration = perf_counter() - began
        if duration > self.longest_append_s:
            self.longest_append_s = duration
        if encoded is not None:
            self.journal.record(frames.number, frames.plane(stored), encoded)
        written_at: int | Mapping[str, int]
        if index is None or acquired is None:
            written_at = cursor.advance()
        else:
            self._progress.include(acquired, address)
            cursor.count_explicit(index, list(acquired.values()), address)
            written_at = acquired
        return written_at

    def use_plan(self, plan: Plan) -> None:
        """Describe the same arrays by another plan: other names, other instrument."""
        self.plan, self._images = plan, plan.images

    def recover(self) -> None:
        """Restore a consistent state after an exception, such as KeyboardInterrupt, has ended `write`.

        All earlier frames are kept. The next frame gets the address of the interrupted one, unless the engine has
        stored that frame and cannot write an address twice.
        """
        self.cursor.reset_iterator()
        if self.engine.recover(self.cursor.accepted):
            self.cursor.advance()
        self.cursor.pending = False

    def skip(self, frames: int) -> range:
        """Skip the next `frames` frames; return their offsets in acquisition order."""
        first = self.cursor.offset
        self.cursor.skip(frames)
        return range(first, self.cursor.offset)

    def image(self, index: Mapping[str, int] | None) -> ImageSpec:
        """Return the image that the frame at `index` (None: the next frame) belongs to."""
        if index is None:
            return self._images[self.cursor.require_next()[0]]
        return self._images[self._address_of(self._complete_index(index))[0]]

    def acquisition_index(self, index: Mapping[str, int] | None) -> Mapping[str, int]:
        """Return the full acquisition index for a partial one (None: the next frame)."""
        if index is None:
            return self.plan.router.indices(self.cursor.offset)
        return self._complete_index(index)

    def would_replace(self, index: Mapping[str, int] | None) -> bool:
        """Return whether a frame written at `index` (None: the next frame) replaces an earlier one."""
        if index is None:
            return self.cursor.next_has_frame()
        return self.cursor.has_frame(list(self._complete_index(index).values()))

    def frame_metadata(self) -> dict[Address, bytes]:
        """Return the encoded frame metadata by address, while a restart is possible."""
        entries = (*self._early_metadata, *self.journal.pending)
        return {(image, index): encoded for image, index, encoded in entries}

    def extents(self, level: int = 0) -> Mapping[str, int]:
        """Return the current extent of each acquisition axis, at a resolution level."""
        self._progress.advance(self.cursor.offset)
        extents = self._progress.extents
        if level:
            factors = self._images[0].reductions[level - 1].factors
            for name, (axis, _) in zip(extents, self.plan.router.steps, strict=True):
                extents[name] = -(-extents[name] // (1 if axis is None else factors[axis]))
        return extents

    def read(self, image: int, index: tuple[int, ...], level: int = 0) -> NDArray[np.generic]:
        """Return the frame at a storage index of a level, from memory or disk; zeros if unwritten."""
        return read_frame(self.engine, self._images[image], index, level)

    def stats(self) -> StreamStats:
        engine = self.engine.stats()
        return StreamStats(
            frames_accepted=self.accepted,
            frames_written=self.stored + engine.frames_written,
            bytes_written=engine.bytes_written,
            queue_depth=engine.queue_depth,
            longest_append=self.longest_append_s,
            bytes_copied=engine.bytes_copied,
            bytes_buffered=engine.bytes_buffered,
            bytes_lent=engine.bytes_lent,
        )

    def flush_snapshot(self) -> tuple[list[JournalEntry], Outcome, list[tuple[int, int]]]:
        """Return what a flush writes: pending frame metadata, the current shapes and extents, and `Cursor.pop_runs`."""
        if self.cursor.pending:
            self.recover()
        self._progress.advance(self.cursor.offset)
        shapes, extents = tuple(self._progress.shapes()), self._progress.extents
        windows, now = dict(self._display_range.windows), self._now()
        in_order = self._frames_in_order()
        outcome = Outcome("writing", self.cursor.stored, shapes, windows, extents, in_order, now)
        entries = self.journal.pop_pending()
        if self.accepted <= self.max_restart_frames:
            self._early_metadata += entries
        else:
            self._early_metadata.clear()
        return entries, outcome, self.cursor.pop_runs() if self.engine_row.live else []

    def _frames_in_order(self) -> int:
        return self.cursor.frames_in_order() if self.engine_row.live else 0

    def _now(self) -> datetime:
        """Return the start time plus the elapsed time: setting the system clock does not change durations."""
        return self._start_date + timedelta(seconds=perf_counter() - self._start_time)

    def spec(self, status: Status) -> DatasetSpec:
        """Return what the output is, with the shapes as of the last flush, or the final ones."""
        shapes = self._final_shapes or tuple(self._progress.shapes())
        return self._spec_of(Outcome(status, self.cursor.stored, shapes))

    def _spec_of(self, outcome: Outcome) -> DatasetSpec:
        # of `close` only with companions, which import it
        from ome_writers.formats import spec_of_plan

        return spec_of_plan(self.plan, self.image_set.layout, outcome)

    def close(self, *, failed: bool) -> None:
        """Write everything that was accepted, and the final metadata of the dataset, which collects errors."""
        shapes = self.final_shapes()
        self.dataset_writer.close_pixels(shapes, self._missing_planes(shapes))
        self.dataset_writer.check_output_exists(self.accepted)
        outcome = self.final_outcome(shapes, failed=failed)
        runs = self.cursor.pop_runs()
        layout = self.image_set.layout
        self.dataset_writer.close_metadata(outcome, lambda: self._spec_of(outcome), runs)
        expected, images = self.plan.distinct_frames, len(shapes)
        written = outcome.frames_written
        counts = f"{written} frames" if expected is None else f"{written} of {expected} frames"
        counts += f", {images} image{'s' * (images > 1)}"
        output = layout.output if self.plan.settings.root_path else "memory"
        # a log file cannot contain names that are not valid Unicode
        path = str(output).encode(errors="backslashreplace").decode()
        status = "failed" if self.dataset_writer.failed else outcome.status
        _log.info("%s: %s, %s, %.1f s", path, status, counts, perf_counter() - self._start_time)

    def current_shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes that the images have now."""
        if self._final_shapes:
            return list(self._final_shapes)
        self._progress.advance(self.cursor.offset)
        return self._progress.shapes()

    def final_shapes(self) -> list[tuple[int, ...]]:
        """Return the shapes that the images have after `close`."""
        if self.cursor.pending:
            self.recover()
        trim = self.plan.settings.on_incomplete == "trim" and not self.cursor.complete
        self._progress.advance(self.cursor.offset)
        shapes = self._progress.final_shapes(trim=trim)
        self._final_shapes = tuple(shapes)
        return shapes

    def final_outcome(self, shapes: Sequence[tuple[int, ...]], *, failed: bool) -> Outcome:
        """Return the result of the acquisition, once the pixels are on disk."""
        status: Status = "complete" if self.cursor.complete else "cancelled"
        if failed or self.dataset_writer.failed:
            status = "failed"
        written = max(0, self.cursor.stored - len(self.dataset_writer.lost_frames))
        windows, now = self._display_range.windows, self._now()
        missing = self._missing_planes(shapes)
        in_order = self.cursor.frames_in_order() if not self.dataset_writer.failed else 0
        return Outcome(status, written, tuple(shapes), windows, {}, in_order, now, missing)

    def _missing_planes(self, shapes: Sequence[tuple[int, ...]]) -> dict[int, NDArray[np.bool_]]:
        """Return `Outcome.empty_planes`.

        OME-Zarr omits the chunks of missing frames; OME-TIFF has to list them, or they would look like black frames.
        """
        lists_missing = format_row(self.plan.settings.format.name).lists_empty_planes
        return self.cursor.missing_planes(shapes) if lists_missing else {}

    def _write_staged(
        self,
        number: int,
        image: ImageSpec,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool,
        sampled: bool,
    ) -> None:
        """Write the planes of a frame; `sampled` is whether its intensity range is included."""
        frames = image.addressing
        stages: list[Stage] = [] if frames.planes == 1 else [self._split_samples]
        if sampled:
            stages.append(self._display_range)
        last = frames.planes - 1
        planes = run_stages(stages, (frames.first_array, index), frame)
        for i, ((array, stored), plane) in enumerate(planes):
            new = not np.may_share_memory(plane, frame)
            of_plane = number if i == last else part_of(number)
            self.engine.write(of_plane, array, stored, plane, owned or new)

    def _complete_index(self, index: Mapping[str, int]) -> dict[str, int]:
        if not self.engine_row.random_access:
            raise UnsupportedError(
                f"Backend {self.engine_row.name!r} writes frames in acquisition order only, got index={dict(index)}. "
                f"Append without index, or use another backend."
            )
        return self.cursor.complete_index(index)

    def _address_of(self, acquired: Mapping[str, int]) -> Address:
        return self.plan.router.address_of(list(acquired.values()))


def as_frame(
    value: Any, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> np.ndarray[Any, np.dtype[np.generic]]:
    """Return `value` as an array of exactly this shape and dtype, with unchanged pixel values.

    Accepts arrays, memoryviews, and objects with ``__array__`` or the buffer protocol. Big-endian arrays are
    byte-swapped.

    Raises FrameTypeError if `value` is not a numeric array, is masked, or has another dtype; FrameShapeError if it has
    another shape.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise FrameTypeError(
            "A frame may not be a masked array: neither format stores masks. Append frame.filled(0)."
        )
    if isinstance(value, (list, tuple, str, bytes, int, float)) or value is None:
        raise FrameTypeError(
            f"A frame must be an array of dtype {dtype} and shape {shape}, got {type(value).__name__}."
        )
    array = np.asarray(value)
    if array.dtype.newbyteorder("<") != dtype:
        raise FrameTypeError(
            f"A frame of this stream has dtype {dtype}, got {array.dtype}. Convert it with frame.astype"
            f"({dtype.name!r}), or set AcquisitionSettings.dtype to the camera's dtype."
        )
    if array.shape != shape:
        raise FrameShapeError(
            f"A frame of this stream has shape {shape}, got {array.shape}. The last two dimensions of "
            f"AcquisitionSettings.dimensions define the expected (y, x)."
        )
    return array.astype(dtype, copy=False)
