"""What a stream has instead of its writer: frames go to the ring, and requests to the writer's process."""

# Longer than 300 lines: the program's side of all methods of a frame writer.

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.formats import Journal, format_row
from ome_writers.routing import Plan
from ome_writers.storage import LocalStore
from ome_writers.streaming.dataset_writer import DatasetWriter
from ome_writers.streaming.first_frame import FirstFrameInference
from ome_writers.streaming.frame_writer import FrameWriter, as_frame
from ome_writers.streaming.stats import StreamStats
from ome_writers.streaming.writer_process.frame_ring import FRAME, SKIP
from ome_writers.streaming.writer_process.messages import restored
from ome_writers.streaming.writer_process.supervisor import EndedError, WriterProcess

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.dataset import DatasetSpec
    from ome_writers.formats import Status
    from ome_writers.routing import Address
    from ome_writers.storage import EngineRow
    from ome_writers.streaming.dataset_writer import ImageSet
    from ome_writers.streaming.writer_process.messages import Closed, ClosedImages, OutputState
    from ome_writers.views import OpenDataset


class _CountingJournal(Journal):
    """Encodes frame metadata, which the writer's process stores."""

    def record(self, image: int, index: tuple[int, ...], encoded: bytes) -> None:
        self._counts[image] += 1


class _RemoteEngine:
    """What `DatasetWriter` and `FrameWriter` need of an engine."""

    def __init__(self, process: WriterProcess, put: Callable[[str, bytes], None]) -> None:
        self.failures = process.failures
        self.put = put  # after `close` of the stream


class RemoteDatasetWriter(DatasetWriter):
    """The dataset that the writer's process writes."""

    def __init__(self, process: WriterProcess, state: OutputState) -> None:
        layout = state.layout
        journal = _CountingJournal(
            layout.root, layout.journals, durable=False, encode_address=layout.encode_address
        )
        put = format_row(state.plan.settings.format.name).put
        replace = LocalStore(layout.root).put if put is None else partial(put, layout.root)
        engine: Any = _RemoteEngine(process, replace)
        metadata: Any = None  # in the writer's process until `use_closed`
        super().__init__(
            state.plan, layout, engine, metadata, journal, None, resumed=state.stored is not None
        )
        self.process = process
        self._can_carry_over = state.can_carry_over
        self._closed = False
        # called for each derived image, in the order of their numbers
        self.use_closed_images: list[Callable[[ClosedImages], None]] = []

    @property
    def can_carry_over(self) -> bool:
        return self._can_carry_over

    def flush(self, snapshot: object, *, counts_later: bool = False) -> bool:
        del snapshot, counts_later
        if not self._closed:
            self.process.flush()
        return True

    def discard(self) -> None:
        if not self.discarded:
            self.discarded = True
            self.process.call("discard")
            self.process.end()

    def get_metadata(self) -> Any:
        return super().get_metadata() if self._closed else self.process.call("get_metadata")

    def update_metadata(self, metadata: Any) -> None:
        if self._closed:
            super().update_metadata(metadata)
        else:
            self._use_state(self.process.call("update_metadata", metadata))

    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        if self._closed:
            super().set_global_metadata(namespace, metadata)
        else:
            self._use_state(self.process.call("set_global_metadata", namespace, metadata))

    def use_closed(self, closed: Closed) -> None:
        """Continue with the metadata of the closed dataset: the writer's process has ended."""
        self.metadata = closed.metadata
        self._closed = True
        for use, images in zip(self.use_closed_images, closed.derived, strict=False):
            use(images)

    def use_plan(self, plan: Plan) -> None:
        if self._closed:
            super().use_plan(plan)

    def _use_state(self, state: OutputState) -> None:
        self._can_carry_over = state.can_carry_over
        self.process.use_state(state)


