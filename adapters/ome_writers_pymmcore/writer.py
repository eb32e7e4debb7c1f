"""Write a multi-dimensional acquisition by listening to the signals of pymmcore-plus."""

# ruff: noqa: N802  # the slots are named after the signals of pymmcore-plus
# Longer than 300 lines: one class with all slots; a third is documentation.

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ome_writers import (
    AcquisitionSettings,
    OMEStream,
    SettingsFields,
    StreamView,
    WriteError,
)
from ome_writers_pymmcore.acquisition_settings import list_settings, user_settings
from ome_writers_pymmcore.frame_metadata import engine_metadata
from ome_writers_pymmcore.microscope import Microscope
from ome_writers_pymmcore.notifications import end_notifications_at_exit
from ome_writers_pymmcore.progress import Counts, wait_for_start
from ome_writers_pymmcore.relay import follow_relay, is_relay
from ome_writers_pymmcore.run_output import RunOutput

if TYPE_CHECKING:
    import useq
    from pymmcore_plus import CMMCorePlus
    from typing_extensions import Self, Unpack


_log = logging.getLogger("ome_writers")
_SIGNALS = ("sequenceStarted", "frameReady", "sequenceCanceled", "sequenceFinished")
_FIRST: dict[str, Any] = {"priority": 1_000_000}  # psygnal's default is 0


