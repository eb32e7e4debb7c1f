"""The third way in: a free-running or triggered sequence goes from the camera's buffer into a stream."""

from __future__ import annotations

import time
import warnings
from numbers import Real
from typing import TYPE_CHECKING, Any

from ome_writers import SettingsError, create_stream
from ome_writers_pymmcore.acquisition_settings import chosen_settings, free_output, plan_for
from ome_writers_pymmcore.camera_buffer import frames
from ome_writers_pymmcore.cameras import delivering
from ome_writers_pymmcore.frame_counts import Counts
from ome_writers_pymmcore.frame_metadata import tag_facts
from ome_writers_pymmcore.microscope import Microscope
from ome_writers_pymmcore.microscope_metadata import describe, show_bit_depth
from ome_writers_pymmcore.notifications import end_notifications_in_time
from ome_writers_pymmcore.outputs import turn_of
from ome_writers_pymmcore.progress import told_to

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence

    import useq
    from pymmcore_plus import CMMCorePlus

    from ome_writers import AcquisitionSettings, OMEStream

__all__ = ["record"]

_ENDLESS = 2**31 - 1  # frames: the most that the core can be asked for
_LOOK = 0.01  # seconds between two looks at a camera that fills lent memory


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
    chunk_shapes: Mapping[str, int] | None = None,
    shard_shapes: Mapping[str, int] | None = None,
    **settings: Any,
) -> Counts:
    """Record a sequence acquisition of the selected camera, with no engine in between.

    Starts the camera, unless it is running already, and writes each frame as it is taken out of the buffer, without
    another copy. Python cameras of a `LendingCore` fill the stream's own memory instead. Returns when all is on disk.

    Parameters
    ----------
    core
        The core; exposure, region of interest, triggers and the like are as you set them.
    output
        Where to write: a path whose suffix says the format, or AcquisitionSettings.
    n_frames
        How many frames, of each camera; None until `duration` is over.
    duration
        For how many seconds, from the first frame on; None until `n_frames` have come.
    sequence
        What the frames are of, where devices of their own step through it while the camera is triggered: the frames
        come in the order of its events, as many as it has.
    cameras
        Labels of the cameras that deliver into the buffer, where it is not the selected one, or those behind
        it; their frames are told apart by the tag ``Camera``.
    interval_ms
        Time between frames, for cameras that heed it.
    timeout
        Seconds without a frame after which to give up; None waits for a trigger as long as it takes.
    progress
        True shows a line on the terminal, if there is one; a callable is called with the `Counts` some times a second.
    numbered
        Where the output exists already, take the next free name.
    chunk_shapes, shard_shapes
        Axis name (t, y, x) to chunk size (pixels) and shard size (chunks).
    **settings
        Further fields of `AcquisitionSettings`.

    Returns
    -------
    Counts
        Frames received, written and dropped. Where the camera has stopped since its buffer was full, all that was in
        it is written, and `overflowed` is set.

    Raises
    ------
    ValueError
        If none of `n_frames`, `duration` and a finite `sequence` is given, or no camera is selected.
    TimeoutError
        If no frame came in time; those before it are written.
    ome_writers.WriteError
        If frames could not be written; the camera is stopped.

    Warns
    -----
    RuntimeWarning
        If the buffer overflowed, or the camera has stopped before its frames had come or its time was over.
    """
    from pymmcore_plus.metadata import summary_metadata

    for name, length in (("n_frames", n_frames), ("duration", duration)):
        if length is not None and (not isinstance(length, Real) or not length > 0):
            raise SettingsError(f"{name} must be a positive number, got {length!r}.")
    end_notifications_in_time(core)
    chosen = chosen_settings(output, settings)
    summary = summary_metadata(core, include_property_details=False)
    microscope, _ = delivering(Microscope.of(summary), None, cameras)
    planned, _ = plan_for(
        sequence,
        microscope,
        chosen,
        frames=n_frames,
        chunk_shapes=chunk_shapes,
        shard_shapes=shard_shapes,
    )
    if n_frames is None and planned.num_frames is not None:
        n_frames = planned.num_frames // len(microscope.cameras)
    if n_frames is None and duration is None:
        raise SettingsError(
            "Say how long to record: n_frames, duration, a finite sequence, or several of them (the first counts)."
        )
    if numbered and planned.root_path:
        planned = free_output(planned)
    run = _Run(core, microscope, n_frames, duration, interval_ms, timeout)
    with create_stream(planned) as stream, told_to(progress) as tell:
        describe(stream, microscope)
        run.stream(stream, tell)
    show_bit_depth(stream, microscope)
    counts = run.counts(written=stream.stats().frames_written)
    if counts.overflowed:
        warnings.warn(
            f"The camera was stopped, since its buffer of {core.getCircularBufferMemoryFootprint()} MB was full: "
            f"{counts}. Enlarge it with core.setCircularBufferMemoryFootprint, or write to a faster disk.",
            RuntimeWarning,
            stacklevel=2,
        )
    elif run.ended_early:
        end = "its time was over" if n_frames is None else "all frames had come"
        warnings.warn(
            f"The camera stopped before {end}: {counts}. "
            f"It failed, or somebody else has stopped it; the error of a Python camera is printed by its thread.",
            RuntimeWarning,
            stacklevel=2,
        )
    return counts


