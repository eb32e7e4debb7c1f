"""The second way in: an object whose methods are called as pymmcore-plus' signals."""

# The slots have pymmcore-plus' own names.
# ruff: noqa: N802  # see above
from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from ome_writers import FrameShapeError, FrameTypeError, StreamView, UnsupportedError
from ome_writers_pymmcore.acquisition_settings import chosen_settings
from ome_writers_pymmcore.frame_counts import Counts
from ome_writers_pymmcore.frame_metadata import engine_facts
from ome_writers_pymmcore.microscope import Microscope
from ome_writers_pymmcore.notifications import end_notifications_in_time
from ome_writers_pymmcore.outputs import Outputs
from ome_writers_pymmcore.rebindable_view import FollowingSource

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import numpy as np
    import useq
    from numpy.typing import NDArray
    from pymmcore_plus import CMMCorePlus
    from typing_extensions import Self

    from ome_writers import AcquisitionSettings, OMEStream

__all__ = ["MDAWriter"]

_log = logging.getLogger("ome_writers")
_SIGNALS = ("sequenceStarted", "frameReady", "sequenceCanceled", "sequenceFinished")


class MDAWriter:
    """Writes what a multi-dimensional acquisition delivers; each frame goes where its event says.

    Pass it as ``mmc.mda.run(sequence, output=writer)``, or `attach` it to a core, or connect its methods to
    ``mmc.mda.events`` by hand. A frame that the camera fails to deliver leaves its place empty and never shifts the
    ones after it. One writer takes one run.

    Parameters
    ----------
    output
        Where to write: a path whose suffix says the format, ``"memory"``, or `AcquisitionSettings`.
    core
        The core whose run is ended when an error occurs; the global one when left out.
    cameras
        Labels of the cameras that deliver frames, where an engine or an iterator of events of your own goes from
        one to another. What an adapter of several cameras or the channels' presets select is known without.
    numbered
        Where the output exists already, take the next free name (``x_1.ome.zarr``) instead of refusing.
    copy
        Whether to copy each frame. By default frames are handed over: the array becomes read-only, so that no other
        listener can change what is written. Measured, of 40 MiB to OME-Zarr: 40 are then written from the array that
        the demo camera or a Python camera of a `LendingCore` delivered, and 0 with a Python camera of a plain
        `UniMMCore`; 0 to OME-TIFF with frames of 2 MiB. The others are copied once.
    chunk_shapes, shard_shapes
        Axis name to chunk size (pixels) and shard size (chunks).
    **settings
        Further fields of `AcquisitionSettings`, as ``compression`` or ``overwrite``. With ``dimensions``,
        events of an iterator are addressed by those axes.

    Examples
    --------
    ::

        writer = MDAWriter("run.ome.zarr")
        mmc.mda.run(sequence, output=writer)
        print(writer.result())
    """

    def __init__(
        self,
        output: str | os.PathLike[str] | AcquisitionSettings,
        *,
        core: CMMCorePlus | None = None,
        cameras: Sequence[str] | None = None,
        numbered: bool = False,
        copy: bool = False,
        chunk_shapes: Mapping[str, int] | None = None,
        shard_shapes: Mapping[str, int] | None = None,
        **settings: Any,
    ) -> None:
        self._chosen = chosen_settings(output, settings)
        self._chunks, self._shards = chunk_shapes, shard_shapes
        self._cameras = cameras
        self._numbered = numbered
        self._copy = copy
        self._core = core
        if core is not None:
            end_notifications_in_time(core)
        self._attached: Any = None
        self._outputs: Outputs | None = None
        self._error: BaseException | None = None
        self._finished = threading.Event()
        self._received = 0
        self._cancelled = False
        self._began = self._took = 0.0

    # ------------------------------------------------------------------ what pymmcore-plus calls

    def sequenceStarted(self, sequence: useq.MDASequence, meta: Mapping[str, Any]) -> None:
        """Create the output."""
        if self._outputs is not None or self._finished.is_set():
            self._fail(
                RuntimeError(
                    "An MDAWriter takes one run. Make a new one, with an output of its own."
                )
            )
            return
        self._began = time.perf_counter()
        self._watch_relay(threading.current_thread())
        try:
            self._outputs = Outputs(
                sequence,
                Microscope.of(meta),
                self._chosen,
                cameras=self._cameras,
                numbered=self._numbered,
                copy=self._copy,
                chunk_shapes=self._chunks,
                shard_shapes=self._shards,
            )
        except Exception as error:
            self._fail(error)

    def frameReady(
        self, image: NDArray[np.generic], event: useq.MDAEvent, meta: Mapping[str, Any]
    ) -> None:
        """Take a frame."""
        if self._error is not None or self._outputs is None:
            return
        try:
            self._take(self._outputs, image, event, meta)
        except Exception as error:
            self._fail(error)

    def sequenceCanceled(self, sequence: useq.MDASequence) -> None:
        """Take note that frames which do not come any more were not lost."""
        self._cancelled = True

    def sequenceFinished(self, sequence: useq.MDASequence) -> None:
        """Close the output; this comes at the end of every run, however it ended."""
        self._end()

    # ------------------------------------------------------------------ what you call

    def attach(self, core: CMMCorePlus) -> Self:
        """Connect to the signals of a core's runs, without a thread in between; return the writer."""
        self._core = self._attached = core
        end_notifications_in_time(core)
        for name in _SIGNALS:
            getattr(core.mda.events, name).connect(getattr(self, name))
        return self

    def detach(self) -> None:
        """Undo `attach`."""
        core, self._attached = self._attached, None
        if core is not None:
            for name in _SIGNALS:
                getattr(core.mda.events, name).disconnect(getattr(self, name))

    @property
    def stream(self) -> OMEStream:
        """The stream; there is none before the run has begun (RuntimeError).

        When a camera joins that nobody named, another stream takes its place.
        """
        if self._outputs is None:
            raise RuntimeError(f"No stream: {self._error or 'no run has begun'}.") from self._error
        return self._outputs.stream

    def view(self, *, dynamic_shape: bool = True, strict: bool = False) -> StreamView:
        """Return the acquisition as one array, live and afterwards; see `OMEStream.view`.

        A view that is taken before a camera joins that nobody named keeps its axes, and shows the first camera; a log
        message says so, and a new view has all of them.
        """
        stream, outputs = self.stream, self._outputs
        if outputs is None or not outputs.may_change:
            return stream.view(dynamic_shape=dynamic_shape, strict=strict)
        source = FollowingSource(outputs)
        return StreamView.over(source, dynamic_shape=dynamic_shape, strict=strict)

    @property
    def progress(self) -> Counts:
        """How many frames came and are written so far."""
        if self._outputs is None:
            return Counts()
        expected = self._outputs.stream.settings.num_frames
        over = self._finished.is_set()
        lost = over and not self._cancelled and self._error is None and expected is not None
        return Counts(
            received=self._received,
            written=self._outputs.stream.stats().frames_written,
            dropped=max(0, (expected or 0) - self._received) if lost else 0,
            expected=expected,
            seconds=self._took if over else time.perf_counter() - self._began,
        )

    def result(self, timeout: float | None = None) -> Counts:
        """Return how the run went, or raise what ended it.

        Parameters
        ----------
        timeout
            Seconds to wait for the end of the run; None waits as long as it takes. In the thread of a GUI,
            ask when the run is over: the signals could not arrive while you wait there.

        Raises
        ------
        TimeoutError
            If the run is not over by then.
        Exception
            The first error, as it occurred.
        """
        if not self._finished.wait(timeout):
            raise TimeoutError(f"The run is not over after {timeout} s: {self.progress}.")
        if self._error is not None:
            raise self._error
        return self.progress

    # ------------------------------------------------------------------ inside

    def _take(
        self,
        outputs: Outputs,
        image: NDArray[np.generic],
        event: useq.MDAEvent,
        meta: Mapping[str, Any],
    ) -> None:
        camera = str(meta.get("camera_device") or "")
        try:
            outputs.append(image, event.index, camera, engine_facts(meta, event))
        except (FrameShapeError, FrameTypeError) as error:
            raise type(error)(
                f"Frame {self._received} of {camera or 'the camera'} (event {dict(event.index)}) is not like those "
                f"before: {error} Were region of interest, binning or pixel type changed during the run? The "
                f"{self._received} frames before it are safe."
            ) from error
        except UnsupportedError as error:
            raise UnsupportedError(
                f"{error} An MDAWriter puts each frame where its event says; take a backend that can, or pass "
                "the path itself as mda.run(..., output=path), which counts frames."
            ) from error
        self._received += 1

    def _watch_relay(self, relay: threading.Thread) -> None:
        """Close the output when the thread that relays the signals ends without having told of the run's end.

        pymmcore-plus 0.18.1 stops that thread a moment before it hands over `sequenceFinished`, which is lost now and
        then. To be removed when `MDARelayThread` is stopped after it.
        """
        if type(relay).__name__ != "MDARelayThread":
            return

        def wait() -> None:
            relay.join()
            self._end()

        threading.Thread(target=wait, name="ome-writers-relay", daemon=True).start()

    def _end(self) -> None:
        """Close the output, once."""
        if self._finished.is_set():
            return
        if self._outputs is not None:
            try:
                self._outputs.close()
            except Exception as error:
                self._fail(error)
        self._took = time.perf_counter() - self._began if self._began else 0.0
        self._finished.set()

    def _fail(self, error: BaseException) -> None:
        """Keep the first error and end the run."""
        if self._error is None:
            self._error = error
            _log.error("The acquisition ends, since it cannot be written: %s", error)
        self._running_core().mda.cancel()

    def _running_core(self) -> CMMCorePlus:
        if self._core is not None:
            return self._core
        from pymmcore_plus import CMMCorePlus

        return CMMCorePlus.instance()
