"""`OMEDataLogic`: the data logic of an ophyd-async `StandardDetector` that writes OME-Zarr or OME-TIFF."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ophyd_async.core import (
    DetectorDataLogic,
    SignalR,
    observe_value,
    soft_signal_r_and_setter,
)

from ome_writers import Camera, OMEStream
from ome_writers_ophyd.output import OMEOutput

if TYPE_CHECKING:
    from ophyd_async.core import PathProvider, StreamableDataProvider


_log = logging.getLogger(__name__)


class OMEDataLogic(DetectorDataLogic):
    """Writes the frames of one detector, and reports a frame to bluesky when other processes can read it.

    For step and fly scans with any number of frames. Frames come from `append` (on the event loop), from
    `frame_buffer` (on another thread, for a camera that reads into memory), or from a signal (`frames`).

    Parameters
    ----------
    output
        A path provider, for a dataset of this detector alone; or an `OMEOutput`, for settings or a shared dataset.
    shape
        Height and width in pixels, each a number or a signal. Not needed with `frames`.
    dtype
        Of the frames; numpy's name of it, or a signal with that name. Not needed with `frames`.
    frames
        A signal with the current frame: each update while the detector is prepared is a frame.
    frame_metadata
        Signals that are read with each frame, by metadata key: ``{"position_x": stage.x.user_readback}``. Positions
        are in micrometer, ``exposure_time`` in seconds; see `ome_writers.OMEStream.append`.
    name
        The detector's name in a shared dataset.
    datakey_suffix
        Follows the detector's name in the data key.
    """

    _shape: Sequence[int | SignalR[int]]
    _dtype: str | SignalR[str]
    _frames: SignalR[Any] | None
    _frame_metadata: Mapping[str, SignalR[Any]]
    _name: str
    _stream: OMEStream | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _accepted = 0  # frames that have an index
    _stored = 0  # frames that the stream has accepted
    _error: Exception | None = None
    _tasks: tuple[asyncio.Task[None], ...] = ()
    _new_frames: asyncio.Event
    _written: SignalR[int]
    _set_written: Callable[[int], None]

    def __init__(
        self,
        output: OMEOutput | PathProvider,
        *,
        shape: Sequence[int | SignalR[int]] = (),
        dtype: str | SignalR[str] = "uint16",
        frames: SignalR[Any] | None = None,
        frame_metadata: Mapping[str, SignalR[Any]] | None = None,
        name: str = "detector",
        datakey_suffix: str = "",
    ) -> None:
        if frames is None and len(shape) != 2:
            raise TypeError(f"OMEDataLogic: shape must be (height, width), got {shape!r}.")
        self.output = output if isinstance(output, OMEOutput) else OMEOutput(output)
        self.datakey_suffix = datakey_suffix
        self._shape, self._dtype, self._frames = shape, dtype, frames
        self._frame_metadata = dict(frame_metadata or {})
        self._name = name
        self._written, self._set_written = soft_signal_r_and_setter(int)
        self._new_frames = asyncio.Event()
        self.output.add_detector(name, self._describe)

    async def append(
        self, frame: ArrayLike, *, frame_metadata: Mapping[str, Any] | None = None
    ) -> None:
        """Store the next frame; waits in a thread while the stream's memory is full.

        Await each call before the next: this is the order of the frames. `frame` may be modified afterwards.

        Raises
        ------
        FrameShapeError, FrameTypeError
            The frame differs from what was described to bluesky.
        IndexError
            The dimensions define fewer frames.
        WriteError
            Earlier frames could not be written.
        RuntimeError
            The detector is not prepared.
        """
        stream, metadata = self._writable(), dict(frame_metadata or {})
        if self._frame_metadata:
            values = await asyncio.gather(*(s.get_value() for s in self._frame_metadata.values()))
            metadata = dict(zip(self._frame_metadata, values, strict=True)) | metadata
        index = self.output.index(self._name, self._accepted)
        self._accepted += 1
        await asyncio.to_thread(
            stream.append, np.asarray(frame), index=index, frame_metadata=metadata or None
        )
        self._stored += 1
        self._new_frames.set()

    @contextmanager
    def frame_buffer(
        self, *, frame_metadata: dict[str, Any] | None = None
    ) -> Iterator[NDArray[np.generic]]:
        """Lend memory for the next frame, for a camera that reads into it on a thread of its own.

        Leaving the block stores the frame without a copy; see `ome_writers.OMEStream.frame_buffer`. Not on the event
        loop: it waits while the stream's memory is full. The signals of `frame_metadata` are not read.
        """
        stream, index = self._writable(), self.output.index(self._name, self._accepted)
        with stream.frame_buffer(index=index, frame_metadata=frame_metadata) as frame:
            yield frame
        self._accepted = self._stored = self._accepted + 1
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._new_frames.set)

    async def prepare_unbounded(self, datakey_name: str) -> StreamableDataProvider:
        """Create the dataset, or join the one of the other detectors, and describe this detector's frames."""
        stream = await self.output.prepare(self._name, datakey_name)
        self._stream, self._loop, self._error = stream, asyncio.get_running_loop(), None
        self._accepted = self._stored = 0
        self._set_written(0)
        self._tasks = (asyncio.create_task(self._report(stream)),)
        if self._frames is not None:
            self._tasks += (asyncio.create_task(self._follow(self._frames)),)
        return self.output.resource_provider(self._name, datakey_name, self._written)

    async def stop(self) -> None:
        """Close the dataset if no other detector writes to it; called when the detector is staged and unstaged.

        Raises
        ------
        WriteError
            Frames are not on disk; its `frames` lists them.
        Exception
            The error because of which frames of `frames` were not stored.
        """
        tasks, self._tasks, self._stream = self._tasks, (), None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        error, self._error = self._error, None
        await self.output.release(self._name)
        if error is not None:
            raise error

    def _writable(self) -> OMEStream:
        if self._error is not None:
            raise self._error
        if self._stream is None:
            raise RuntimeError(
                f"{self._name}: not prepared. Frames are stored from prepare or trigger to unstage."
            )
        return self._stream

    async def _describe(self) -> Camera:
        if self._frames is not None:
            frame = np.asarray(await self._frames.get_value())
            height, width, dtype = *frame.shape[:2], frame.dtype
        else:
            height, width, dtype = [await _value(v) for v in (*self._shape, self._dtype)]
        return Camera(
            name=self._name,
            height=height,
            width=width,
            dtype=np.dtype(dtype).name,
            separate_image=True,
        )

    async def _report(self, stream: OMEStream) -> None:
        """Update the number of collections after each flush, so that other processes can read what is reported."""
        while True:
            await self._new_frames.wait()
            self._new_frames.clear()
            stored = self._stored
            try:
                await asyncio.to_thread(stream.flush)
            except Exception as error:
                self._fail(error)
                return
            self._set_written(stored)

    async def _follow(self, signal: SignalR[Any]) -> None:
        updates = observe_value(signal)
        await anext(updates)  # the value from before the first exposure
        async for frame in updates:
            try:
                await self.append(frame)
            except Exception as error:
                self._fail(error)
                return

    def _fail(self, error: Exception) -> None:
        """Keep an error for `append` and `stop`; bluesky itself only sees that no more collections are written."""
        self._error = error
        _log.error("%s: %s", self._name, error)


async def _value(value: Any) -> Any:
    return await value.get_value() if isinstance(value, SignalR) else value
