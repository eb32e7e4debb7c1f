"""Streams under random valid and invalid operations, compared with a dictionary as model.

`HYPOTHESIS_PROFILE=thorough` runs twenty times as many, and ``long`` (minutes per engine) sixty times.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from ome_writers import AcquisitionSettings, Dimension, create_stream, read_frame_metadata, validate
from ome_writers.errors import (
    EndOfAcquisitionError,
    FrameShapeError,
    FrameTypeError,
    MetadataError,
    OutputExistsError,
    StreamClosedError,
    UnsupportedError,
)
from ome_writers.formats import lay_out
from ome_writers.storage import ENGINES
from support.dataset_readers import read_images

READY = [name for name, row in ENGINES.items() if row.missing_requirement() is None]
SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff", "scratch": ""}
COUNTS = {"t": 4, "p": 2, "c": 3, "z": 2}
ORDERS = ("t", "tc", "tpc", "ptc", "tcz", "ptz")
Y, X = 6, 5
EXAMPLES = max(4, settings.default.max_examples // 20)


def frame(serial: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return a frame that is unique for `serial`; no pixel is 0."""
    return (np.arange(Y * X, dtype=np.int64) + 41 * serial).astype("uint16").reshape(Y, X) + 1


class StreamMachine(RuleBasedStateMachine):
    """Applies each operation to a stream and to a dictionary."""

    def __init__(self, engine: str) -> None:
        super().__init__()
        self.row = ENGINES[engine]
        self.folder = Path(tempfile.mkdtemp())
        self.stream: Any = None
        self.closed = False
        self.serial = 0
        self.position = 0
        self.model: dict[tuple[int, ...], int] = {}  # acquisition index to serial

    @initialize(
        order=st.sampled_from(ORDERS),
        chunk=st.integers(1, 3),
        shard=st.none() | st.integers(1, 3),
        compression=st.sampled_from(["none", "zstd"]),
        unbounded=st.booleans(),
        cut=st.sampled_from([(Y, X), (4, X), (3, 2)]),
        ending=st.sampled_from(["keep", "trim"]),
    )
    def begin(
        self,
        order: str,
        chunk: int,
        shard: int | None,
        compression: str,
        unbounded: bool,
        cut: tuple[int, int],
        ending: str,
    ) -> None:
        """Create the stream; an engine that does not support the settings raises an error and leaves no files."""
        unbounded = unbounded and order[0] == "t" and self.row.format != "ome-tiff"
        self.order = order
        counts = [None if unbounded and axis == "t" else COUNTS[axis] for axis in order]
        self.total = None if unbounded else int(np.prod([COUNTS[axis] for axis in order]))
        sharded = shard if self.row.sharding else None
        # the others have chunks of one frame
        first = Dimension(name="t", count=4, chunk_size=chunk, shard_size_chunks=sharded)
        axes = [
            first.model_copy(update={"count": count})
            if axis == "t"
            else Dimension(name=axis, count=count, **({"type": "position"} if axis == "p" else {}))
            for axis, count in zip(order, counts, strict=True)
        ]
        zarr = self.row.format == "ome-zarr"
        self.keeps_shape = ending == "keep"
        plane = [
            Dimension(name=axis, count=size, chunk_size=part if zarr else None)
            for axis, size, part in zip("yx", (Y, X), cut, strict=True)
        ]
        acquisition = AcquisitionSettings(
            root_path=self.folder / f"run{SUFFIXES[self.row.format]}",
            dimensions=[*axes, *plane],
            dtype="uint16",
            format=self.row.name,
            compression=None if self.row.format == "scratch" else compression,
            on_incomplete=ending,
            flush_interval=0.05,
        )
        try:
            self.stream = create_stream(acquisition)
        except UnsupportedError:
            assert not list(self.folder.iterdir())
            self.closed = True

    @property
    def open(self) -> bool:
        """Whether the stream accepts frames."""
        return not self.closed

    def index_of(self, number: int) -> tuple[int, ...]:
        """Return the acquisition index of frame `number` in order."""
        found: list[int] = []
        for axis in reversed(self.order[1:]):
            number, at = divmod(number, COUNTS[axis])
            found.append(at)
        return (number, *reversed(found))

    @rule(zero_copy=st.booleans())
    def append(self, zero_copy: bool) -> None:
        """Append in order: the frame is stored at the next index, or is one too many, or the stream is closed."""
        if self.stream is None:
            return
        metadata = {"serial": self.serial}
        if self.closed:
            with pytest.raises(StreamClosedError):
                self.stream.append(frame(self.serial), frame_metadata=metadata)
        elif self.position == self.total:
            with pytest.raises(EndOfAcquisitionError):
                self.stream.append(frame(self.serial), frame_metadata=metadata)
        else:
            self.stream.append(frame(self.serial), copy=not zero_copy, frame_metadata=metadata)
            self.model[self.index_of(self.position)] = self.serial
            self.position += 1
            self.serial += 1

    @rule(data=st.data())
    def append_by_index(self, data: st.DataObject) -> None:
        """Append at any index, also again: the later frame is stored."""
        if self.stream is None:
            return
        at = tuple(data.draw(st.integers(0, COUNTS[axis])) for axis in self.order)
        index = dict(zip(self.order, at, strict=True))
        inside = all(
            i < COUNTS[axis] or (n == 0 and self.total is None)
            for n, (axis, i) in enumerate(index.items())
        )
        expected: type[Exception] | None = None
        if self.closed:
            expected = StreamClosedError
        elif not self.row.random_access:
            expected = UnsupportedError
        elif not inside:
            expected = IndexError
        if expected is not None:
            with pytest.raises(expected):
                self.stream.append(frame(self.serial), index=index)
            return
        self.stream.append(frame(self.serial), index=index, frame_metadata={"serial": self.serial})
        self.model[at] = self.serial
        self.serial += 1

    @rule(
        wrong=st.sampled_from(
            [
                (np.zeros((Y, X + 1), "uint16"), FrameShapeError),
                (np.zeros((Y, X), "int16"), FrameTypeError),
                (None, FrameTypeError),
            ]
        )
    )
    def append_invalid_frame(self, wrong: tuple[Any, type[Exception]]) -> None:
        """An invalid frame is refused and changes nothing."""
        if self.stream is not None:
            error = wrong[1]
            if self.closed:
                error = StreamClosedError
            elif self.position == self.total:
                error = EndOfAcquisitionError
            with pytest.raises(error):
                self.stream.append(wrong[0])

    @rule(metadata=st.sampled_from([{1: 2}, {"a": object()}, {"storage_index": 0}]))
    def append_invalid_metadata(self, metadata: dict[Any, Any]) -> None:
        """Frame metadata that cannot be stored is refused and changes nothing."""
        if self.stream is not None:
            with pytest.raises((MetadataError, StreamClosedError)):
                self.stream.append(frame(9), frame_metadata=metadata)

    @rule(fails=st.booleans())
    def use_frame_buffer(self, fails: bool) -> None:
        """A frame buffer is stored at the next index; if its block raises, it is returned unwritten."""
        if self.stream is None or self.closed or self.position == self.total:
            return
        if fails:
            with pytest.raises(LookupError), self.stream.frame_buffer() as buffer:
                buffer[...] = 7
                raise LookupError
            return
        with self.stream.frame_buffer(frame_metadata={"serial": self.serial}) as buffer:
            buffer[...] = frame(self.serial)
        self.model[self.index_of(self.position)] = self.serial
        self.position += 1
        self.serial += 1

    @rule(frames=st.integers(-1, 9))
    def skip(self, frames: int) -> None:
        """Skip: the indices stay unchanged; or it is refused and nothing changes."""
        if self.stream is None:
            return
        if self.closed:
            with pytest.raises(StreamClosedError):
                self.stream.skip(frames=frames)
        elif frames <= 0:
            with pytest.raises(ValueError, match="must be positive"):
                self.stream.skip(frames=frames)
        elif self.total is not None and self.position + frames > self.total:
            with pytest.raises(EndOfAcquisitionError):
                self.stream.skip(frames=frames)
        else:
            self.stream.skip(frames=frames)
            self.position += frames

    @precondition(lambda self: self.open)
    @rule()
    def flush(self) -> None:
        self.stream.flush()

    @precondition(lambda self: self.open)
    @rule()
    def create_second_stream(self) -> None:
        """A second stream on the path is refused and does not affect the first."""
        for overwrite in (False, True):
            again = self.stream.settings.model_copy(update={"overwrite": overwrite})
            with pytest.raises(OutputExistsError):
                create_stream(again)

    @rule(value=st.integers() | st.text(max_size=5))
    def set_metadata(self, value: Any) -> None:
        """Global metadata can be set at any time, and metadata can be replaced unchanged."""
        if self.stream is None:
            return
        self.stream.set_global_metadata("lab", {"value": value if isinstance(value, str) else 1})
        with pytest.raises(ValueError, match="ome"):
            self.stream.set_global_metadata("ome", {"value": 1})
        if self.row.format != "scratch":
            self.stream.update_metadata(self.stream.get_metadata())

    @rule(data=st.data())
    def read_view(self, data: st.DataObject) -> None:
        """A view returns the last frame at each index, in memory or on disk."""
        if self.stream is None or not self.model:
            return
        at = data.draw(st.sampled_from(sorted(self.model)))
        view = self.stream.view()
        assert np.array_equal(view[at], frame(self.model[at])), at

    @rule()
    def close(self) -> None:
        """Close twice."""
        if self.stream is not None:
            self.stream.close()
            self.stream.close()
            self.closed = True

    @invariant()
    def check_counts(self) -> None:
        """The frame count equals the accepted frames, and `closed` is correct."""
        if self.stream is not None:
            assert self.stream.stats().frames_accepted == self.serial
            assert self.stream.closed == self.closed

    def teardown(self) -> None:
        """Close, and read the dataset with third-party readers."""
        try:
            if self.stream is not None:
                self.stream.close()
                self.check_pixels()
        finally:
            shutil.rmtree(self.folder)

    def check_pixels(self) -> None:
        """Compare all indices with the model."""
        plan, output = self.stream.plan, Path(self.stream.settings.output_path)
        entry = lay_out(plan)[1].entry_path  # next to the directory of a set of OME-TIFF files
        assert set(self.folder.iterdir()) == {output} | ({entry} - {None})
        reach = 1 + max((at[0] for at in self.model), default=0)
        extents = [range(COUNTS[axis]) for axis in self.order]
        planned = self.total is not None and (self.keeps_shape or self.position == self.total)
        if self.total is None:
            extents[0] = range(reach)
        read = None
        if self.row.format == "ome-zarr":
            read = read_images(plan)
        elif planned:
            read = read_images(plan, [i.array.shape for i in plan.images])
        for at in itertools.product(*extents):
            image, index = plan.router.address_of(at)
            right = frame(self.model[at]) if at in self.model else np.zeros((Y, X), "uint16")
            inside = read is None or all(
                i < n for i, n in zip(index, read[image].shape, strict=False)
            )
            assert inside or (at not in self.model and not planned), at
            if at in self.model or planned:
                assert np.array_equal(self.stream.read(image, index), right), at
            if read is not None and inside:
                assert np.array_equal(read[image][index], right), at
        serials = [entry["serial"] for entry in read_frame_metadata(output)]
        assert sorted(serials) == sorted(self.model.values())
        if self.row.format != "scratch":
            ours = validate(output).checks[:4]
            assert not [finding for check in ours for finding in check.findings]


@pytest.mark.parametrize("engine", READY)
def test_stream_matches_a_dictionary(engine: str) -> None:
    """After any operations, valid or not, the stream contains the same frames as a dictionary."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_state_machine_as_test(
            lambda: StreamMachine(engine),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=20,
                deadline=None,
                derandomize=settings.default.max_examples <= 100,  # the thorough profile runs more
                suppress_health_check=list(HealthCheck),
            ),
        )
