"""Derived images of a stream whose writer is a process of its own: their planes are put into the same ring.

The writer's process adds them to its stream, and computes projections itself. A process that replaces it continues them
before it reads the ring.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats import Derivation
from ome_writers.routing import resolve
from ome_writers.settings import AcquisitionSettings
from ome_writers.streaming.dataset_writer import ImageSet
from ome_writers.streaming.derived import DerivedWriter
from ome_writers.streaming.first_frame import FirstFrameInference
from ome_writers.streaming.writer_process.frame_ring import MAX_DERIVED, extent_bytes
from ome_writers.streaming.writer_process.messages import (
    ClosedImages,
    DeriveArguments,
    DerivedState,
)
from ome_writers.streaming.writer_process.remote_writer import RemoteWriter


class RemoteDerivedFrames(RemoteWriter):
    """Puts the planes of derived images into the ring of `source`."""

    def __init__(self, source: RemoteWriter, state: DerivedState) -> None:
        inference = FirstFrameInference(state.plan.settings)
        inference.active = False
        metadata: Any = None  # in the writer's process
        dataset_writer = source.dataset_writer
        image_set = ImageSet(state.layout, metadata, dataset_writer.journal)
        super().__init__(state.plan, source.engine_row, dataset_writer, inference, image_set)
        self.derived = state.number
        self._source = source
        if state.stored is not None:
            self.resume(state.stored)

    def use_closed(self, closed: ClosedImages) -> None:
        """Continue with the planes of the closed dataset, which are those of the writer for a projection, too."""
        vars(self.cursor).update(closed.cursor)
        self.cursor.reset_iterator()
        for address in self.cursor.explicit:
            self._progress.include(self.plan.router.index_of(address), address)
        self._final_shapes = closed.shapes

    @property
    def closed(self) -> bool:
        return bool(self._final_shapes)

    def _record_number(self) -> int:
        return -2 - (self.cursor.accepted * (MAX_DERIVED + 1) + self.derived)

    def _reached(self, in_order: bool) -> int:
        del in_order
        return self._source.cursor.offset

    def _closed_image(self, image: int) -> tuple[Path, int]:
        return self.image_set.layout.root / self.plan.images[image].key, 0


class RemoteDerivedWriter(DerivedWriter):
    """The program's side of derived images; of a projection, the writer's process knows which planes there are."""

    frames: RemoteDerivedFrames

    def __init__(
        self,
        frames: RemoteDerivedFrames,
        source: RemoteWriter,
        derivation: Derivation,
        lock: AbstractContextManager[Any],
        *,
        projected: bool,
    ) -> None:
        super().__init__(frames, source, derivation, lock, None)
        self._projected = projected

    def extents(self, level: int = 0) -> Mapping[str, int]:
        if self._is_remote:
            found: Mapping[str, int] = self._request("extents", level)
            return found
        return super().extents(level)

    def has_frame(self, index: tuple[int, ...]) -> bool:
        if self._is_remote:
            return bool(self._request("has_frame", index))
        return super().has_frame(index)

    def count(self) -> int:
        return int(self._request("count")) if self._is_remote else super().count()

    def shapes(self) -> list[tuple[int, ...]]:
        if self._is_remote:
            found: list[tuple[int, ...]] = self._request("shapes")
            return found
        return super().shapes()

    @property
    def _is_remote(self) -> bool:
        return self._projected and not self.frames.closed and not self.frames.process.given_up

    def _request(self, name: str, *arguments: Any) -> Any:
        process = self.frames.process
        return process.call(
            "progress", self.frames.derived, name, *arguments, upto=process.ring.head
        )


def derive(
    source: RemoteWriter, arguments: DeriveArguments, lock: AbstractContextManager[Any]
) -> RemoteDerivedWriter:
    """Add derived images to the dataset of `source`; its stream's lock is held.

    Raises UnsupportedError if a plane does not fit into the ring.
    """
    derivation, settings, projected = arguments
    if projected is None:
        _check_memory(source, settings, derivation.name)
    state = source.process.derive(arguments)
    frames = RemoteDerivedFrames(source, state)
    writer = RemoteDerivedWriter(frames, source, derivation, lock, projected=projected is not None)
    source.dataset_writer.use_closed_images.append(frames.use_closed)
    return writer


def _check_memory(source: RemoteWriter, settings: AcquisitionSettings, name: str) -> None:
    """Refuse planes for which there might be no contiguous memory while a frame is lent."""
    largest = max(image.addressing.planes * image.array.frame_bytes for image in source.plan.images)
    nbytes = max(image.array.frame_bytes for image in resolve(settings).images)
    needed = 2 * extent_bytes(nbytes) + extent_bytes(largest)
    if source.process.ring.capacity < needed:
        raise UnsupportedError(
            f"The planes of {name!r} ({nbytes} bytes) do not fit into the memory that writer='process' shares. Set "
            f"buffer_bytes to at least {needed}."
        )