class MDAWriter:
    """Writes the frames of a multi-dimensional acquisition, each at the index of its MDAEvent.

    Pass it as ``mmc.mda.run(sequence, output=writer)``, `attach` it to a core, or connect its methods to
    ``mmc.mda.events``. If a frame does not arrive, its index stays unwritten, later frames are not shifted, and a
    warning at the end of the run names the index. A writer writes a single run.

    Parameters
    ----------
    output
        Where to write: a path whose suffix determines the format, ``"memory"``, or `AcquisitionSettings`.
    core
        The core whose run is cancelled if an error occurs; default: the global instance.
    cameras
        Labels of the cameras that deliver frames. Needed only if a custom engine or an iterator of events switches
        between cameras: multi-camera devices and presets that select a camera are detected.
    numbered
        If the output exists, write to the next unused name (``x_1.ome.zarr``) instead of raising an error.
    resume
        Whether to continue the dataset if it exists: run `remaining_events`. The sequence must be that of the dataset;
        it may have more time points. ``delta_t`` is counted from the start of the dataset.
    sequence
        The sequence whose events the run executes, if it is started with an iterator of them. Default: that of the
        dataset that is resumed.
    copy
        Whether to copy each frame. By default the stream keeps a reference and the array becomes read-only, so that
        other listeners cannot change it before it is written. Uncompressed frames of 1 MiB or more are written without
        a copy.
    writer
        ``"process"``: frames are written by a process of its own, and survive a crash of this one; see
        `ome_writers.create_stream`.
    chunk_shapes, shard_shapes
        Axis name to chunk size (pixels) and shard size (chunks).
    **settings
        Further fields of `AcquisitionSettings`. With ``dimensions``, events of an iterator are addressed by its axes.

    Examples
    --------
    ::

        writer = MDAWriter("run.ome.zarr")
        mmc.mda.run(sequence, output=writer)
        print(writer.result())
    """

    @list_settings
    def __init__(
        self,
        output: str | os.PathLike[str] | AcquisitionSettings,
        *,
        core: CMMCorePlus | None = None,
        cameras: Sequence[str] | None = None,
        numbered: bool = False,
        resume: bool = False,
        sequence: useq.MDASequence | None = None,
        copy: bool = False,
        writer: Literal["thread", "process"] | None = None,
        chunk_shapes: Mapping[str, int] | None = None,
        shard_shapes: Mapping[str, int] | None = None,
        **settings: Unpack[SettingsFields],
    ) -> None:
        self._user = user_settings(output, settings)
        self._shapes = {"chunk_shapes": chunk_shapes, "shard_shapes": shard_shapes}
        self._cameras = cameras
        self._numbered = numbered
        self._resume = resume
        self._sequence = sequence
        self._copy = copy
        self._writer: Literal["thread", "process"] | None = writer
        self._core = core
        if core is not None:
            end_notifications_at_exit(core)
        self._attached: CMMCorePlus | None = None
        self._output: RunOutput | None = None
        self._error: BaseException | None = None
        self._finished = threading.Event()
        self._lock = threading.RLock()  # of the output: `_close` may run in another thread
        self._received = 0
        self._cancelled = self._relayed = False
        self._start_time = self._duration = 0.0

    # ------------------------------------------------------------------ slots

    def sequenceStarted(self, sequence: useq.MDASequence, meta: Mapping[str, Any]) -> None:
        """Create the output."""
        if self._output is not None or self._finished.is_set():
            self._fail(RuntimeError("This MDAWriter has already written a run. Create a new one."))
            return
        self._start_time = time.perf_counter()
        if is_relay(relay := threading.current_thread()):
            self._relayed = follow_relay(
                relay,
                self._running_core,
                write=self._write,
                finish=self._close,
                interrupt=self._interrupt,
            )
        try:
            self._output = RunOutput(
                sequence if tuple(sequence.axis_order) else self._sequence or sequence,
                Microscope.of(meta),
                self._user,
                cameras=self._cameras,
                numbered=self._numbered,
                resume=self._resume,
                copy=self._copy,
                shapes=self._shapes,
                writer=self._writer,
            )
        except Exception as error:
            self._fail(error)

    def frameReady(
        self, image: NDArray[np.generic], event: useq.MDAEvent, meta: Mapping[str, Any]
    ) -> None:
        """Write a frame."""
        if not self._relayed:
            self._write(image, event, meta)

    def sequenceCanceled(self, sequence: useq.MDASequence) -> None:
        """Do not count the remaining frames as dropped."""
        self._cancelled = True

    def sequenceFinished(self, sequence: useq.MDASequence) -> None:
        """Close the output; emitted at the end of every run, also after an error or a cancellation."""
        self._close()

    # ------------------------------------------------------------------ user interface

    def attach(self, core: CMMCorePlus) -> Self:
        """Connect to the signals of the core's runs directly, without a relay thread; return the writer.

        It is called before all other listeners, whose exceptions therefore cannot cost it a frame.
        """
        from psygnal import SignalInstance

        self._core = self._attached = core
        end_notifications_at_exit(core)
        for name in _SIGNALS:
            signal = getattr(core.mda.events, name)
            # psygnal skips the listeners after one that raises; Qt calls all.
            options = _FIRST if isinstance(signal, SignalInstance) else {}
            signal.connect(getattr(self, name), **options)
        return self

    def detach(self) -> None:
        """Disconnect from the core of `attach`; the output of a run that has not finished is closed.

        Call it if Ctrl-C interrupts ``mda.run``: pymmcore-plus does not emit a signal then.
        """
        core, self._attached = self._attached, None
        if core is not None:
            for name in _SIGNALS:
                getattr(core.mda.events, name).disconnect(getattr(self, name))
            if self._output is not None and not self._finished.is_set():
                self._cancelled = True
                self._close()

    @property
    def stream(self) -> OMEStream:
        """The stream of the run. It restarts if an additional camera joins.

        Raises
        ------
        RuntimeError
            If the run has not started.
        """
        if self._output is None:
            reason = self._error or "the run has not started"
            raise RuntimeError(f"No stream: {reason}.") from self._error
        return self._output.stream

    def view(self, *, dynamic_shape: bool = True, strict: bool = False) -> StreamView:
        """Return the acquisition as one array, during the run and afterwards; see `OMEStream.view`.

        If an additional camera joins later, the view keeps its axes and shows the first camera; a warning is logged. A
        new view has all cameras.
        """
        return self.stream.view(dynamic_shape=dynamic_shape, strict=strict)

    @property
    def progress(self) -> Counts:
        """Frame counts of the run so far."""
        if self._output is None:
            return Counts()
        expected = self._output.stream.settings.num_frames
        finished = self._finished.is_set()
        completed = finished and not self._cancelled and self._error is None
        return Counts(
            received=self._received,
            written=self._output.stream.stats().frames_written,
            dropped=max(0, (expected or 0) - self._received) if completed else 0,
            expected=expected,
            seconds=self._duration if finished else time.perf_counter() - self._start_time,
        )

    def result(self, timeout: float | None = None) -> Counts:
        """Wait for the end of the run and return its counts, or raise the error that ended it.

        Parameters
        ----------
        timeout
            Seconds to wait; None waits without a limit. In the GUI thread, call this after the run has finished:
            waiting there blocks the signals.

        Raises
        ------
        RuntimeError
            If no run has started and none is starting.
        TimeoutError
            If the run has not finished in time.
        Exception
            The error that ended the run.
        """
        if not self._start_time:
            wait_for_start(
                lambda: self._start_time > 0, self._finished, self._running_core, timeout
            )
        if not self._finished.wait(timeout):
            raise TimeoutError(f"The run has not finished after {timeout} s: {self.progress}.")
        if self._error is not None:
            raise self._error
        return self.progress

    # ------------------------------------------------------------------ internal

    def _write(
        self, image: NDArray[np.generic], event: useq.MDAEvent, meta: Mapping[str, Any]
    ) -> None:
        with self._lock:
            if self._error is not None or self._output is None:
                return
            try:
                camera = str(meta.get("camera_device") or "")
                self._output.append(image, event.index, camera, engine_metadata(meta, event))
                self._received += 1
            except Exception as error:
                self._fail(error)

    def _interrupt(self) -> None:
        """Handle a run that Ctrl-C has ended: no signal follows."""
        self._cancelled = True
        _log.warning("The run was interrupted. All frames that it has delivered are saved.")
        self._running_core().mda.cancel()  # otherwise `run_mda` may refuse the next run

    def _close(self) -> None:
        """Close the output, once."""
        with self._lock:
            if self._finished.is_set():
                return
            if self._output is not None:
                try:
                    self._output.stream.close()
                    if self._error is None and not self._cancelled:
                        self._output.log_missing_frames()
                except Exception as error:
                    self._fail(error)
            if self._start_time:
                self._duration = time.perf_counter() - self._start_time
            self._finished.set()

    def _fail(self, error: BaseException) -> None:
        """Keep the first error, or the last WriteError, which names most frames, and cancel the run."""
        if self._error is None or type(self._error) is type(error) is WriteError:
            self._error = error
            _log.error("Acquisition cancelled, it cannot be written: %s", error)
        self._running_core().mda.cancel()

    def _running_core(self) -> CMMCorePlus:
        from pymmcore_plus import CMMCorePlus

        return self._core or CMMCorePlus.instance()
