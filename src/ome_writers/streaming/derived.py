"""`DerivedStream`: images that are computed from those of a dataset, and written to it with the same engine."""

# Longer than 300 lines: the public class, and how it is added to a dataset.
from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ImageSpec, copy_with
from ome_writers.errors import (
    OutputExistsError,
    SettingsError,
    UnsupportedError,
    WriteError,
    checked_call,
)
from ome_writers.formats import Derivation, Journal, Outcome, format_row, spec_of_plan
from ome_writers.locks import release_locks_of_this_thread
from ome_writers.routing import Plan, resolve
from ome_writers.settings import AcquisitionSettings, Dimension
from ome_writers.storage import DERIVED, unsupported_reasons
from ome_writers.streaming.dataset_writer import ImageSet
from ome_writers.streaming.events import Events
from ome_writers.streaming.first_frame import FirstFrameInference, validated_copy
from ome_writers.streaming.frame_writer import FrameWriter

if TYPE_CHECKING:
    from ome_writers.dataset import ArraySpec
    from ome_writers.formats import Layout
    from ome_writers.storage import Engine, EngineRow
    from ome_writers.streaming.continued_images import ContinuedImages
    from ome_writers.streaming.coord_update import CoordUpdate
    from ome_writers.streaming.dataset_writer import DatasetWriter, Snapshot
    from ome_writers.streaming.output_claim import OutputClaim
    from ome_writers.streaming.resumable import ResumeClaim
    from ome_writers.streaming.stored_frames import StoredFrames
    from ome_writers.views import StreamView, Summary

    Shapes = Sequence[tuple[int, ...]]


class DerivedStream:
    """Writes images that are computed from the images of a stream, into the same dataset.

    Returned by `OMEStream.derive` and `OMEStream.project`. It is closed with its stream, and accepts frames until then.
    Memory (`buffer_bytes`) and threads are those of the stream. All methods are thread-safe.

    Attributes
    ----------
    name, kind
        Those passed to `OMEStream.derive`.
    settings
        The settings that describe the images.
    colors
        Red, green, blue and alpha (0 to 255) by label.
    """

    def __init__(
        self, writer: DerivedWriter, check_open: Callable[[], None], *, projected: bool = False
    ) -> None:
        self.name, self.kind = writer.derivation.name, writer.derivation.kind
        self.settings: AcquisitionSettings = writer.plan.settings
        self.colors = writer.derivation.colors
        self._projected = projected
        self.writer = writer
        self._check_open = check_open
        self._events = Events(writer.plan, self.extents)
        if writer.frames.accepted:  # by an earlier stream
            self._events.restart(writer.plan, self.extents())

    def append(
        self, frame: Any, *, index: Mapping[str, int] | None = None, copy: bool = True
    ) -> None:
        """Write one frame.

        Parameters
        ----------
        frame
            Array of dtype and shape of the images: (y, x).
        index
            Acquisition index by axis name, such as ``{"t": 3, "p": 0}``. None: the next frame in acquisition order. A
            frame may be replaced.
        copy
            As in `OMEStream.append`.

        Raises
        ------
        FrameShapeError, FrameTypeError
            Wrong shape or dtype (ValueError, TypeError); the stream is unchanged.
        EndOfAcquisitionError
            More frames than the images have (IndexError).
        StreamClosedError
            The stream of the dataset is closed (RuntimeError).
        WriteError
            Earlier frames could not be written (OSError).
        """
        if self._projected:
            raise UnsupportedError(
                f"{self.name!r} is a projection of the frames that are appended to its stream. Use derive() for an "
                f"image that accepts frames."
            )
        try:
            with self.writer.lock:
                self._check_open()
                number = self.writer.frames.accepted
                written_at = self.writer.write(frame, index, copy)
                if self._events.active:
                    self._events.frame_written(number, written_at)
        except Exception:
            raise
        except BaseException:  # Ctrl-C: as in `OMEStream.append`
            release_locks_of_this_thread()
            raise

    @property
    def plan(self) -> Plan:
        """Images, arrays and frame order."""
        return self.writer.plan

    @checked_call
    def view(
        self, *, dynamic_shape: bool = True, strict: bool = False, level: int = 0
    ) -> StreamView:
        """Return a read-only array of the images; see `OMEStream.view`."""
        from ome_writers.views import StreamView

        return StreamView.of(self, dynamic_shape=dynamic_shape, strict=strict, level=level)

    def datasets(self) -> tuple[ArraySpec, ...]:
        """Return path, URI, shape, chunks, shards and dtype of each array on disk; see `OMEStream.datasets`."""
        frames, outcome = self.writer.frames, Outcome("writing", 0, tuple(self.writer.shapes()))
        return tuple(spec_of_plan(frames.plan, frames.image_set.layout, outcome).arrays())

    def extents(self, level: int = 0) -> Mapping[str, int]:
        """Return the current extent of each acquisition axis, at a resolution level."""
        return self.writer.extents(level)

    def has_frame(self, index: tuple[int, ...]) -> bool:
        """Return whether a frame was appended at an acquisition index."""
        return self.writer.has_frame(index)

    def read(
        self, image: int, index: tuple[int, ...], level: int = 0, region: object = None
    ) -> NDArray[np.generic]:
        """Return the frame at `index` (storage order) of a level, from memory or disk; zeros if unwritten."""
        return self.writer.frames.read(image, index, level)

    def on(
        self,
        event: Literal["coords_changed", "coords_expanded"],
        callback: Callable[[CoordUpdate], None],
    ) -> None:
        """Call `callback` for frames of these images; see `OMEStream.on`."""
        self._events.on(event, callback)

    def summary(self) -> Summary:
        """Return path and numbers of frames, for display."""
        from ome_writers.views import Summary

        plan, layout = self.writer.plan, self.writer.image_set.layout
        return Summary(
            path=str(layout.root / plan.images[0].key),
            state="open",
            frames=self.writer.count(),
            expected=plan.distinct_frames,
        )

    def __repr__(self) -> str:
        plan = self.writer.plan
        shape = " x ".join(map(str, plan.images[0].shape))
        return f"<DerivedStream {self.name!r} {self.kind}, {shape} {plan.images[0].array.dtype}>"

    def use_projection(self, write_incomplete: Callable[[], None]) -> None:
        """Accept no frames: a projection writes them, and those that are incomplete before each flush."""
        self._projected = True
        self.writer.before_flush = write_incomplete

    def close_events(self) -> None:
        """End the thread of listeners; called when the stream is closed."""
        self._events.close()


