"""`OMEStream`: frames in, errors out. After `close`, every accepted frame is on disk, or an error names it."""

# Longer than 300 lines: the one public class of streaming; half of the file is its documentation.
from __future__ import annotations

import dataclasses
import logging
import os
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from functools import partial
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ArraySpec
from ome_writers.errors import (
    OMEWritersError,
    RestartError,
    StreamClosedError,
    UnclosedStreamWarning,
    UnsupportedError,
    UploadError,
    checked_call,
)
from ome_writers.locks import is_owned, new_lock, release_locks_of_this_thread
from ome_writers.routing import Plan, resolve
from ome_writers.settings import AcquisitionSettings
from ome_writers.streaming import lifecycle
from ome_writers.streaming.events import Events
from ome_writers.streaming.first_frame import FirstFrameInference, validated_copy
from ome_writers.streaming.flush_timer import FlushTimer
from ome_writers.streaming.frame_writer import FrameWriter
from ome_writers.streaming.lifecycle import State
from ome_writers.streaming.shutdown import (
    RunOnce,
    call_while_alive,
    close_at_exit,
    keep_open_at_exit,
    run_uninterrupted,
)

if TYPE_CHECKING:
    from numpy.typing import DTypeLike
    from psygnal import SignalGroup
    from typing_extensions import Self

    from ome_writers.formats import Derivation, DerivedKind, JournalEntry, Outcome
    from ome_writers.settings import Dimension
    from ome_writers.streaming.companions import Companions
    from ome_writers.streaming.coord_update import CoordUpdate
    from ome_writers.streaming.dataset_writer import Output
    from ome_writers.streaming.derived import DerivedStream
    from ome_writers.streaming.projection import Projection, ProjectionMethod
    from ome_writers.streaming.stats import StreamStats
    from ome_writers.views import StreamView, Summary

_log = logging.getLogger("ome_writers")
_IDLE_FLUSH_INTERVAL_S = 0.25  # without new frames
# below this interval, a flush does not wait for the number of frames in the metadata
_OFTEN_S = 0.1
_OPEN = State.OPEN  # before Python 3.12, looking up an enum member is slower than taking a lock


