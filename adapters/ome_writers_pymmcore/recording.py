"""Record a free-running or hardware-triggered sequence acquisition from the camera's buffer."""

# Longer than 300 lines: one function and its state; a third is documentation.

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal

from ome_writers import AcquisitionSettings, OMEStream, SettingsError, create_stream
from ome_writers_pymmcore.acquisition_settings import (
    list_settings,
    plan_acquisition,
    unused_output,
    user_settings,
)
from ome_writers_pymmcore.camera_buffer import frames
from ome_writers_pymmcore.cameras import select_cameras
from ome_writers_pymmcore.frame_metadata import tag_metadata
from ome_writers_pymmcore.microscope import Microscope
from ome_writers_pymmcore.notifications import end_notifications_at_exit
from ome_writers_pymmcore.progress import Counts, progress_reporter
from ome_writers_pymmcore.resuming import remaining_events, resumed_stream
from ome_writers_pymmcore.summary import write_summary
from ome_writers_pymmcore.writer import MDAWriter

if TYPE_CHECKING:
    import useq
    from pymmcore_plus import CMMCorePlus
    from typing_extensions import Unpack

    from ome_writers import SettingsFields


_MAX_FRAMES = 2**31 - 1  # limit of startSequenceAcquisition
_POLL_INTERVAL_S = 0.01


@list_settings
def record(
    core: CMMCorePlus,
    output: str | os.PathLike[str] | AcquisitionSettings,
    *,
    n_frames: int | None = None,
    duration: float | None = None,
    sequence: useq.MDASequence | None = None,
    cameras: Sequence[str] | None = None,
    interval_ms: float = 0.0,
    timeout: float | None = 20.0,
    progress: bool | Callable[[Counts], object] = True,
    numbered: bool = False,
    resume: bool = False,
    writer: Literal["thread", "process"] | None = None,
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
    **settings: Unpack[SettingsFields],
) -> Counts:
    """Record a sequence acquisition of the selected camera, without an acquisition engine.

    Starts the camera unless it is already running, and writes each frame that is popped from the buffer, without
    another copy. Python cameras of a `LendingCore` fill the stream's own memory instead. Returns when all frames are
    on disk.

    Parameters
    ----------
    core
        The core; exposure, region of interest and triggers are used as configured.
    output
        Where to write: a path whose suffix determines the format, or `AcquisitionSettings`.
    n_frames
        Number of frames per camera; None: until `duration` has elapsed.
    duration
        Seconds to record, counted from the first frame; None: until `n_frames` have been received.
    sequence
        The sequence that triggered devices step through during the recording. Frames are stored in the order of its
        events, and their number is that of the events.
    cameras
        Labels of the cameras that deliver into the buffer, if these are not the selected camera or the physical
        cameras of the selected multi-camera device. The tag ``Camera`` identifies the camera of a frame.
    interval_ms
        Time between frames, for cameras that support it.
    timeout
        Maximum time to wait for a frame, in seconds; None waits for a trigger without a limit.
    progress
        True: a progress bar, if stderr is a terminal. A callable is called with the `Counts` about ten times per
        second.
    numbered
        If the output exists, write to the next unused name (``x_1.ome.zarr``).
    resume
        Whether to continue the dataset if it exists. With a `sequence`, the engine of the core runs the events whose
        frames are missing (see `remaining_events`); otherwise the camera delivers the frames that are missing.
    writer
        ``"process"``: frames are written by a process of its own, and survive a crash of this one; see
        `ome_writers.create_stream`.
    chunk_shapes, shard_shapes
        Axis name (t, y, x) to chunk size (pixels) and shard size (chunks).
    **settings
        Further fields of `AcquisitionSettings`.

    Returns
    -------
    Counts
        Frames received, written and dropped. If the camera stopped because its buffer was full, all frames in the
        buffer are written, and `overflowed` is set.

    Raises
    ------
    ValueError
        If none of `n_frames`, `duration` and a finite `sequence` is given, or no camera is selected.
    TimeoutError
        If no frame was delivered within `timeout`; earlier frames are written.
    ome_writers.WriteError
        If frames could not be written; the camera is stopped.

    Warns
    -----
    RuntimeWarning
        If the buffer overflowed, or the camera stopped before `n_frames` or `duration` was reached.
    """
    from pymmcore_plus.metadata import summary_metadata

    for name, length in (("n_frames", n_frames), ("duration", duration)):
        if length is not None and (not isinstance(length, Real) or not length > 0):
            raise SettingsError(f"{name} must be a positive number, got {length!r}.")
    end_notifications_at_exit(core)
    user = user_settings(output, settings)
    path = user.get("root_path")
    if resume and sequence is not None and path and os.path.exists(path):
        run = MDAWriter(
            output,
            core=core,
            cameras=cameras,
            resume=True,
            sequence=sequence,
            writer=writer,
            chunk_shapes=chunk_shapes,
            shard_shapes=shard_shapes,
            **settings,
        )
        core.mda.run(remaining_events(sequence, path), output=run)
        return run.result()
    summary = summary_metadata(core, include_property_details=False)
    microscope, _ = select_cameras(Microscope.of(summary), (), cameras)
    planned, _ = plan_acquisition(
        sequence,
        microscope,
        user,
        n_frames=n_frames,
        chunk_shapes=chunk_shapes,
        shard_shapes=shard_shapes,
    )
    if n_frames is None and planned.num_frames is not None:
        n_frames = planned.num_frames // len(microscope.cameras)
    if n_frames is None and duration is None:
        raise SettingsError(
            "The recording has no end. Pass n_frames, duration, a finite sequence, or several of them (the first one "
            "reached ends the recording)."
        )
    if numbered and planned.root_path:
        planned = unused_output(planned)
    path = planned.output_path if planned.root_path else ""
    stream = resumed_stream(planned, writer)[0] if resume else create_stream(planned, writer=writer)
    on_disk = stream.stats().frames_written
    if n_frames is not None:
        n_frames -= on_disk // len(microscope.cameras)
    recording = _Recording(core, microscope, n_frames, duration, interval_ms, timeout)
    with stream, progress_reporter(progress, path) as report:
        if not on_disk:
            write_summary(stream, summary)
        recording.run(stream, report)
    counts = recording.counts(written=stream.stats().frames_written)
    if counts.overflowed:
        warnings.warn(
            f"The camera stopped because its buffer of {core.getCircularBufferMemoryFootprint()} MB was full: "
            f"{counts}. Enlarge it with core.setCircularBufferMemoryFootprint, or write to a faster disk.",
            RuntimeWarning,
            stacklevel=2,
        )
    elif recording.stopped_early:
        missing = "duration had elapsed" if n_frames is None else "all frames were received"
        warnings.warn(
            f"The camera stopped before {missing}: {counts}. It failed, or other code stopped it. A Python camera "
            "prints its error to stderr.",
            RuntimeWarning,
            stacklevel=2,
        )
    return counts