class DerivedWriter:
    """The frame writer of derived images; an `AddedWriter`.

    Its images have the extents of the images of `source` along the axes of the same name, if that is longer.
    """

    def __init__(
        self,
        frames: FrameWriter,
        source: FrameWriter | None,
        derivation: Derivation,
        lock: AbstractContextManager[Any],
        claim: OutputClaim | ResumeClaim | None,
    ) -> None:
        self.frames = frames
        self.derivation = derivation
        self.lock = lock
        self.claim = claim
        self.before_flush: Callable[[], None] | None = None  # writes what is incomplete
        self.stored: StoredFrames | None = None  # planes of an earlier stream
        self._source = source
        self._counts: list[int] | None = getattr(frames.image_set.metadata, "frames", None)

    @property
    def plan(self) -> Plan:
        return self.frames.plan

    @property
    def image_set(self) -> ImageSet:
        return self.frames.image_set

    def extents(self, level: int = 0) -> Mapping[str, int]:
        return self.frames.extents(level)

    def has_frame(self, index: tuple[int, ...]) -> bool:
        return self.frames.cursor.has_frame(index)

    def count(self) -> int:
        """Return the number of planes."""
        return self.frames.cursor.stored

    def resume(self, stored: StoredFrames, counts: list[int]) -> None:
        """Continue after the planes of an earlier stream, of which each image has so many."""
        self.stored = stored
        self.frames.resume(stored)
        if self._counts is not None:
            self._counts[:] = counts

    def write(
        self, frame: Any, index: Mapping[str, int] | None, copy: bool
    ) -> int | Mapping[str, int]:
        """Write a frame; see `FrameWriter.write`. The caller holds the lock."""
        cursor = self.frames.cursor
        before = cursor.stored
        address = cursor.next_address
        written_at = self.frames.write(frame, index, None, copy)
        if self._counts is not None and cursor.stored > before:
            if not isinstance(written_at, int):
                address = self.plan.router.address_of(list(written_at.values()))
            assert address is not None
            self._counts[address[0]] += 1
        return written_at

    def shapes(self) -> list[tuple[int, ...]]:
        """Return the current shapes."""
        source = None if self._source is None else self._source.current_shapes()
        return self._extended(self.frames.current_shapes(), source, growing_only=True)

    def flush_snapshot(self) -> Snapshot:
        with self.lock:
            if self.before_flush is not None:
                self.before_flush()
            entries, outcome, _ = self.frames.flush_snapshot()
        return entries, replace(outcome, shapes=tuple(self.shapes())), ()

    def final_shapes(self) -> list[tuple[int, ...]]:
        if self.before_flush is not None:
            try:
                self.before_flush()
            except Exception as error:
                self.frames.dataset_writer.fail(error, 0)
        shapes = self.frames.final_shapes()
        source = None if self._source is None else self._source.current_shapes()
        return self._extended(shapes, source, growing_only=False)

    def final_outcome(self, shapes: Shapes, *, failed: bool) -> Outcome:
        return self.frames.final_outcome(shapes, failed=failed)

    def _extended(
        self, shapes: Shapes, source: Shapes | None, *, growing_only: bool
    ) -> list[tuple[int, ...]]:
        """Return shapes that are at least as long as those of the source."""
        if source is None or self._source is None:
            return list(shapes)
        images = self._source.plan.images
        return [
            _extended_shape(image, shape, of, of_shape, growing_only=growing_only)
            for image, shape, of, of_shape in zip(
                self.plan.images, shapes, images, source, strict=True
            )
        ]


