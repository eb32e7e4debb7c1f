"""A `UniMMCore` that lends memory to Python cameras, so that their frames are written to OME-Zarr without a copy."""

# ruff: noqa: N802, N803  # overridden methods of CMMCore
from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray
from pymmcore_plus.experimental.unicore import UniMMCore

from ome_writers import OMEStream
from ome_writers_pymmcore.frame_metadata import tag_metadata
from ome_writers_pymmcore.notifications import end_notifications_at_exit

_MIB = 2**20
_DEFAULT_SIZE_MIB = 1000


class _Slot(NamedTuple):
    frame: NDArray[Any]
    loan: AbstractContextManager[NDArray[Any]] | None  # None: memory of the queue
    metadata: dict[str, Any]


class FrameQueue:
    """Queue of frames that a Python camera fills, with the interface of UniMMCore's ring buffer.

    Frames are popped as the arrays that the camera filled; UniMMCore's buffer copies them. While a stream lends its
    memory, the camera fills frames of the stream, which are committed immediately: the queue stays empty and cannot
    overflow. A camera that is faster than the disk then blocks until the stream has free memory.

    Parameters
    ----------
    size_mb
        Capacity in MiB.
    """

    def __init__(self, size_mb: float = _DEFAULT_SIZE_MIB) -> None:
        self.size_bytes = int(size_mb * _MIB)
        self.overwrite_on_overflow = True
        self.overflow_occurred = False
        self.committed = 0
        """Number of frames committed to the stream."""
        self.error: Exception | None = None
        """The first error of the stream or of a loan."""
        self._frames: deque[tuple[NDArray[Any], Mapping[str, Any]]] = deque()
        self._slots: deque[_Slot] = deque()
        self._stream: OMEStream | None = None
        self._exposure_ms: float | None = None
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ camera thread

    def acquire_slot(self, shape: Sequence[int], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """Return memory for the next frame."""
        if self._stream is not None:
            return self._borrow(self._stream, tuple(shape), np.dtype(dtype))
        frame: NDArray[Any] = np.empty(tuple(shape), dtype)
        with self._lock:
            while self._frames and self.used_bytes + frame.nbytes > self.size_bytes:
                self.overflow_occurred = True
                if not self.overwrite_on_overflow:
                    raise BufferError(
                        f"Camera buffer full: {len(self._frames)} frames, {self.size_mb:g} MiB. Pop them faster, or "
                        "enlarge it with core.setCircularBufferMemoryFootprint."
                    )
                self._frames.popleft()
            self._slots.append(_Slot(frame, None, {}))
        return frame

    def finalize_slot(self, metadata: Mapping[str, Any] | None = None) -> None:
        """Mark the oldest pending frame as filled: queue it, or commit it to the stream."""
        with self._lock:
            if not self._slots:
                raise RuntimeError("No pending slot to finalize")
            slot = self._slots.popleft()
            if slot.loan is None:
                self._frames.append((slot.frame, metadata or {}))
                return
        slot.metadata.update(tag_metadata(metadata or {}, exposure_ms=self._exposure_ms))
        try:
            slot.loan.__exit__(None, None, None)
        except Exception as error:
            self.error = self.error or error
        else:
            self.committed += 1

    # ------------------------------------------------------------------ consumer

    def pop_next(
        self, *, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], Mapping[str, Any]] | None:
        """Remove and return the oldest frame, without a copy unless `out` is given."""
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
        """Return a copy of the newest frame in the queue."""
        return self.peek_nth_from_last(0, out=out)

    def peek_nth_from_last(
        self, n: int, *, out: NDArray[Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]] | None:
        """Return a copy of the `n`-th newest frame in the queue."""
        with self._lock:
            if not 0 <= n < len(self._frames):
                return None
            frame, metadata = self._frames[-1 - n]
        if out is None:
            return frame.copy(), dict(metadata)
        out[...] = frame
        return out, dict(metadata)

    def clear(self) -> None:
        """Discard all frames, and return unfilled memory to the stream."""
        with self._lock:
            self._frames.clear()
            slots, self._slots = list(self._slots), deque()
            self.overflow_occurred = False
        unused = RuntimeError("The camera did not fill this frame.")
        for slot in slots:
            if slot.loan is not None:
                slot.loan.__exit__(RuntimeError, unused, None)

    def lend(self, stream: OMEStream | None, exposure_ms: float | None = None) -> None:
        """Clear the queue, and lend the memory of `stream` from now on; None stops lending."""
        self.clear()
        if stream is not None:
            self.committed, self.error = 0, None
        self._stream, self._exposure_ms = stream, exposure_ms

    @property
    def used_bytes(self) -> int:
        """Size of the frames in the queue."""
        return sum(frame.nbytes for frame, _ in self._frames)

    @property
    def free_bytes(self) -> int:
        """Remaining capacity in bytes."""
        return max(0, self.size_bytes - self.used_bytes)

    @property
    def size_mb(self) -> float:
        """Capacity in MiB."""
        return self.size_bytes / _MIB

    def __len__(self) -> int:
        return len(self._frames)

    def _borrow(
        self, stream: OMEStream, shape: tuple[int, ...], dtype: np.dtype[Any]
    ) -> NDArray[Any]:
        """Return a frame in the stream's memory. UniMMCore stops the camera on the BufferError raised otherwise."""
        try:
            if self.error is not None:
                raise self.error
            metadata: dict[str, Any] = {}
            loan = stream.frame_buffer(frame_metadata=metadata)
            frame = loan.__enter__()
        except Exception as error:
            self.error = self.error or error
            raise BufferError(f"The stream does not accept frames: {error}") from error
        if frame.shape != shape or frame.dtype != dtype:
            self.error = ValueError(
                f"The camera delivers frames of shape {shape} and dtype {dtype}, but the stream expects "
                f"{frame.shape} and {frame.dtype}. Do not change region of interest or binning during a recording."
            )
            loan.__exit__(ValueError, self.error, None)
            raise BufferError(str(self.error))
        with self._lock:
            self._slots.append(_Slot(frame, loan, metadata))
        return frame


class LendingCore(UniMMCore):
    """A `UniMMCore` whose Python cameras fill memory that is written without a copy.

    It is used like a `UniMMCore`. Frames of a sequence acquisition are popped as the arrays that the camera filled, and
    `MDAWriter` and `record` write these arrays. With `lend`, the camera fills the stream's own memory.

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
        end_notifications_at_exit(self)

    def setCircularBufferMemoryFootprint(self, sizeMB: int) -> None:
        """Set the capacity of the frame queue in MiB; frames in it are discarded."""
        super().setCircularBufferMemoryFootprint(sizeMB)
        self._seq_buffer = FrameQueue(sizeMB)

    @contextmanager
    def lend(self, stream: OMEStream) -> Iterator[FrameQueue]:
        """Lend the memory of `stream` to the camera during sequence acquisitions in this block.

        Each frame is written as soon as the camera has filled it, in order; frames cannot be popped. Stop the sequence
        acquisition before leaving the block.

        Yields
        ------
        The queue; its `committed` is the number of frames written so far.

        Raises
        ------
        Exception
            On leaving the block: the first error of the stream.
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
        """Whether the selected camera is a Python camera, which `lend` requires."""
        return self._py_camera() is not None
