"""`OMEDataLogic`: the data logic of an ophyd-async `StandardDetector` that writes OME-Zarr or OME-TIFF."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ophyd_async.core import (
    DetectorDataLogic,
    PathProvider,
    SignalR,
    StreamableDataProvider,
    observe_value,
    soft_signal_r_and_setter,
)

from ome_writers import Camera, OMEStream
from ome_writers_ophyd.output import OMEOutput
from ome_writers_ophyd.run_metadata import log_error


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

    _stream: OMEStream | None = None  # None if not prepared
    _stored = 0  # frames that the stream has accepted
    _tasks: list[asyncio.Task[None]]
    _new_frames: asyncio.Event
    _appending: ThreadPoolExecutor
    _loop: asyncio.AbstractEventLoop

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
        self.shape, self.dtype, self.frames = shape, dtype, frames
        self.frame_metadata = dict(frame_metadata or {})
        self.name = name
        self._tasks, self._new_frames = [], asyncio.Event()
        self._appending = ThreadPoolExecutor(1, f"ome-writers-{name}")  # keeps the order
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
        stream = self._writable()
        values = await asyncio.gather(*(s.get_value() for s in self.frame_metadata.values()))
        metadata = dict(zip(self.frame_metadata, values, strict=True)) | dict(frame_metadata or {})

        def store() -> None:
            index = self.output.index(self.name, self._stored)
            stream.append(np.asarray(frame), index=index, frame_metadata=metadata or None)
            self._count_frame()

        await self._loop.run_in_executor(self._appending, store)

    @contextmanager
    def frame_buffer(
        self, *, frame_metadata: dict[str, Any] | None = None
    ) -> Iterator[NDArray[np.generic]]:
        """Lend memory for the next frame, for a camera that reads into it on a thread of its own.

        Leaving the block stores the frame without a copy; see `ome_writers.OMEStream.frame_buffer`. Not on the event
        loop: it waits while the stream's memory is full. The signals of `frame_metadata` are not read.
        """
        stream, index = self._writable(), self.output.index(self.name, self._stored)
        with stream.frame_buffer(index=index, frame_metadata=frame_metadata) as frame:
            yield frame
        self._count_frame()

    async def prepare_unbounded(self, datakey_name: str) -> StreamableDataProvider:
        """Create the dataset, or join the one of the other detectors, and describe this detector's frames."""
        written, set_written = soft_signal_r_and_setter(int)
        stream = await self.output.prepare(self.name, datakey_name)
        self._stream, self._stored, self._loop = stream, 0, asyncio.get_running_loop()
        self._tasks = [asyncio.create_task(self._report(stream, set_written))]
        if self.frames is not None:
            self._tasks.append(asyncio.create_task(self._follow(self.frames)))
        for task in self._tasks:
            task.add_done_callback(log_error)
        return self.output.resource_provider(self.name, datakey_name, written)

    async def stop(self) -> None:
        """Close the dataset if no other detector writes to it; called when the detector is staged and unstaged.

        Raises
        ------
        WriteError
            Frames are not on disk; its `frames` lists them.
        Exception
            The error because of which frames of `frames` were not stored.
        """
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        try:
            results = await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            self._stream = None  # only now: a frame of `frames` may still be being stored
        await self.output.release(self.name)
        for error in results:
            if isinstance(error, Exception):
                raise error

    def _writable(self) -> OMEStream:
        if self._stream is None:
            raise RuntimeError(
                f"{self.name}: not prepared. Frames are stored from prepare or trigger to unstage."
            )
        return self._stream

    def _count_frame(self) -> None:
        self._stored += 1
        self._loop.call_soon_threadsafe(self._new_frames.set)

    async def _describe(self) -> Camera:
        known: Any = (*self.shape, self.dtype)
        if self.frames is not None:
            frame = np.asarray(await self.frames.get_value())
            known = (*frame.shape[:2], frame.dtype)
        height, width, dtype = [await v.get_value() if isinstance(v, SignalR) else v for v in known]
        return Camera(name=self.name, height=height, width=width, dtype=dtype, separate_image=True)

    async def _report(self, stream: OMEStream, set_written: Callable[[int], None]) -> None:
        """Update the number of collections after each flush, so that other processes can read what is reported."""
        while True:
            await self._new_frames.wait()
            self._new_frames.clear()
            stored, began = self._stored, self._loop.time()
            await asyncio.to_thread(stream.flush)
            set_written(stored)
            # `append` is slower during a flush
            await asyncio.sleep(min(0.1, 9 * (self._loop.time() - began)))

    async def _follow(self, signal: SignalR[Any]) -> None:
        updates = observe_value(signal)
        await anext(updates)  # the value from before the first exposure
        async for frame in updates:
            storing = asyncio.ensure_future(self.append(frame))
            try:
                await asyncio.shield(storing)
            except asyncio.CancelledError:  # unstaged: store this frame, or raise its error
                await storing
                raise