def _extended_shape(
    image: ImageSpec,
    shape: tuple[int, ...],
    source: ImageSpec,
    source_shape: tuple[int, ...],
    *,
    growing_only: bool,
) -> tuple[int, ...]:
    extended = list(shape)
    for axis, dim in enumerate(image.dimensions[:-2]):
        along = source.axis(dim.name)
        if along is None or (growing_only and axis != image.array.growing):
            continue
        extended[axis] = max(
            shape[axis], source.addressing.frames_along(along, source_shape[along])
        )
    return tuple(extended)


class _DerivedPlanes:
    """An engine whose planes do not count as frames of the stream; the part of `Engine` that `FrameWriter` needs."""

    def __init__(self, engine: Engine) -> None:
        self.read, self.recover, self.stats = engine.read, engine.recover, engine.stats
        self._write = engine.write

    def write(
        self,
        number: int,
        array: int,
        index: tuple[int, ...],
        frame: NDArray[np.generic],
        owned: bool = False,
    ) -> None:
        self._write(DERIVED, array, index, frame, owned)


def derived_settings(
    settings: AcquisitionSettings,
    derivation: Derivation,
    dtype: Any,
    dimensions: Iterable[str | Dimension] | None,
    rgb: bool | None = False,
) -> AcquisitionSettings:
    """Return the settings of images that are derived from an acquisition with these settings.

    Raises SettingsError if an axis is unknown, the positions are missing, or the dtype is not one of labels.
    """
    if dtype is None:
        dtype = "uint32" if derivation.kind == "labels" else settings.dtype
    if derivation.kind == "labels" and np.dtype(dtype).kind not in "iu":
        raise SettingsError(
            f"Labels are integers, got dtype {np.dtype(dtype).name!r}. Use 'uint32'."
        )
    by_name = {dim.name: dim for dim in settings.dimensions}
    y, x = settings.dimensions[-2:]
    if dimensions is None:
        labels = derivation.kind == "labels"
        chosen = [d for d in settings.dimensions if not (labels and d.type == "channel")]
        if labels:
            chosen = [d for d in chosen if d.name != "cam"]
    else:
        chosen = []
        for each in dimensions:
            if isinstance(each, str) and each not in by_name:
                raise SettingsError(
                    f"The acquisition does not have an axis {each!r}. Its axes are: {', '.join(by_name)}."
                )
            chosen.append(by_name[each] if isinstance(each, str) else each)
        if not {y.name, x.name} & {d.name for d in chosen}:
            chosen += [y, x]
    names = {d.name for d in chosen}
    position = next((d for d in settings.dimensions if d.type == "position"), None)
    if position is not None and position.name not in names:
        raise SettingsError(
            f"A derived image has the positions of its acquisition: dimensions must include {position.name!r}, got "
            f"{[d.name for d in chosen]}. Add it."
        )
    pyramid = settings.pyramid
    if pyramid is not None and derivation.kind == "labels":
        pyramid = pyramid.model_copy(update={"method": "decimate"})
    order = settings.storage_order
    return validated_copy(
        settings,
        dimensions=tuple(chosen),
        dtype=dtype,
        rgb=rgb,
        pyramid=pyramid,
        storage_order=order if isinstance(order, str) else [n for n in order if n in names],
        schedule=None,
        instrument=None,
        experiment=None,
        mirror=None,
        quantize=None,
    )