class _Recording:
    """State of one recording. The lists have one item per camera."""

    def __init__(
        self,
        core: CMMCorePlus,
        microscope: Microscope,
        n_frames: int | None,
        duration: float | None,
        interval_ms: float,
        timeout: float | None,
    ) -> None:
        self._core = core
        self._labels = [camera.label for camera in microscope.cameras]
        self._n_frames = n_frames
        self._duration = duration
        self._interval_ms = interval_ms
        self._timeout = timeout
        self._received = [0] * len(self._labels)
        # The camera's own frame numbers, -1 if unknown.
        self._first_number = [-1] * len(self._labels)
        self._last_number = [-1] * len(self._labels)
        self._start_time = self._end_time = 0.0
        self._stop_requested = False
        self._overflowed = False
        self._exposure_ms = float(core.getExposure())

    def run(self, stream: OMEStream, report: Callable[[Counts], object]) -> None:
        core = self._core
        running = core.isSequenceRunning()
        can_lend = getattr(core, "has_python_camera", False)
        try:
            if can_lend and not running and len(self._labels) == 1:
                self._lend(stream, report)
            else:
                if not running:
                    self._start_camera()
                self._pop(stream, report)
        finally:
            self._overflowed = bool(core.isBufferOverflowed())
            if core.isSequenceRunning():
                core.stopSequenceAcquisition()
            self._end_time = time.perf_counter()

    @property
    def stopped_early(self) -> bool:
        """Whether the camera stopped by itself before `n_frames` or `duration` was reached."""
        if self._stop_requested or self._overflowed or self._duration_elapsed():
            return False
        # Include frames that the camera numbered but that were lost afterwards.
        acquired = [
            max(n, last + 1) for n, last in zip(self._received, self._last_number, strict=True)
        ]
        return self._n_frames is None or min(acquired) < self._n_frames

    def counts(self, *, written: int) -> Counts:
        """Return the counts; `written` comes from the stream's statistics."""
        received = sum(self._received)
        numbers = zip(self._first_number, self._last_number, strict=True)
        numbered = sum(last - first + 1 for first, last in numbers if last >= 0)
        expected = None if self._n_frames is None else self._n_frames * len(self._labels)
        completed = self._end_time and not self._stop_requested
        acquired = max(numbered, expected or 0) if completed else numbered
        return Counts(
            received=received,
            written=written,
            dropped=max(0, acquired - received),
            expected=expected,
            seconds=self._elapsed_s(),
            overflowed=self._overflowed,
        )

    def _start_camera(self) -> None:
        """Start the camera such that it stops when the buffer is full, instead of overwriting frames."""
        # A multi-camera device counts frames per camera, other devices count all frames.
        factor = max(1, len(self._labels) // self._core.getNumberOfCameraChannels())
        n_frames = _MAX_FRAMES if self._n_frames is None else self._n_frames * factor
        self._core.startSequenceAcquisition(n_frames, self._interval_ms, True)

    def _pop(self, stream: OMEStream, report: Callable[[Counts], object]) -> None:
        n_cameras = len(self._labels)
        for frame in frames(self._core, timeout=self._timeout, cameras=self._labels):
            self._start_time = self._start_time or time.perf_counter()
            camera = frame.camera
            if self._n_frames is not None and self._received[camera] >= self._n_frames:
                self._stop_camera()  # it was running before and has no frame limit of ours
                continue
            index = None
            if n_cameras > 1:
                index = stream.plan.router.camera_indices(self._received[camera], camera)
            metadata = tag_metadata(frame.tags, exposure_ms=self._exposure_ms)
            stream.append(frame.pixels, index=index, copy=False, frame_metadata=metadata)
            self._received[camera] += 1
            self._update_numbers(camera, frame.tags.get("ImageNumber"))
            if self._duration_elapsed():
                self._stop_camera()
            report(self.counts(written=stream.stats().frames_written))

    def _lend(self, stream: OMEStream, report: Callable[[Counts], object]) -> None:
        core: Any = self._core
        with core.lend(stream) as queue:
            self._start_camera()
            latest = time.monotonic()
            while core.isSequenceRunning():
                time.sleep(_POLL_INTERVAL_S)
                if queue.committed > self._received[0]:
                    self._start_time = self._start_time or time.perf_counter() - _POLL_INTERVAL_S
                    self._received[0], latest = queue.committed, time.monotonic()
                if self._duration_elapsed():
                    self._stop_camera()
                elif self._timeout is not None and time.monotonic() - latest > self._timeout:
                    self._stop_camera()
                    raise TimeoutError(
                        f"{core.getCameraDevice()!r}: no frame for {self._timeout} s. Check the camera, or pass a "
                        "larger timeout (None waits without a limit)."
                    )
                report(self.counts(written=stream.stats().frames_written))
            self._received[0] = queue.committed
            report(self.counts(written=stream.stats().frames_written))

    def _update_numbers(self, camera: int, number: object) -> None:
        """Record the camera's own frame number, whose gaps reveal dropped frames."""
        if isinstance(number, (str, int)) and str(number).isdigit():
            self._last_number[camera] = max(self._last_number[camera], int(number))
            if self._first_number[camera] < 0:
                self._first_number[camera] = int(number)

    def _elapsed_s(self) -> float:
        if not self._start_time:
            return 0.0
        return (self._end_time or time.perf_counter()) - self._start_time

    def _duration_elapsed(self) -> bool:
        return self._duration is not None and self._elapsed_s() >= self._duration

    def _stop_camera(self) -> None:
        if not self._stop_requested:
            self._stop_requested = True
            self._core.stopSequenceAcquisition()
