"""What one output takes: each frame gets its place, goes to the engine, and what is to be said of it is kept.

An output may be made anew (see `learning`); then its intake is, too.
"""

from __future__ import annotations

from datetime import datetime, timezone
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.errors import UnsupportedError
from ome_writers.formats import Outcome
from ome_writers.routing import Progress
from ome_writers.storage import LendingEngine
from ome_writers.streaming.cursor import Cursor
from ome_writers.streaming.display_range import DisplayRangeSampler
from ome_writers.streaming.first_frame import Action
from ome_writers.streaming.frame_check import as_frame
from ome_writers.streaming.planes import planes_of, read_frame
from ome_writers.streaming.stats import StreamStats

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from ome_writers.formats import JournalEntry, Status
    from ome_writers.routing import Address, ImagePlan, Plan
    from ome_writers.storage import EngineRow
    from ome_writers.streaming.first_frame import FirstFrameInference
    from ome_writers.streaming.recorder import Recorder

__all__ = ["FrameWriter"]

Came = tuple[Action, "NDArray[np.generic] | None"]
"""What was done with an output, and the frame that it was done with; None where places were skipped."""


class FrameWriter:
    """The way in to one output. `take`, `skip` and `repeat` are for one thread at a time, the rest for any.

    Parameters
    ----------
    plan, row, recorder
        What will happen, with which engine, and who brings it to disk.
    learning
        Told what comes, as long as it wants to know.

    Attributes
    ----------
    lender
        The engine, where it lends memory to fill.
    longest
        Seconds that the engine has made `take` wait at most.
    revisits
        Whether the order may come to places that are filled.
    """

    def __init__(
        self, plan: Plan, row: EngineRow, recorder: Recorder, learning: FirstFrameInference
    ) -> None:
        self.plan = plan
        self.recorder = recorder
        self.engine = recorder.engine
        self.lender = self.engine if isinstance(self.engine, LendingEngine) else None
        self.revisits = plan.router.revisits
        self._row = row
        self._learning = learning
        self._images = plan.images
        self._placement = Cursor(plan)
        self._progress = Progress(plan)
        self._sampler = DisplayRangeSampler(plan)
        self._planes = 0  # of the frames that were accepted
        self.longest = 0.0

    @property
    def accepted(self) -> int:
        """Number of frames that were taken."""
        return self._placement.accepted

    def take(
        self, frame: Any, index: Mapping[str, int] | None, encoded: bytes | None, copy: bool
    ) -> int | Mapping[str, int]:
        """Give a frame its place and have it written; return its number in order, or the index it was given.

        Raises
        ------
        FrameShapeError, FrameTypeError, IndexError, UnsupportedError
            Of a frame or an index that does not fit; nothing was done.
        """
        placement = self._placement
        if placement.unsettled:
            self.recover()
        acquired = None if index is None else self._locate(index)
        address = placement.next if acquired is None else self._place(acquired)
        if address is None:
            address = placement.upcoming()  # raises: there is none
        number = placement.accepted
        one, at = self._images[address[0]], address[1]
        shape, dtype = one.frame_shape, one.array.dtype
        if type(frame) is not np.ndarray or frame.shape != shape or frame.dtype != dtype:
            frame = as_frame(frame, shape, dtype)
        if self._learning.open:
            where = acquired or self.plan.router.indices(placement.position)
            action = Action(self._progressed(), address, index, encoded)
            self._learning.note(action, where, frame.nbytes)
        placement.unsettled = (
            True  # until it is counted: `recover` follows if an exception comes between
        )
        began = perf_counter()
        if one.planes == 1:
            self.engine.write(number, one.number, at, frame, not copy)
        else:
            for at_plane, plane in planes_of(frame, at, one):
                self.engine.write(number, one.number, at_plane, plane, True)
        waited = perf_counter() - began
        if waited > self.longest:
            self.longest = waited
        if encoded is not None:
            self.recorder.journal.record(one.number, one.plane(at), encoded)
        self._planes += one.planes
        place: int | Mapping[str, int]
        if index is None or acquired is None:
            place = placement.advance()
        else:
            self.revisits = True  # the order comes to this place, too
            self._progress.include(acquired, address)
            placement.fill(index, address)
            place = acquired
        if number >= self._sampler.due:
            for at_plane, plane in planes_of(frame, at, one):
                self._sampler.look(number, one.number, at_plane, plane)
        return place

    def recover(self) -> None:
        """Continue after an exception, such as KeyboardInterrupt, has ended `take` between two steps.

        All frames but that of the call are where they were. Its place is still the next one, unless the engine cannot
        write a place twice and has this frame.
        """
        self._placement.restart()
        if self.engine.recover(self._placement.accepted):
            self._placement.advance()
        self._placement.unsettled = False

    def skip(self, frames: int) -> range:
        """Pass the next `frames` places, and return their positions in the acquisition order."""
        first = self._placement.position
        if self._learning.open:
            self._learning.note(Action(self._progressed(), None, skipped=frames), None, 0)
        self._placement.skip(frames)
        return range(first, self._placement.position)

    def image(self, index: Mapping[str, int] | None) -> ImagePlan:
        """Return the image of the frame for `index` (None: of the next in order)."""
        if index is None:
            return self._images[self._placement.upcoming()[0]]
        return self._images[self._place(self._locate(index))[0]]

    def acquired(self, index: Mapping[str, int] | None) -> Mapping[str, int]:
        """Return the whole acquisition index that `index` (None: the next in order) stands for."""
        if index is None:
            return self.plan.router.indices(self._placement.position)
        return self._locate(index)

    def is_filled(self, index: Mapping[str, int] | None) -> bool:
        """Whether a frame may be at `index` (None: next in order) already."""
        if index is None:
            return self._placement.comes_again()
        return self._placement.is_filled(list(self._locate(index).values()))

    def came(self) -> list[Came]:
        """Return what was done so far, with the frames, for the intake of another output."""
        return [
            (action, None if action.address is None else self.read(*action.address))
            for action in self._learning.completed(self._progressed())
        ]

    def repeat(self, came: Sequence[Came]) -> None:
        """Do again what was done with an output that was replaced."""
        self._learning.actions.clear()
        for action, frame in came:
            if frame is None:
                self.skip(action.skipped)
            else:
                self.take(frame, action.named, action.encoded, copy=False)

    def extents(self) -> Mapping[str, int]:
        """Return how far each acquisition axis was reached so far."""
        self._progress.advance(self._placement.position)
        return self._progress.extents

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Whether a frame may be at an acquisition index: it was taken, not only begun to be."""
        return self._placement.is_filled(index)

    def read(self, image: int, index: tuple[int, ...]) -> NDArray[np.generic]:
        """Return the frame at `index` (storage order) of an image, from memory or disk; zeros if unwritten."""
        return read_frame(self.engine, self._images[image], index)

    def stats(self) -> StreamStats:
        """Return how it goes."""
        engine = self.engine.stats()
        return StreamStats(
            frames_accepted=self.accepted,
            frames_written=engine.frames_written * self.accepted // (self._planes or 1),
            bytes_written=engine.bytes_written,
            queue_depth=engine.queue_depth,
            longest_append=self.longest,
        )

    def due(self) -> tuple[list[JournalEntry], Outcome]:
        """Return what a flush has to bring to disk: lines of frame metadata, and how far the acquisition is."""
        if self._placement.unsettled:
            self.recover()
        self._progress.advance(self._placement.position)
        shapes, extents = tuple(self._progress.shapes()), self._progress.extents
        windows, now = dict(self._sampler.windows), datetime.now(timezone.utc)
        outcome = Outcome("writing", self.accepted, shapes, windows, extents, now)
        return self.recorder.journal.pop_pending(), outcome

    def end(self, *, failed: bool) -> None:
        """Bring all that was taken to disk, and say how it ended; errors are kept in the recorder."""
        if self._placement.unsettled:
            self.recover()
        whole = self._placement.reached_end
        trim = self.plan.settings.on_incomplete == "trim" and not whole
        self._progress.advance(self._placement.position)
        shapes = self._progress.final_shapes(trim=trim)
        self.recorder.close_pixels(shapes)
        self.recorder.confirm(self.accepted)
        status: Status = "complete" if whole else "cancelled"
        if failed or self.recorder.failed:
            status = "failed"
        written = self.accepted - len(self.recorder.lost)
        windows, now = self._sampler.windows, datetime.now(timezone.utc)
        # in OME-Zarr their chunks are missing; in OME-TIFF nothing else tells them from black frames
        of_tiff = self.plan.settings.format.name == "ome-tiff"
        empty = self._placement.empty_planes(shapes) if of_tiff else {}
        outcome = Outcome(status, written, tuple(shapes), windows, time=now, empty_planes=empty)
        self.recorder.close_documents(outcome)

    def _progressed(self) -> tuple[int, int]:
        """Return what differs as soon as a frame was taken or places were skipped."""
        return self._placement.position, self._placement.accepted

    def _locate(self, index: Mapping[str, int]) -> dict[str, int]:
        """Return the whole acquisition index that an explicit index names."""
        if not self._row.random_access:
            raise UnsupportedError(
                f"Backend {self._row.name!r} takes frames in order only: index={dict(index)} cannot be addressed."
            )
        return self._placement.locate(index)

    def _place(self, acquired: Mapping[str, int]) -> Address:
        return self.plan.router.address_of(list(acquired.values()))