def add_derived(
    dataset: DatasetWriter,
    row: EngineRow,
    source: FrameWriter | None,
    source_images: Sequence[str],
    layout: Layout,
    derivation: Derivation,
    settings: AcquisitionSettings,
    lock: AbstractContextManager[Any],
) -> DerivedWriter:
    """Add derived images to a dataset that is being written.

    Those that a resumed dataset has are continued. Raises UnsupportedError if format or engine cannot write them,
    OutputExistsError if they exist, SettingsError if those to be continued have other settings.
    """
    for added in dataset.added:
        known = added.derivation if isinstance(added, DerivedWriter) else None
        if known is not None and (known.name, known.kind) == (derivation.name, derivation.kind):
            raise OutputExistsError(
                f"{layout.output} already has {derivation.name!r}. Choose another name."
            )
    plan = resolve(settings)
    if len(plan.images) != len(source_images):
        raise UnsupportedError(
            f"A derived image belongs to one image of the dataset, which has {len(source_images)}; its dimensions "
            f"would be {len(plan.images)} images. Give it the axes {[d.name for d in settings.dimensions]} or others."
        )
    if reasons := unsupported_reasons(row, plan):
        raise UnsupportedError(
            f"The backend {row.name!r} cannot write {derivation.name!r}: {'; '.join(reasons)}. Use another dtype or "
            f"other dimensions."
        )
    derive = format_row(settings.format.name).derived
    if derive is None:
        raise UnsupportedError(
            f"{settings.format.title} does not have images that are derived from others. Write an OME-Zarr, or "
            f"{derivation.name!r} to a dataset of its own."
        )
    claim: OutputClaim | ResumeClaim | None = None
    continued: ContinuedImages | None = None
    with ExitStack() as failing:
        if dataset.resumed:
            from ome_writers.streaming.continued_images import ContinuedImages

            continued = ContinuedImages(layout.output, failing)
        plan, own_layout, metadata = derive(plan, source_images, layout, derivation, continued)
        continued = continued if continued is not None and continued.existing else None
        if continued is not None:
            claim = continued.claim
        elif own_layout.output != layout.output:
            from ome_writers.streaming.output_claim import OutputClaim

            claim = OutputClaim(own_layout, overwrite=settings.overwrite)
            failing.callback(claim.rollback)
        journal = Journal(
            own_layout.root,
            own_layout.journals,
            durable=settings.durability == "disk",
            encode_address=own_layout.encode_address,
        )
        image_set = ImageSet(own_layout, metadata, journal)
        inference = FirstFrameInference(settings)
        inference.active = False

        def open_writer(first: int) -> DerivedWriter:
            frames = FrameWriter(_numbered(plan, first), row, dataset, inference, image_set)
            frames.engine, frames.lending_engine = _DerivedPlanes(frames.engine), None  # type: ignore[assignment]  # a part of Engine
            writer = DerivedWriter(frames, source, derivation, lock, claim)
            if continued is not None:
                writer.resume(continued.stored(plan), continued.counts())
            return writer

        targets = [level for image in plan.images for level in image.levels]
        existing = () if continued is None else continued.existing
        try:
            writer = dataset.add((targets, existing), open_writer, lock)
        except OSError as error:
            if isinstance(error, WriteError):
                raise
            raise WriteError(
                f"{derivation.name!r} could not be created in {layout.output}: {type(error).__name__}: {error}. Free "
                f"space or repair the disk."
            ) from error
        failing.pop_all()
    if claim is not None:
        claim.commit()
    assert isinstance(writer, DerivedWriter)
    return writer


def _numbered(plan: Plan, first: int) -> Plan:
    """Return the plan with the numbers that its arrays have in the engine, from `first` on."""
    images = []
    for image in plan.images:
        at = image.addressing
        images.append(copy_with(image, addressing=replace(at, first_array=first + at.first_array)))
    return replace(plan, images=tuple(images))