class OMEStream:
    """Writes the frames of one acquisition.

    Created by `create_stream`. Use it as a context manager, or call `close`: only then all accepted frames are on disk,
    or an error names those that are not. All methods are thread-safe; if several threads append, frames are stored in
    the order in which the threads acquire the stream's lock.

    Attributes
    ----------
    settings
        The current settings: a copy of those passed to `create_stream` or `restart`, updated if the first frames of
        the cameras required it.
    """

    _writer_class = FrameWriter

    def __init__(
        self,
        output: Output,
        create_output: Callable[[AcquisitionSettings, Companions | None], Output],
    ) -> None:
        plan = output.plan
        self._inference = FirstFrameInference(plan.settings)
        self._companions: Companions | None = None
        writer = self._writer_class(plan, output.engine_row, output.dataset_writer, self._inference)
        if output.stored is not None:
            writer.resume(output.stored)
            self._inference.active = False  # a resumed stream cannot restart
        self._use_writer(writer)
        self._create_output = create_output
        self._events = Events(plan, call_while_alive(self.extents, {}))
        if output.stored is not None:
            self._events.restart(plan, writer.extents())
        self._derived: list[DerivedStream] = []
        self._projections: list[Projection] = []  # that include every frame
        self._state = State.OPEN
        self._failed = False  # whether the acquisition had failed before `close`
        self._close_error: BaseException | None = None
        self._closing = RunOnce()
        self._lock = new_lock()  # for all locks and their order, see the docstring of this package
        self._restart_lock = threading.Lock()
        self._metadata_lock = threading.Lock()
        self._pid = os.getpid()
        self._fork_count = lifecycle.fork_count
        # writer and counts of frames at the last periodic flush
        self._flushed: tuple[object, ...] = ()
        self._next_idle_flush = 0.0
        self._flush_timer = FlushTimer(self._flush_periodically, plan.settings.flush_interval)
        self._at_exit = close_at_exit(self._close_unclosed)

    def _use_writer(self, writer: FrameWriter) -> None:
        self.settings: AcquisitionSettings = writer.plan.settings
        self._writer = writer
        companions = self._companions = writer.dataset_writer.companions
        if companions is not None:
            companions.opened(writer.dataset_writer.layout, self.settings, writer.engine)
        # Assigned last: `plan` waits while the output of `_dataset_writer` is discarded.
        self._dataset_writer = writer.dataset_writer

    # ------------------------------------------------------------------ frames

    def append(
        self,
        frame: Any,
        *,
        index: Mapping[str, int] | None = None,
        copy: bool = True,
        frame_metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Write one frame.

        Parameters
        ----------
        frame
            Array of the settings' dtype and shape: (y, x), or (y, x, 3) with ``rgb=True``, or with ``rgb=None`` if the
            first frame has that shape. With several cameras, shape and dtype of the frame's camera; what the settings
            leave open is inferred from its first frame.
        index
            Acquisition index by axis name, such as ``{"t": 3, "c": 0}``; omitted axes advance in order. None: the next
            frame in acquisition order. A frame may be replaced; the last one is kept.
        copy
            With True the caller may reuse the array as soon as `append` returns. With False the stream keeps a
            reference until the frame is written, and the caller must not modify the array any more.
        frame_metadata
            Metadata of this frame. ``delta_t`` and ``exposure_time`` (seconds), ``position_x``, ``position_y`` and
            ``position_z`` (micrometers) have standard keys in both formats; other keys are stored as they are.

        Raises
        ------
        FrameShapeError, FrameTypeError
            Wrong shape or dtype (ValueError, TypeError); the stream is unchanged.
        MetadataError
            Metadata that JSON cannot represent (ValueError); the stream is unchanged.
        EndOfAcquisitionError
            More frames than the settings define (IndexError).
        StreamClosedError
            The stream is closed (RuntimeError).
        WriteError
            Earlier frames could not be written (OSError); its `frames` lists them.
        """
        try:
            if self._inference.active:
                self._infer_from(frame, index)
            if self._fork_count != lifecycle.fork_count:
                self._refuse_child_process()
            encoded = None
            if frame_metadata is not None:
                encoded = self._dataset_writer.journal.encode(frame_metadata)
            if index is not None or self._writer.cursor.revisits:
                replaces = self._flush_before_replacing(index)
                if replaces and encoded is None and self._dataset_writer.journal.has_entries:
                    encoded = b"{}"  # not the metadata of the replaced frame
            with self._lock:
                if self._state is not _OPEN or self._dataset_writer.failed:
                    self._raise_not_open()
                if self._projections:
                    written_at = self._write_projected(frame, index, encoded, copy)
                else:
                    written_at = self._writer.write(frame, index, encoded, copy)
                if self._events.active:
                    self._events.frame_written(self._writer.accepted - 1, written_at)
        except Exception:
            raise
        except BaseException:  # Ctrl-C: the next call restores the state, see `FrameWriter.recover`
            release_locks_of_this_thread()
            raise

    @contextmanager
    def frame_buffer(
        self,
        *,
        index: Mapping[str, int] | None = None,
        frame_metadata: MutableMapping[str, Any] | None = None,
    ) -> Iterator[NDArray[np.generic]]:
        """Lend a writable frame in the stream's memory, for a camera to read into.

        Leaving the block appends the frame without a copy; an exception returns it unwritten. `frame_metadata` is read
        when the block is left and may be filled inside.

        Yields
        ------
        numpy.ndarray
            Uninitialized array of the settings' dtype and shape.

        Raises
        ------
        FrameBufferError
            All of `buffer_bytes` is lent to threads that wait for more.
        """
        self._refuse_child_process()
        with self._lock:
            if self._state is not _OPEN or self._dataset_writer.failed:
                self._raise_not_open()
            image = self._writer.image(index)
        lender = self._writer.lending_engine if image.addressing.planes == 1 else None
        shape, dtype = image.frame_shape, image.array.numpy_dtype
        lent = None if lender is None else lender.lend(image.addressing.first_array)
        frame = np.empty(shape, dtype) if lent is None else lent
        try:
            yield frame
            self.append(frame, index=index, copy=False, frame_metadata=frame_metadata)
        except BaseException:
            if lender is not None and lent is not None:
                lender.reclaim(lent)
            raise

    @checked_call
    def skip(self, *, frames: int = 1) -> None:
        """Skip the next `frames` frames without writing them; they read as 0.

        A dataset whose other frames are all written is ``complete``.

        Listeners are called once per `skip` that reaches a new extent, with the index of the last skipped frame.

        Raises
        ------
        ValueError
            `frames` is not positive.
        EndOfAcquisitionError
            Fewer than `frames` frames remain (IndexError); the stream is unchanged.
        """
        self._refuse_child_process()
        with self._lock:
            if self._state is not _OPEN:
                self._raise_not_open()
            offsets = self._writer.skip(frames)
            if self._events.active:
                self._events.frames_skipped(offsets)

    def remaining(self) -> Iterator[dict[str, int]]:
        """Iterate over the acquisition indices without a frame, as of this call, in acquisition order.

        Of a new stream these are all; of a resumed one (see `ome_writers.resume`), those that are not on disk. `append`
        continues with them, and accepts each as its `index`. Without an end if the first axis is unbounded.

        Yields
        ------
        dict of str to int
            Index by axis name, such as ``{"t": 3, "c": 0}``.
        """
        from ome_writers.streaming.stored_frames import remaining_indices

        with self._lock:
            return remaining_indices(self._writer.cursor, self._writer.plan.router)

    @checked_call
    def derive(
        self,
        name: str,
        kind: DerivedKind = "labels",
        *,
        dtype: DTypeLike | None = None,
        dimensions: Iterable[str | Dimension] | None = None,
        colors: Mapping[int, Any] | None = None,
        function: str | Callable[..., Any] | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> DerivedStream:
        """Add images that are computed from the images of this stream, such as masks, to the same dataset.

        They are written by the same engine, with the same memory, and closed with this stream. In an OME-Zarr labels
        are in ``labels/NAME`` of each image, with as many levels as the image (the nearest sample: no value is
        invented), and other images in ``derived/NAME``. Of an OME-TIFF of one image they are an OME-TIFF of their own
        beside it, ``STEM_NAME.ome.tiff``. The stream is no longer restarted, and infers nothing from the first frame.

        Parameters
        ----------
        name
            Letters, digits and ``_ . + -``.
        kind
            ``"labels"``: integers, 0 is the background; or ``"image"``.
        dtype
            By default uint32 for labels, and that of the stream for images.
        dimensions
            Names of axes of the acquisition, or dimensions. By default those of the acquisition, for labels without
            channels and cameras. Positions must be those of the acquisition.
        colors
            Color by label value, such as ``{1: "red", 2: "#00ff0080"}``.
        function, parameters
            How the pixels are computed: recorded in the metadata, with the version of the function's package.

        Raises
        ------
        SettingsError, UnsupportedError
            An argument is invalid; format or backend cannot write them.
        OutputExistsError, StreamClosedError
            The dataset has images of this name; the stream is closed.
        """
        from ome_writers.formats import Derivation
        from ome_writers.streaming.derived import derived_settings

        derivation = Derivation.of(name, kind, colors, function, parameters)
        settings = derived_settings(self.settings, derivation, dtype, dimensions)
        return self._add_derived(derivation, settings)

    @checked_call
    def project(
        self, method: ProjectionMethod = "max", axis: str = "z", *, name: str | None = None
    ) -> DerivedStream:
        """Keep the projection of the frames along an axis, as an image of the same dataset; see `derive`.

        Each frame is included when it is appended, so that `append` takes longer by computing one maximum. A plane is
        written when all of its frames have arrived, at each flush, and by `close`; then it contains the frames so far.

        Parameters
        ----------
        method
            ``"max"`` and ``"min"`` have the stream's dtype, ``"sum"`` one that is large enough, ``"mean"`` is a float.
        axis
            Name of an axis of the acquisition.
        name
            By default method and axis: ``"max_z"``.

        Raises
        ------
        SettingsError
            The axis or the method is unknown, or the method is not defined for the dtype (ValueError).
        UnsupportedError
            This stream has already appended frames (NotImplementedError). Others as of `derive`.
        """
        from ome_writers.streaming.projection import projection_settings

        if frames := self._writer.accepted - self._writer.stored:
            raise UnsupportedError(
                f"{frames} frames were already appended, which a projection would lack. Call project() before the "
                f"first frame."
            )
        settings = projection_settings(self.plan, method, axis, name)
        return self._add_derived(*settings, (method, axis))

    @property
    def derived(self) -> tuple[DerivedStream, ...]:
        """The images that `derive` and `project` have added."""
        return tuple(self._derived)

    @checked_call
    def restart(self, settings: AcquisitionSettings) -> None:
        """Replace the output by one with other settings, for properties that become known after `create_stream`.

        Frames that were appended are written again with their metadata, at the same acquisition index by axis name: up
        to 64 frames, and up to `buffer_bytes`. They are at index 0 of an axis that is new. With more frames, a restart
        is refused.

        Listeners and signals stay connected; from now on, frames are reported with the new axes. Views keep their axes,
        read index 0 of an axis that is new, and follow the shape and dtype of the frames. A frame that `frame_buffer`
        has lent is appended to the new output if it has the right shape and dtype.

        `set_global_metadata` need not be called again, and neither need `update_metadata` for an OME-Zarr. OME-XML is
        generated again, without the changes of `update_metadata`.

        Parameters
        ----------
        settings
            Complete settings, such as ``stream.settings.model_copy(update={"dtype": "uint8"})``. The stream works on a
            copy. A relative path refers to the same folder as that of `create_stream`. At the same path, `overwrite`
            is not required.

        Raises
        ------
        RestartError
            There are too many frames, or the new output cannot store them (RuntimeError); the stream is unchanged.
        SettingsError, EngineMissingError, UnsupportedError, OutputExistsError
            The settings are refused, as by `create_stream`; the stream is unchanged.
        WriteError
            The new output cannot be created (OSError). If it has the same path, nothing is left on disk, the stream has
            failed, and `frames` lists the lost frames; otherwise the stream is unchanged.
        """
        self._refuse_child_process()
        if not isinstance(settings, AcquisitionSettings):
            raise TypeError(f"restart takes AcquisitionSettings, got {settings!r}; see `settings`.")
        settings = validated_copy(settings.model_copy(deep=True))
        settings.validate_stream_ready()
        inference = FirstFrameInference(settings)
        self._run_uninterrupted(lambda: self._restart(lambda: settings, inference))
        self._interpret_metadata()

    # ------------------------------------------------------------------ flush and close

    def flush(self) -> None:
        """Return when all accepted frames are on disk and visible to other readers.

        Raises
        ------
        WriteError
            Frames could not be written; its `frames` lists them.
        """
        self._run_uninterrupted(self._flush)
        error = self._dataset_writer.error()
        if error is not None:
            raise error

    def close(self) -> None:
        """Return when everything that was accepted is durable, and in the store of a mirror, or raise.

        A second call does nothing after a success, raises again after a failure, and waits while another thread closes
        the stream. Ctrl-C interrupts the wait, not the work: the next call waits again, and so does Python at exit. The
        upload of a mirror ends then, and the next call raises UploadError.

        Raises
        ------
        WriteError
            Frames are not on disk; its `frames` lists them.
        UploadError
            The dataset is complete on disk, and its mirror is not (OSError).
        """
        self._close(failed=False)
        if self._close_error is not None:
            raise self._close_error

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._state is State.CLOSED

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close(failed=error is not None)
        at_close = self._close_error
        if at_close is None or str(error) == str(at_close):
            return
        # when `append` raised, other frames were not written yet
        if error is None or self._dataset_writer.has_reported(error):
            raise at_close
        _log.error("%s", at_close)  # the caller sees the other exception

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            f"Cannot copy or pickle the OMEStream that writes to {self.settings.output_path}: it owns threads and open "
            f"files. Pass the stream itself to other threads; other processes can read what it writes with "
            f"ome_writers.open()."
        )

    def __del__(self) -> None:
        # without `_at_exit`, __init__ has failed
        if getattr(self, "_at_exit", None) is None or self._state is State.CLOSED:
            return
        self._close_unclosed()

    # ------------------------------------------------------------------ metadata

    def get_metadata(self) -> Any:
        """Return a copy of the dataset's metadata, to be modified and passed to `update_metadata`.

        OME-Zarr: group path to attributes. OME-TIFF: position index to `ome_types.model.OME`.
        """
        with self._metadata_lock:
            return self._dataset_writer.get_metadata()

    @checked_call
    def update_metadata(self, metadata: Any) -> None:
        """Replace metadata, structured as `get_metadata` returns it, before or after `close`.

        Raises
        ------
        WriteError
            The metadata could not be written (OSError). It is kept, and written with the next change or by `close`.
        """
        with self._metadata_lock:
            self._dataset_writer.update_metadata(metadata)
        self._interpret_metadata()

    @checked_call
    def set_global_metadata(self, namespace: str, metadata: Mapping[str, Any]) -> None:
        """Set metadata of the whole acquisition, before or after `close`; replaces earlier metadata of `namespace`.

        If an installed package interprets this namespace (entry point group ``ome_writers.metadata``), the settings are
        completed by what it finds, such as instrument and camera names.

        Raises
        ------
        WriteError
            The metadata could not be written (OSError). It is kept, and written with the next change or by `close`.
        """
        with self._metadata_lock:
            self._dataset_writer.set_global_metadata(namespace, metadata)
        self._interpret_metadata()

    # ------------------------------------------------------------------ views, events, progress

    @checked_call
    def view(
        self, *, dynamic_shape: bool = True, strict: bool = False, level: int = 0
    ) -> StreamView:
        """Return a read-only array of the whole acquisition, during acquisition and after `close`; see `StreamView`.

        `level` is the resolution level (see `AcquisitionSettings.pyramid`). Levels below full resolution follow with a
        delay of at most two flushes.
        """
        from ome_writers.views import StreamView

        return StreamView.of(self, dynamic_shape=dynamic_shape, strict=strict, level=level)

    @checked_call
    def on(
        self,
        event: Literal["coords_changed", "coords_expanded"],
        callback: Callable[[CoordUpdate], None],
    ) -> None:
        """Call `callback` for every frame from now on, or for every frame that reaches a new extent.

        Callbacks run in order on a separate thread. Exceptions in a callback, including SystemExit and
        KeyboardInterrupt, are logged and stop neither other callbacks nor the stream. If more than 1,024 frames are
        queued, all but the latest are omitted; `close` gives callbacks one second for queued frames.
        """
        self._events.on(event, callback)

    @property
    def events(self) -> SignalGroup:
        """The stream's psygnal signals, emitted on a separate thread; see `on`.

        ``frame_written(frame_number, indices)``, ``coords_changed(update)``,
        ``coords_expanded(update)``, ``closed()`` and ``failed(error)``.
        """
        return self._events.group

    @property
    def plan(self) -> Plan:
        """Images, arrays and frame order, resolved from the settings. Waits while the stream restarts."""
        if self._dataset_writer.discarded:
            with self._lock:
                pass
        return self._writer.plan

    def datasets(self) -> tuple[ArraySpec, ...]:
        """Return path, URI, shape, chunks, shards and dtype of each array on disk; see `ArraySpec`.

        The arrays exist from the beginning. Until `close` the extents are the planned ones; that of an unbounded axis
        is as of the last flush. Never waits for the disk.
        """
        with self._lock:
            return tuple(self._writer.spec("writing").arrays())

    def extents(self, level: int = 0) -> Mapping[str, int]:
        """Return the current extent of each acquisition axis, at a resolution level; never waits for the disk."""
        return self._writer.extents(level)

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Return whether a frame was appended at an acquisition index; False while `append` is still storing it."""
        return self._writer.cursor.has_frame(index)

    def read(
        self, image: int, index: tuple[int, ...], level: int = 0, region: object = None
    ) -> NDArray[np.generic]:
        """Return the frame at `index` (storage order) of a level, from memory or disk; zeros if unwritten.

        `region` has no effect: frames are read whole.
        """
        return self._writer.read(image, index, level)

    def stats(self) -> StreamStats:
        """Return progress figures; see `StreamStats`."""
        stats = self._writer.stats()
        if self._companions is None:
            return stats
        return dataclasses.replace(stats, **self._companions.stats())

    def summary(self) -> Summary:
        """Return path, state and numbers of frames, for display; never waits for the disk."""
        from ome_writers.views import Summary

        settings = self.settings
        return Summary(
            path=settings.output_path if settings.root_path else "",
            state=self._state.value,
            frames=self._writer.cursor.stored,
            expected=self.plan.distinct_frames,
        )

    def __repr__(self) -> str:
        from ome_writers.views import summary_line

        return self._render(summary_line)

    def _repr_html_(self) -> str:
        from ome_writers.views import html_summary

        return self._render(html_summary)

    # ------------------------------------------------------------------ internals

    def _write_projected(
        self, frame: Any, index: Mapping[str, int] | None, encoded: bytes | None, copy: bool
    ) -> int | Mapping[str, int]:
        from ome_writers.streaming.projection import write_projected

        return write_projected(self._projections, self._writer, frame, index, encoded, copy)

    def _add_derived(
        self, derivation: Derivation, settings: AcquisitionSettings, projected: tuple[Any, ...] = ()
    ) -> DerivedStream:
        from ome_writers.streaming.derived import DerivedStream, add_derived

        with self._restart_lock:
            self._check_open()
            source = self._writer
            keys = [image.key for image in source.plan.images]
            layout, row, dataset = source.image_set.layout, source.engine_row, self._dataset_writer
            writer = add_derived(
                dataset, row, source, keys, layout, derivation, settings, self._lock
            )
            self._inference.active = False  # it could restart the stream
            derived = DerivedStream(writer, self._check_open)
            self._derived.append(derived)
            if projected:
                from ome_writers.streaming.projection import start_projection

                projection = start_projection(derived, source, self._lock, *projected)
                self._projections.append(projection)
        return derived

    def _check_open(self) -> None:
        if self._fork_count != lifecycle.fork_count:
            self._refuse_child_process()
        if self._state is not _OPEN or self._dataset_writer.failed:
            self._raise_not_open()

    def _render(self, render: Callable[[str, StreamView], str]) -> str:
        try:
            return render("OMEStream", self.view(dynamic_shape=False))
        except Exception:  # __init__ has failed
            return "<OMEStream, not open>"

    def _interpret_metadata(self) -> None:
        """Complete the settings by metadata of other programs; see `metadata_interpreters`."""
        from ome_writers.streaming.metadata_interpreters import interpret

        settings = interpret(self.settings, self._dataset_writer.find_metadata)
        if settings is self.settings:
            return
        plan = resolve(settings)
        if not plan.has_arrays_of(self._writer.plan):
            unused = not (self._writer.accepted or self._dataset_writer.resumed or self._derived)
            if unused and self._state is _OPEN:
                self.restart(settings)
                return
            # Too late for other arrays: describe the instrument only.
            fields = ("instrument", "acquisition_date")
            described = {name: getattr(settings, name) for name in fields}
            settings = self.settings.model_copy(update=described)
            plan = resolve(settings)
        with self._lock:
            if not plan.has_arrays_of(self._writer.plan):  # the stream has restarted meanwhile
                return
            plan = plan.with_keys_of(self._writer.plan)
            self.settings = settings
            self._writer.use_plan(plan)
            if self._writer.accepted == 0:
                self._inference.use_settings(settings)
        with self._metadata_lock:
            if self._writer.plan is plan:  # the stream has not restarted meanwhile
                self._dataset_writer.use_plan(plan)

    def _infer_from(self, frame: Any, index: Mapping[str, int] | None) -> None:
        """Restart if the first frame of a camera requires other settings."""
        with self._lock:
            if self._state is not _OPEN or self._dataset_writer.failed:
                return
            settings = self._inferred_settings(frame, index)
        if settings is not None:
            inferred = partial(self._inferred_settings, frame, index)
            self._run_uninterrupted(lambda: self._restart(inferred, self._inference))

    def _inferred_settings(
        self, frame: Any, index: Mapping[str, int] | None
    ) -> AcquisitionSettings | None:
        """Return settings that accept `frame`; None if the current ones do, or if none can without losing metadata."""
        writer = self._writer
        if not self._inference.active or not self._dataset_writer.can_carry_over:
            return None
        image, acquired = writer.image(index), writer.acquisition_index(index)
        return self._inference.settings_for(frame, acquired, image, writer.plan)

    def _restart(
        self, settings_of: Callable[[], AcquisitionSettings | None], inference: FirstFrameInference
    ) -> None:
        with self._restart_lock, self._lock, self._metadata_lock:
            if self._state is not _OPEN or self._dataset_writer.failed:
                self._raise_not_open()
            settings = settings_of()
            if settings is not None and self._derived:
                raise RestartError(
                    f"The stream that writes to {self.settings.output_path} cannot be restarted with other settings: "
                    f"{self._derived[0].name!r} is derived from its images. Derive images after the restart."
                )
            if settings is not None and self._dataset_writer.resumed:
                self._create_output(settings, None)  # raises RestartError
            if settings is None:  # another thread has restarted the stream meanwhile
                return
            from ome_writers.streaming.restart import restart_output  # most streams never restart

            try:
                writer = restart_output(self._writer, settings, self._create_output, inference)
            except Exception as error:
                refused = isinstance(error, OMEWritersError) or not isinstance(error, OSError)
                if refused and not self._dataset_writer.discarded:
                    raise  # the output is unchanged
                self._dataset_writer.fail(error, self._writer.accepted)
                self._raise_not_open()
            self._inference = inference
            self._use_writer(writer)
            self._events.restart(writer.plan, writer.extents())
            self._flush_timer.set_interval(settings.flush_interval)

    def _run_uninterrupted(self, work: Callable[[], object]) -> None:
        """Run `work` so that Ctrl-C, which Python raises in the main thread, cannot end it part-way.

        If a signal handler that interrupted `append` calls this, this thread already holds the lock that `work` needs.
        """
        if is_owned(self._lock) or threading.current_thread() is not threading.main_thread():
            work()
        else:
            run_uninterrupted(work)

    def _flush_before_replacing(self, index: Mapping[str, int] | None) -> bool:
        """If there is a frame at `index` (None: the next one), flush it before the engine replaces it.

        Returns whether there is one.

        Must not be called with the lock held: a flush takes it after `_restart_lock`.
        """
        with self._lock:
            if self._state is not _OPEN or self._dataset_writer.failed:
                self._raise_not_open()
            replaces = self._writer.would_replace(index)
        if replaces:
            self._run_uninterrupted(self._flush)
        return replaces

    def _raise_not_open(self) -> NoReturn:
        if self._state is State.CLOSED:
            raise StreamClosedError(
                "The stream is closed and accepts no more frames. Create a new one with create_stream()."
            )
        self._state = State.FAILED
        error = self._dataset_writer.error()
        assert error is not None
        self._events.failed(error)
        raise error

    def _refuse_child_process(self) -> None:
        """Refuse a forked child: it has no threads to write with, and may have inherited locked locks."""
        if self._fork_count != lifecycle.fork_count:
            raise StreamClosedError(
                f"The stream belongs to process {self._pid}; the child that was forked from it "
                f"({os.getpid()}) cannot write to it. Create a stream after the fork, with another path."
            )

    def _flush_periodically(self) -> None:
        if self._fork_count == lifecycle.fork_count and self._state is not State.CLOSED:
            writer, now = self._writer, monotonic()
            state = writer, writer.cursor.accepted, writer.cursor.offset
            if state == self._flushed and now < self._next_idle_flush:
                return  # a flush visits every array
            self._flushed, self._next_idle_flush = state, now + _IDLE_FLUSH_INTERVAL_S
            with suppress(Exception):  # recorded as a failure, which the next append raises
                often = self.settings.flush_interval < _OFTEN_S
                if not self._flush(counts_later=often):
                    self._flushed = ()

    def _flush(self, *, counts_later: bool = False) -> bool:
        """Flush; return whether the metadata counts all frames on disk."""
        self._refuse_child_process()
        with self._restart_lock:
            counted = self._dataset_writer.flush(self._flush_snapshot, counts_later=counts_later)
        self._dataset_writer.check_output_exists(self._writer.accepted)
        return counted

    def _flush_snapshot(self) -> tuple[list[JournalEntry], Outcome, list[tuple[int, int]]]:
        with self._lock:
            return self._writer.flush_snapshot()

    def _discard(self) -> None:
        """Remove the output and close the stream, for callers that must not leave an incomplete dataset."""
        with self._restart_lock:
            self._dataset_writer.discard()
            if self._companions is not None:
                self._companions.discarded(resumed=self._dataset_writer.resumed)
        self._close(failed=True)

    def _close(self, *, failed: bool, interruptible: bool = True) -> None:
        """Return when the stream is closed. `interruptible`: KeyboardInterrupt may be raised in this thread."""
        if self._fork_count != lifecycle.fork_count:
            self._state = State.CLOSED  # threads and files belong to the parent process
            return
        try:
            with self._lock:
                if self._state is not State.CLOSED:
                    self._failed = failed or self._state is State.FAILED
                    self._state = State.CLOSED
            if self._closing.done:
                return
            if interruptible:
                self._run_uninterrupted(self._finish)
            else:
                self._finish()
        except BaseException as error:
            release_locks_of_this_thread()
            if isinstance(error, KeyboardInterrupt) and self._companions is not None:
                self._companions.interrupted()  # a store may be slow for hours; the dataset is on this disk
            raise

    def _finish(self) -> None:
        """Write everything and end all threads, once; then emit the last events."""
        if self._closing.run(self._write_and_stop):
            if self._close_error is not None:
                self._events.failed(self._close_error)
            self._events.close()
            for derived in self._derived:
                derived.close_events()

    def _write_and_stop(self) -> None:
        """Write everything and end all threads; an error is kept in `_close_error`."""
        try:
            self._flush_timer.stop()
            # Flush frame metadata now, so that a crash during close() cannot lose it.
            if self._dataset_writer.journal.pending:
                self._dataset_writer.flush(self._flush_snapshot)
            self._writer.close(failed=self._failed)
            self._close_error = self._dataset_writer.error()
            if self._companions is not None:
                self._companions.closed()
        except UploadError as error:  # the dataset on this disk may be complete
            self._close_error = self._close_error or error
        except Exception as error:
            self._close_error = error
        keep_open_at_exit(self._at_exit)

    def _close_unclosed(self) -> None:
        """Close a stream at garbage collection or interpreter exit, or wait for the thread that is closing it."""
        if self._fork_count != lifecycle.fork_count or self._closing.done:
            return
        frames = self._writer.accepted
        if frames and self._state is not State.CLOSED:
            warnings.warn(
                f"OMEStream was not closed before garbage collection; its {frames} frames are written now. "
                "Use `with create_stream(...)` or call `stream.close()`.",
                UnclosedStreamWarning,
                stacklevel=3,
            )
        self._close(failed=False, interruptible=False)
        if self._close_error is not None:  # there is no caller to raise it to
            _log.error("%s", self._close_error)


# CPython begins the TypeError for wrong arguments with this name. `checked_call` would take time per frame.
OMEStream.append.__qualname__ = (
    "OMEStream.append takes a frame, and index, copy, frame_metadata by name: append"
)
