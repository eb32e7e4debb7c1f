"""Streams under random legal and illegal operations, against a model that is a dictionary.

`HYPOTHESIS_PROFILE=thorough` runs twenty times as many, and ``long`` (minutes an engine) sixty times.
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

from contract.witnesses import stored
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

READY = [name for name, row in ENGINES.items() if row.missing_requirement() is None]
SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff", "scratch": ""}
COUNTS = {"t": 4, "p": 2, "c": 3, "z": 2}
ORDERS = ("t", "tc", "tpc", "ptc", "tcz", "ptz")
Y, X = 6, 5
EXAMPLES = max(4, settings.default.max_examples // 20)


def frame(serial: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return the frame with a number of its own; no pixel is 0."""
    return (np.arange(Y * X, dtype=np.int64) + 41 * serial).astype("uint16").reshape(Y, X) + 1


class StreamMachine(RuleBasedStateMachine):
    """Does to a stream what users do, and to a dictionary what should come of it."""

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
        endless=st.booleans(),
        cut=st.sampled_from([(Y, X), (4, X), (3, 2)]),
        ending=st.sampled_from(["keep", "trim"]),
    )
    def begin(
        self,
        order: str,
        chunk: int,
        shard: int | None,
        compression: str,
        endless: bool,
        cut: tuple[int, int],
        ending: str,
    ) -> None:
        """Create the stream; where the engine cannot, it says so and leaves nothing."""
        endless = endless and order[0] == "t" and self.row.format != "ome-tiff"
        self.order = order
        counts = [None if endless and axis == "t" else COUNTS[axis] for axis in order]
        self.total = None if endless else int(np.prod([COUNTS[axis] for axis in order]))
        sharded = shard if self.row.sharding else None
        # the others have chunks of a frame
        first = Dimension(name="t", count=4, chunk_size=chunk, shard_size_chunks=sharded)
        axes = [
            first.model_copy(update={"count": count})
            if axis == "t"
            else Dimension(name=axis, count=count, **({"type": "position"} if axis == "p" else {}))
            for axis, count in zip(order, counts, strict=True)
        ]
        zarr = self.row.format == "ome-zarr"
        self.kept = ending == "keep"
        plane = [
            Dimension(name=axis, count=size, chunk_size=part if zarr else None)
            for axis, size, part in zip("yx", (Y, X), cut, strict=True)
        ]
        wanted = AcquisitionSettings(
            root_path=self.folder / f"run{SUFFIXES[self.row.format]}",
            dimensions=[*axes, *plane],
            dtype="uint16",
            format=self.row.name,
            compression=None if self.row.format == "scratch" else compression,
            on_incomplete=ending,
            flush_interval=0.05,
        )
        try:
            self.stream = create_stream(wanted)
        except UnsupportedError:
            assert not list(self.folder.iterdir())
            self.closed = True

    @property
    def open(self) -> bool:
        """Whether the stream takes frames."""
        return not self.closed

    def index_of(self, number: int) -> tuple[int, ...]:
        """Return the acquisition index of a place in order."""
        found: list[int] = []
        for axis in reversed(self.order[1:]):
            number, at = divmod(number, COUNTS[axis])
            found.append(at)
        return (number, *reversed(found))

    @rule(handed_over=st.booleans())
    def append(self, handed_over: bool) -> None:
        """Append in order: it lands at the next place, or is one too many, or the stream is closed."""
        if self.stream is None:
            return
        facts = {"serial": self.serial}
        if self.closed:
            with pytest.raises(StreamClosedError):
                self.stream.append(frame(self.serial), frame_metadata=facts)
        elif self.position == self.total:
            with pytest.raises(EndOfAcquisitionError):
                self.stream.append(frame(self.serial), frame_metadata=facts)
        else:
            self.stream.append(frame(self.serial), copy=not handed_over, frame_metadata=facts)
            self.model[self.index_of(self.position)] = self.serial
            self.position += 1
            self.serial += 1

    @rule(data=st.data())
    def append_by_index(self, data: st.DataObject) -> None:
        """Append by index, anywhere and anew: the last frame of a place stays."""
        if self.stream is None:
            return
        at = tuple(data.draw(st.integers(0, COUNTS[axis])) for axis in self.order)
        index = dict(zip(self.order, at, strict=True))
        inside = all(
            i < COUNTS[axis] or (n == 0 and self.total is None)
            for n, (axis, i) in enumerate(index.items())
        )
        wanted: type[Exception] | None = None
        if self.closed:
            wanted = StreamClosedError
        elif not self.row.random_access:
            wanted = UnsupportedError
        elif not inside:
            wanted = IndexError
        if wanted is not None:
            with pytest.raises(wanted):
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
    def append_what_is_wrong(self, wrong: tuple[Any, type[Exception]]) -> None:
        """A wrong frame is refused and changes nothing; first of all it needs a place."""
        if self.stream is not None:
            error = wrong[1]
            if self.closed:
                error = StreamClosedError
            elif self.position == self.total:
                error = EndOfAcquisitionError
            with pytest.raises(error):
                self.stream.append(wrong[0])

    @rule(facts=st.sampled_from([{1: 2}, {"a": object()}, {"storage_index": 0}]))
    def append_with_wrong_facts(self, facts: dict[Any, Any]) -> None:
        """Metadata that cannot be written is refused and changes nothing."""
        if self.stream is not None:
            with pytest.raises((MetadataError, StreamClosedError)):
                self.stream.append(frame(9), frame_metadata=facts)

    @rule(fails=st.booleans())
    def lend(self, fails: bool) -> None:
        """A buffer that was lent lands at the next place; one whose block fails is given back unwritten."""
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
        """Skip: the places stay as they are, or it is refused and nothing changes."""
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
        """Bring all to disk."""
        self.stream.flush()

    @precondition(lambda self: self.open)
    @rule()
    def begin_another(self) -> None:
        """A second stream on the path is refused and does the first no harm."""
        for overwrite in (False, True):
            again = self.stream.settings.model_copy(update={"overwrite": overwrite})
            with pytest.raises(OutputExistsError):
                create_stream(again)

    @rule(value=st.integers() | st.text(max_size=5))
    def tell(self, value: Any) -> None:
        """Facts about the whole may be set at any time, and metadata put back as it was."""
        if self.stream is None:
            return
        self.stream.set_global_metadata("lab", {"value": value if isinstance(value, str) else 1})
        with pytest.raises(ValueError, match="ome"):
            self.stream.set_global_metadata("ome", {"value": 1})
        if self.row.format != "scratch":
            self.stream.update_metadata(self.stream.get_metadata())

    @rule(data=st.data())
    def look(self, data: st.DataObject) -> None:
        """A view shows at each place the last frame, wherever it is by now."""
        if self.stream is None or not self.model:
            return
        at = data.draw(st.sampled_from(sorted(self.model)))
        view = self.stream.view()
        assert np.array_equal(view[at], frame(self.model[at])), at

    @rule()
    def close(self) -> None:
        """Close, and again."""
        if self.stream is not None:
            self.stream.close()
            self.stream.close()
            self.closed = True

    @invariant()
    def counts(self) -> None:
        """As many frames are counted as were taken, and the stream knows whether it is closed."""
        if self.stream is not None:
            assert self.stream.stats().frames_accepted == self.serial
            assert self.stream.closed == self.closed

    def teardown(self) -> None:
        """Close, and have others read what is there."""
        try:
            if self.stream is not None:
                self.stream.close()
                self.judge()
        finally:
            shutil.rmtree(self.folder)

    def judge(self) -> None:
        """Compare all places with the model."""
        plan, output = self.stream.plan, Path(self.stream.settings.output_path)
        entry = lay_out(plan).entry_path  # beside the folder of a set of OME-TIFF files
        assert set(self.folder.iterdir()) == {output} | ({entry} - {None})
        reach = 1 + max((at[0] for at in self.model), default=0)
        extents = [range(COUNTS[axis]) for axis in self.order]
        planned = self.total is not None and (self.kept or self.position == self.total)
        if self.total is None:
            extents[0] = range(reach)
        read = None
        if self.row.format == "ome-zarr":
            read = stored(plan)
        elif planned:
            read = stored(plan, [i.array.shape for i in plan.images])
        for at in itertools.product(*extents):
            image, index = plan.router.address_of(at)
            right = frame(self.model[at]) if at in self.model else np.zeros((Y, X), "uint16")
            there = read is None or all(
                i < n for i, n in zip(index, read[image].shape, strict=False)
            )
            assert there or (at not in self.model and not planned), at
            if at in self.model or planned:
                assert np.array_equal(self.stream.read(image, index), right), at
            if read is not None and there:
                assert np.array_equal(read[image][index], right), at
        known = [entry["serial"] for entry in read_frame_metadata(output)]
        assert sorted(known) == sorted(self.model.values())
        if self.row.format != "scratch":
            ours = validate(output).checks[:4]
            assert not [finding for check in ours for finding in check.findings]


@pytest.mark.parametrize("engine", READY)
def test_a_stream_is_what_a_dictionary_says(engine: str) -> None:
    """Whatever is done to a stream, legal or not, what it holds is what a dictionary would."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run_state_machine_as_test(
            lambda: StreamMachine(engine),
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=20,
                deadline=None,
                derandomize=settings.default.max_examples
                <= 100,  # the thorough profile looks for more
                suppress_health_check=list(HealthCheck),
            ),
        )