class _Run:
    """One recording while it happens."""

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
        self._n = n_frames
        self._duration = duration
        self._interval_ms = interval_ms
        self._timeout = timeout
        self._came = [0] * len(self._labels)  # frames of each camera
        self._highest = [-1] * len(self._labels)  # its own number of its last frame
        self._lowest = [-1] * len(self._labels)
        self._began = self._ended = 0.0
        self._stopped = False
        self._overflowed = False
        self._exposure_ms = float(core.getExposure())

    def stream(self, stream: OMEStream, tell: Callable[[Counts], object]) -> None:
        """Have the camera's frames written until the end."""
        core = self._core
        running = core.isSequenceRunning()
        try:
            if getattr(core, "has_python_camera", False) and not running and len(self._labels) == 1:
                self._lend(stream, tell)
            else:
                if not running:
                    self._start()
                self._pop(stream, tell)
        finally:
            self._overflowed = bool(core.isBufferOverflowed())
            if core.isSequenceRunning():
                core.stopSequenceAcquisition()
            self._ended = time.perf_counter()

    @property
    def ended_early(self) -> bool:
        """Whether the camera has stopped, and it was not told to here, nor had it come to the end."""
        if self._stopped or self._overflowed or self._is_over():
            return False
        # frames that were lost behind the camera have its numbers
        taken = [max(c, h + 1) for c, h in zip(self._came, self._highest, strict=True)]
        return self._n is None or min(taken) < self._n

    def counts(self, *, written: int) -> Counts:
        """Return the counts; `written` is what the stream says."""
        received = sum(self._came)
        numbered = sum(
            h - w + 1 for h, w in zip(self._highest, self._lowest, strict=True) if h >= 0
        )
        expected = None if self._n is None else self._n * len(self._labels)
        taken = numbered if self._stopped or expected is None else max(numbered, expected)
        over = self._ended or time.perf_counter()
        return Counts(
            received=received,
            written=written,
            dropped=max(0, taken - received) if self._ended else max(0, numbered - received),
            expected=expected,
            seconds=over - self._began if self._began else 0.0,
            overflowed=self._overflowed,
        )

    def _start(self) -> None:
        """Start the camera so that it stops, rather than lose what waits, when the buffer is full."""
        # an adapter of several cameras takes so many frames with each, another one in all
        each = max(1, len(self._labels) // self._core.getNumberOfCameraChannels())
        frames = _ENDLESS if self._n is None else self._n * each
        self._core.startSequenceAcquisition(frames, self._interval_ms, True)

    def _pop(self, stream: OMEStream, tell: Callable[[Counts], object]) -> None:
        several = len(self._labels) > 1
        for frame in frames(self._core, timeout=self._timeout, cameras=self._labels):
            self._began = self._began or time.perf_counter()
            camera = frame.camera
            if self._n is not None and self._came[camera] >= self._n:
                self._stop()  # one that was running already, and does not know when to end
                continue
            index = (
                turn_of(stream, self._came[camera], camera, len(self._labels)) if several else None
            )
            facts = tag_facts(frame.tags, exposure_ms=self._exposure_ms)
            stream.append(frame.pixels, index=index, copy=False, frame_metadata=facts)
            self._came[camera] += 1
            self._note_number(camera, frame.tags.get("ImageNumber"))
            if self._is_over():
                self._stop()
            tell(self.counts(written=stream.stats().frames_written))

    def _lend(self, stream: OMEStream, tell: Callable[[Counts], object]) -> None:
        core: Any = self._core
        with core.lend(stream) as queue:
            self._start()
            latest = time.monotonic()
            while core.isSequenceRunning():
                time.sleep(_LOOK)
                if queue.committed > self._came[0]:
                    self._began = self._began or time.perf_counter() - _LOOK
                    self._came[0], latest = queue.committed, time.monotonic()
                if self._is_over():
                    self._stop()
                elif self._timeout is not None and time.monotonic() - latest > self._timeout:
                    self._stop()
                    raise TimeoutError(
                        f"No frame of {core.getCameraDevice()!r} for {self._timeout} s."
                    )
                tell(self.counts(written=stream.stats().frames_written))
            self._came[0] = queue.committed
            tell(self.counts(written=stream.stats().frames_written))

    def _note_number(self, camera: int, number: object) -> None:
        """Take note of the camera's own count, which knows of frames that never came."""
        if isinstance(number, (str, int)) and str(number).isdigit():
            self._highest[camera] = max(self._highest[camera], int(number))
            if self._lowest[camera] < 0:
                self._lowest[camera] = int(number)

    def _is_over(self) -> bool:
        return (
            self._duration is not None
            and bool(self._began)
            and (self._ended or time.perf_counter()) - self._began >= self._duration
        )

    def _stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            self._core.stopSequenceAcquisition()
