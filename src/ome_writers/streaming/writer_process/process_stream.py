"""`ProcessStream`: a stream that passes frames to the writer's process, and everything else on to it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

from ome_writers.errors import SettingsError, UnsupportedError
from ome_writers.routing import Plan, resolve
from ome_writers.settings import AcquisitionSettings, find_engine
from ome_writers.storage import choose
from ome_writers.streaming.dataset_writer import Output
from ome_writers.streaming.first_frame import FirstFrameInference
from ome_writers.streaming.lifecycle import State
from ome_writers.streaming.resumable import existing_dataset, find_resumable
from ome_writers.streaming.stream import OMEStream
from ome_writers.streaming.writer_process.remote_writer import RemoteDatasetWriter, RemoteWriter
from ome_writers.streaming.writer_process.supervisor import WriterProcess

if TYPE_CHECKING:
    from ome_writers.formats import Derivation
    from ome_writers.streaming.derived import DerivedStream
    from ome_writers.streaming.projection import ProjectionMethod
    from ome_writers.streaming.writer_process.messages import OutputState

Writer: TypeAlias = Literal["thread", "process"] | None
"""What writes the frames of a stream; None: the value of the environment variable."""

_VARIABLE = "OME_WRITERS_WRITER"
_KINDS = ("thread", "process")


def in_own_process(writer: Writer, settings: AcquisitionSettings) -> bool:
    """Return whether a process of its own writes: by `writer`, otherwise by the environment variable.

    Raises SettingsError if the value is unknown; UnsupportedError if the settings cannot be written by another process.
    """
    name, kind = ("writer", writer) if writer is not None else (_VARIABLE, os.environ[_VARIABLE])
    if kind not in _KINDS:
        raise SettingsError(
            f"{name} must be 'thread' or 'process', got {kind!r}. Pass writer='process' to create_stream, or set the "
            f"environment variable {_VARIABLE}=process."
        )
    if kind == "process" and not settings.format.needs_path:
        if writer is None:
            return False
        raise UnsupportedError(
            f"writer='process' cannot write {settings.format.name}, which is kept in the memory of this process. Use "
            f"writer='thread', or another format."
        )
    return kind == "process"


def create_process_stream(
    settings: AcquisitionSettings, folder: str, *, resume: bool
) -> ProcessStream:
    """Start the writer's process, and return the stream that passes frames to it; see `create_stream`."""
    plan = resolve(settings)
    choose(settings.format.backend, plan)  # raises before a process is started
    existing = existing_dataset(settings, folder) if resume else None
    return _stream(WriterProcess(settings, folder, str(existing or ""), _frame_bytes(plan)))


def resume_in_own_process(path: str | os.PathLike[str], writer: Writer) -> ProcessStream | None:
    """Return a stream that continues a dataset; None if this process writes. See `ome_writers.resume`."""
    root, _, dataset = find_resumable(path)
    if not in_own_process(writer, dataset.plan.settings):
        return None
    frame_bytes = _frame_bytes(dataset.plan)
    return _stream(WriterProcess(dataset.plan.settings, "", str(root), frame_bytes, as_stored=True))


def _stream(process: WriterProcess) -> ProcessStream:
    try:
        return ProcessStream(_output(process), _refuse)
    except BaseException:
        process.end()
        raise


def _frame_bytes(plan: Plan) -> int:
    return max(image.addressing.planes * image.array.frame_bytes for image in plan.images)


def _output(process: WriterProcess) -> Output:
    state = process.state
    row = find_engine(state.engine)
    assert row is not None
    dataset_writer = RemoteDatasetWriter(process, state)
    return Output(state.plan, row, dataset_writer, state.stored)


def _refuse(_settings: AcquisitionSettings, _companions: object) -> Output:
    raise AssertionError("the writer's process creates outputs")


class ProcessStream(OMEStream):
    """A stream whose writer is a process of its own; see `create_stream`."""

    _writer_class = RemoteWriter
    _writer: RemoteWriter
    _dataset_writer: RemoteDatasetWriter

    def _add_derived(
        self,
        derivation: Derivation,
        settings: AcquisitionSettings,
        projected: tuple[ProjectionMethod, str] | None = None,
    ) -> DerivedStream:
        from ome_writers.streaming.derived import DerivedStream
        from ome_writers.streaming.writer_process.derived_images import derive

        # of a projection, no frame is published meanwhile
        with self._restart_lock, self._lock:
            self._check_open()
            writer = derive(self._writer, (derivation, settings, projected), self._lock)
            self._inference.active = False  # it could restart the stream
            derived = DerivedStream(writer, self._check_open, projected=projected is not None)
            self._derived.append(derived)
        return derived

    def _flush_periodically(self) -> None:
        """Do nothing: the writer's process flushes."""

    def _flush_before_replacing(self, index: Mapping[str, int] | None) -> bool:
        """Return whether there is a frame at `index`; the writer's process flushes it."""
        with self._lock:
            if self._state is not State.OPEN or self._dataset_writer.failed:
                self._raise_not_open()
            return self._writer.would_replace(index)

    def _interpret_metadata(self) -> None:
        """Use the settings that the writer's process has completed."""
        if self._state is State.CLOSED:
            super()._interpret_metadata()
            return
        with self._lock, self._metadata_lock:
            state = self._dataset_writer.process.state
            if state.plan is self._writer.plan:
                return
            if state.plan.has_arrays_of(self._writer.plan):
                self.settings = state.plan.settings
                self._writer.use_plan(state.plan)
                if self._writer.accepted == 0:
                    self._inference.use_settings(self.settings)
            else:
                self._inference = FirstFrameInference(state.plan.settings)
                self._adopt(state)

    def _restart(
        self,
        settings_of: Callable[[], AcquisitionSettings | None],
        inference: FirstFrameInference,
    ) -> None:
        with self._restart_lock, self._lock, self._metadata_lock:
            if self._state is not State.OPEN or self._dataset_writer.failed:
                self._raise_not_open()
            settings = settings_of()
            if settings is None:
                return
            process = self._dataset_writer.process
            cursor = self._writer.cursor
            replaced = self._dataset_writer
            replaced.discarded = True  # views wait for the new plan, see `OMEStream.plan`
            try:
                state = process.restart(settings, accepted=cursor.accepted, distinct=cursor.stored)
                self._inference = inference
                self._adopt(state)
            finally:
                replaced.discarded = False

    def _adopt(self, state: OutputState) -> None:
        """Continue with the output that the writer's process has created in place of the earlier one."""
        earlier = self._writer
        process = earlier.process
        process.ring.reap()  # frames at the indices of the earlier output
        row = find_engine(state.engine)
        assert row is not None
        dataset_writer = RemoteDatasetWriter(process, state)
        dataset_writer.metadata_updated = self._dataset_writer.metadata_updated
        writer = RemoteWriter(state.plan, row, dataset_writer, self._inference)
        writer.follow(earlier, state)
        self._use_writer(writer)
        self._events.restart(writer.plan, writer.extents())
