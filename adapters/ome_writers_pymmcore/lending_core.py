"""A core that lends memory to Python cameras, which `record` and `MDAWriter` write to OME-Zarr without a copy."""

# The methods have Micro-Manager's own names.
# ruff: noqa: N802, N803  # see above
from __future__ import annotations

import threading
from collections import deque
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pymmcore_plus.experimental.unicore import UniMMCore

from ome_writers_pymmcore.frame_metadata import tag_facts
from ome_writers_pymmcore.notifications import end_notifications_in_time

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import DTypeLike, NDArray

    from ome_writers import OMEStream

__all__ = ["FrameQueue", "LendingCore"]

_MIB = 2**20
_DEFAULT_MB = 1000


class _Slot(NamedTuple):
    frame: NDArray[Any]
    loan: AbstractContextManager[NDArray[Any]] | None
    facts: dict[str, Any]


class FrameQueue:
    """What a Python camera fills while a sequence runs: single frames, each of which is popped as it is.

    It stands in the place of UniMMCore's ring buffer, from which popping copies. While a stream lends its memory, the
    camera fills frames of that, and they go to the stream at once: nothing waits here, and nothing overflows; a
    camera that is faster than the disk is held up when the stream's memory is used up.

    Parameters
    ----------
    size_mb
        How much may wait to be popped, in MiB.
    """

    def __init__(self, size_mb: float = _DEFAULT_MB) -> None:
        self.size_bytes = int(size_mb * _MIB)
        self.overwrite_on_overflow = True
        self.overflow_occurred = False
        self.committed = 0
        """Frames that went to the stream."""
        self.error: Exception | None = None
        """What ended a loan before its time."""
        self._frames: deque[tuple[NDArray[Any], Mapping[str, Any]]] = deque()
        self._slots: deque[_Slot] = deque()
        self._stream: OMEStream | None = None
        self._exposure_ms: float | None = None
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ the camera's side

    def acquire_slot(self, shape: Sequence[int], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """Return memory for the next frame."""
        if self._stream is not None:
            return self._borrow(self._stream, tuple(shape), np.dtype(dtype))
        frame: NDArray[Any] = np.empty(tuple(shape), dtype)
        with self._lock:
            while self._frames and self.used_bytes + frame.nbytes > self.size_bytes:
                self.overflow_occurred = True
                if not self.overwrite_on_overflow:
                    raise BufferError(f"{len(self._frames)} frames wait: the buffer is full.")
                self._frames.popleft()
            self._slots.append(_Slot(frame, None, {}))
        return frame

    def finalize_slot(self, metadata: Mapping[str, Any] | None = None) -> None:
        """Take the oldest frame that the camera was given memory for: it is filled."""
        with self._lock:
            if not self._slots:
                raise RuntimeError("No pending slot to finalize")
            slot = self._slots.popleft()
            if slot.loan is None:
                self._frames.append((slot.frame, metadata or {}))
                return
        slot.facts.update(tag_facts(metadata or {}, exposure_ms=self._exposure_ms))
        try:
            slot.loan.__exit__(None, None, None)
        except Exception as error:
            self.error = self.error or error
        else:
            self.committed += 1

    # ------------------------------------------------------------------ the other side

    def pop_next(
        self, *, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], Mapping[str, Any]] | None:
        """Remove and return the oldest frame: the very array that the camera filled."""
        with self._lock:
            if not self._frames:
                return None
            frame, metadata = self._frames.popleft()
        if out is None:
            return frame, metadata
        out[...] = frame
        return out, metadata

    def peek_last(
        self, *, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]] | None:
        """Return a copy of the newest frame that waits."""
        return self.peek_nth_from_last(0, out=out)

    def peek_nth_from_last(
        self, n: int, *, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]] | None:
        """Return a copy of the `n`-th newest frame that waits."""
        with self._lock:
            if not 0 <= n < len(self._frames):
                return None
            frame, metadata = self._frames[-1 - n]
        if out is None:
            return frame.copy(), dict(metadata)
        out[...] = frame
        return out, dict(metadata)

    def clear(self) -> None:
        """Forget what waits, and give back what was borrowed and not filled."""
        with self._lock:
            self._frames.clear()
            slots, self._slots = list(self._slots), deque()
            self.overflow_occurred = False
        unused = RuntimeError("not filled")
        for slot in slots:
            if slot.loan is not None:
                slot.loan.__exit__(RuntimeError, unused, None)

    def lend(self, stream: OMEStream | None, exposure_ms: float | None = None) -> None:
        """Have frames filled in the memory of `stream` from now on; None ends that."""
        self.clear()
        if stream is not None:
            self.committed, self.error = 0, None
        self._stream, self._exposure_ms = stream, exposure_ms

    @property
    def used_bytes(self) -> int:
        """Bytes of the frames that wait."""
        return sum(frame.nbytes for frame, _ in self._frames)

    @property
    def free_bytes(self) -> int:
        """Bytes that may still come."""
        return max(0, self.size_bytes - self.used_bytes)

    @property
    def size_mb(self) -> float:
        """How much may wait, in MiB."""
        return self.size_bytes / _MIB

    def __len__(self) -> int:
        return len(self._frames)

    def _borrow(
        self, stream: OMEStream, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        """Return a frame of the stream's memory; a BufferError stops the camera without a fuss."""
        try:
            if self.error is not None:
                raise self.error
            facts: dict[str, Any] = {}
            loan = stream.frame_buffer(frame_metadata=facts)
            frame = loan.__enter__()
        except Exception as error:
            self.error = self.error or error
            raise BufferError(f"The stream takes no more frames: {error}") from error
        if frame.shape != shape or frame.dtype != dtype:
            self.error = ValueError(
                f"The camera wants to fill a frame of shape {shape} and dtype {dtype}; this stream's are "
                f"{frame.shape} {frame.dtype}. Were region of interest or binning changed?"
            )
            loan.__exit__(ValueError, self.error, None)
            raise BufferError(str(self.error))
        with self._lock:
            self._slots.append(_Slot(frame, loan, facts))
        return frame


class LendingCore(UniMMCore):
    """A UniMMCore whose Python cameras fill memory that needs no copy to be written.

    In use it is a UniMMCore. Frames of a sequence acquisition are popped as the arrays that the camera filled, so
    that an `MDAWriter` or `record` writes them from there. With `lend`, the camera fills the stream's own memory.

    Examples
    --------
    ::

        core = LendingCore()
        core.loadPyDevice("Camera", MyCamera())
        ...
        record(core, "burst.ome.zarr", n_frames=1000)
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._seq_buffer: Any = FrameQueue()
        end_notifications_in_time(self)

    def setCircularBufferMemoryFootprint(self, sizeMB: int) -> None:
        """Set how much may wait to be popped, in MiB."""
        super().setCircularBufferMemoryFootprint(sizeMB)
        self._seq_buffer = FrameQueue(sizeMB)

    @contextmanager
    def lend(self, stream: OMEStream) -> Iterator[FrameQueue]:
        """Lend the memory of `stream` to the camera's next sequence acquisitions.

        Inside the block, each frame that the camera fills is written, in order; none can be popped. Leave it when
        the sequence is over.

        Yields
        ------
        The queue, whose `committed` counts the frames.

        Raises
        ------
        Exception
            When the block is left: what kept the stream from taking a frame.
        """
        queue: FrameQueue = self._seq_buffer
        queue.lend(stream, self.getExposure())
        try:
            yield queue
        finally:
            queue.lend(None)
        if queue.error is not None:
            raise queue.error

    @property
    def has_python_camera(self) -> bool:
        """Whether the selected camera is a Python camera, one that can be lent memory."""
        return self._py_camera() is not None