class RemoteWriter(FrameWriter):
    """Assigns each frame its address, and puts it into the ring."""

    dataset_writer: RemoteDatasetWriter
    derived = 0  # number of its derived images in records; 0: those of the stream

    def __init__(
        self,
        plan: Plan,
        engine_row: EngineRow,
        dataset_writer: DatasetWriter,
        inference: FirstFrameInference,
        image_set: ImageSet | None = None,
    ) -> None:
        super().__init__(plan, engine_row, dataset_writer, inference, image_set)
        assert isinstance(dataset_writer, RemoteDatasetWriter)
        self.process = dataset_writer.process
        self.process.error = self.dataset_writer.error
        self._ring = self.process.ring
        lender: Any = self
        self.lending_engine = lender
        self._first_arrays = {image.addressing.first_array: image for image in plan.images}
        self._datasets: dict[Path, OpenDataset] = {}  # after `close`
        self._bytes_copied = 0
        # index, acquisition index and address of the frame that is being published
        self._publishing: tuple[Mapping[str, int], Sequence[int], Address] | None = None

    def write(
        self, frame: Any, index: Mapping[str, int] | None, encoded: bytes | None, copy: bool
    ) -> int | Mapping[str, int]:
        cursor, ring = self.cursor, self._ring
        if (last := ring.publisher) is not None and last.cursor.pending:
            last.recover()
        acquired = None if index is None else self._complete_index(index)
        address = cursor.next_address if acquired is None else self._address_of(acquired)
        if address is None:
            address = cursor.require_next()  # raises EndOfAcquisitionError
        number = cursor.accepted
        image, stored = self._images[address[0]], address[1]
        shape, dtype = image.frame_shape, image.levels[0].numpy_dtype
        if type(frame) is not np.ndarray or frame.shape != shape or frame.dtype != dtype:
            frame = as_frame(frame, shape, dtype)
        if self._inference.active:
            self._inference.frame_received(
                acquired or self.plan.router.indices(cursor.offset),
                last=number >= self.max_restart_frames,
            )
        ring.publisher = self
        cursor.pending = True  # until the counters include the frame; see `recover`
        began = perf_counter()
        extent = None if copy else ring.end_loan(frame)
        try:
            if extent is None:
                extent = ring.allocate(frame.nbytes)
                ring.array(extent, shape, dtype)[...] = frame
                self._bytes_copied += frame.nbytes
            values = replaces = None
            if acquired is not None:
                values = list(acquired.values())
                replaces = cursor.has_frame(values)
                self._publishing = index or {}, values, address
            elif cursor.revisits:
                replaces = cursor.next_has_frame()
            ring.publish(
                FRAME,
                self._record_number(),
                cursor.offset,
                image=address[0],
                extent=extent,
                address=(self.derived, *address),
                index=values,
                metadata=encoded,
                replaces=bool(replaces),
                derived=self.derived,
                reached=self._reached(acquired is None),
            )
        except Exception:
            cursor.pending = False
            if extent is not None:
                ring.release(extent)
            raise
        duration = perf_counter() - began
        if duration > self.longest_append_s:
            self.longest_append_s = duration
        if encoded is not None:
            self.journal.record(image.addressing.number, stored, encoded)
        if index is None or acquired is None or values is None:
            return cursor.advance()
        self._progress.include(acquired, address)
        cursor.count_explicit(index, values, address)
        self._publishing = None
        return acquired

    def _record_number(self) -> int:
        return self.cursor.accepted

    def _reached(self, in_order: bool) -> int:
        """Return the offset in acquisition order that the stream reaches with the next frame."""
        return self.cursor.offset + in_order

    def follow(self, earlier: RemoteWriter, state: OutputState) -> None:
        """Continue after the frames of an earlier writer, which are in the output of `state`."""
        vars(self.cursor).update(state.cursor or {})
        self.cursor.continue_repeats(earlier.cursor)
        self.cursor.reset_iterator()
        router = self.plan.router
        for address in self.cursor.explicit:
            self._progress.include(router.index_of(address), address)
        self.longest_append_s = earlier.longest_append_s
        self._bytes_copied = earlier.bytes_copied

    @property
    def bytes_copied(self) -> int:
        return self._bytes_copied

    def recover(self) -> None:
        self.cursor.reset_iterator()
        if self._ring.recover(self._record_number()):
            if self._publishing is None:
                self.cursor.advance()
            else:
                index, values, address = self._publishing
                self._progress.include(self.plan.router.index_of(address), address)
                self.cursor.count_explicit(index, values, address)
        self._publishing = None
        self.cursor.pending = False

    def skip(self, frames: int) -> range:
        skipped = super().skip(frames)
        self._ring.publish(SKIP, 0, frames, reached=self.cursor.offset)
        return skipped

    def lend(self, array: int) -> NDArray[np.generic]:
        """See `storage.contract.LendingEngine`."""
        image = self._first_arrays[array]
        return self._ring.lend(image.frame_shape, image.array.numpy_dtype)

    def reclaim(self, frame: NDArray[np.generic]) -> None:
        """See `storage.contract.LendingEngine`."""
        self._ring.reclaim(frame)

    def read(self, image: int, index: tuple[int, ...], level: int = 0) -> NDArray[np.generic]:
        spec = self._images[image]
        if level == 0:
            dtype = spec.levels[0].numpy_dtype
            frame = self._ring.pixels((self.derived, image, index), spec.frame_shape, dtype)
            if frame is not None:
                return frame
        if self._final_shapes or self.process.given_up:
            return self._read_closed(image, index, level)
        try:
            found: NDArray[np.generic] = self.process.call(
                "read", image, index, level, self.derived
            )
        except EndedError:  # another thread has closed the stream meanwhile
            return self._read_closed(image, index, level)
        return found

    def _read_closed(self, image: int, index: tuple[int, ...], level: int) -> NDArray[np.generic]:
        """Return a frame of the closed dataset; zeros where it has been trimmed."""
        from ome_writers.views import OpenDataset

        spec = self._images[image]
        path, number = self._closed_image(image)
        dataset = self._datasets.get(path) or OpenDataset.open(path)
        self._datasets[path] = dataset
        reached = dataset.spec.images[number].levels[level].shape
        stored = spec.addressing.plane(index)
        if all(i < n for i, n in zip(stored, reached, strict=False)):
            return dataset.read(number, index, level)
        array = spec.levels[level]
        return np.zeros((*array.frame_shape[:2], *spec.frame_shape[2:]), array.numpy_dtype)

    def _closed_image(self, image: int) -> tuple[Path, int]:
        """Return the dataset that an image is in, and its number there."""
        return self.dataset_writer.layout.output, image

    def spec(self, status: Status) -> DatasetSpec:
        self._ring.reap()
        self._progress.advance(self._ring.flushed_offset)
        return super().spec(status)

    def stats(self) -> StreamStats:
        ring = self._ring
        written, nbytes, depth, files, sent, evicted, *_ = ring.stats()
        return StreamStats(
            frames_accepted=self.accepted,
            frames_written=written,
            bytes_written=nbytes,
            queue_depth=depth,
            longest_append=self.longest_append_s,
            bytes_copied=self._bytes_copied,
            bytes_buffered=ring.used_bytes,
            bytes_lent=ring.lent_bytes,
            files_mirrored=files,
            bytes_mirrored=sent,
            bytes_evicted=evicted,
            writers_replaced=self.process.deaths,
        )

    def close(self, *, failed: bool) -> None:
        if (last := self._ring.publisher) is not None and last.cursor.pending:
            last.recover()
        closed = self.process.close(failed=failed, offset=self.cursor.offset)
        if closed is None:
            self._final_shapes = tuple(self._progress.final_shapes(trim=False))
            return
        self._final_shapes = closed.shapes
        self.dataset_writer.use_closed(closed)
        if closed.error is not None:
            raise restored(closed.error)
