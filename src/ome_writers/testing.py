"""Contract tests for storage engines, to be inherited by the tests of an engine; pytest collects them.

A package with an engine names its `ome_writers.storage.EngineRow` in the entry point group ``ome_writers.engines``,
under the name of the engine, and tests it with::

    from ome_writers.testing import EngineContract

    class TestMyEngine(EngineContract):
        row = my_package.ROW
"""

# Longer than 300 lines: one class of tests.

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

import ome_writers
from ome_writers.formats import lay_out
from ome_writers.routing import Plan, resolve
from ome_writers.settings import AcquisitionSettings, Dimension, Position
from ome_writers.storage import (
    DERIVED,
    ExtensibleEngine,
    Options,
    is_temporary,
    open_engine,
    part_of,
    unsupported_reasons,
)

if TYPE_CHECKING:
    from ome_writers.storage import Engine, EngineRow

__all__ = ["EngineContract"]

_Y, _X = 10, 12
_SIZES = {"t": 3, "c": 2, "z": 3}
_SCARCE_BYTES = 2 * _Y * _X * 2  # two planes
_CHUNKS: dict[str, dict[str, dict[str, Any]]] = {
    "frames": {},
    "tiles": {"y": {"chunk_size": 4}, "x": {"chunk_size": 6}},
    "deep": {"t": {"chunk_size": 2}, "z": {"chunk_size": 2}},
    "shards": {"t": {"shard_size_chunks": 2}, "z": {"shard_size_chunks": 2}},
    "deep shards": {
        "t": {"chunk_size": 2, "shard_size_chunks": 2},
        "y": {"chunk_size": 5, "shard_size_chunks": 2},
    },
}


class EngineContract:
    """Tests of the protocol `ome_writers.storage.Engine`; what the row does not claim is skipped.

    Attributes
    ----------
    row
        The engine under test.
    opens_from_disk
        Whether `ome_writers.open` reads the datasets.
    chunks
        The kinds of chunks to test, if the row has sharding.
    combined_chunks
        Those of them that are also tested with compression, with derived planes and with added arrays.
    """

    row: ClassVar[EngineRow]
    opens_from_disk: ClassVar[bool] = True
    chunks: ClassVar[Sequence[str]] = tuple(_CHUNKS)
    combined_chunks: ClassVar[Sequence[str]] = chunks

    def stored(self, root: Path, key: str) -> bytes:
        """Return the content of a metadata file; to be overridden if it is not in a local file."""
        return (root / key).read_bytes()

    def test_read_returns_planes_from_memory_and_disk(self, tmp_path: Path) -> None:
        """`read` returns zeros before `write`, and the plane right after it and after `close`."""
        for name, plan, engine in self._engines(tmp_path):
            for number in range(plan.frames or 0):
                address = plan.router.address(number)
                assert not engine.read(*address).any(), name
                engine.write(number, *address, _frame(number))
                assert np.array_equal(engine.read(*address), _frame(number)), name
            engine.close(_shapes(plan))
            _check(plan, engine, {n: n for n in range(plan.frames or 0)})
            assert engine.stats().frames_written == plan.frames

    def test_derived_planes_are_not_counted_as_frames(self, tmp_path: Path) -> None:
        """The numbers of planes of a resolution level, and of all samples of a frame but the last, are negative."""
        for _, plan, engine in self._engines(tmp_path, combined=True):
            count = plan.frames or 0
            for number in range(count):
                kind = (number, DERIVED, part_of(number))[number % 3]
                engine.write(kind, *plan.router.address(number), _frame(number))
            engine.close(_shapes(plan))
            _check(plan, engine, {n: n for n in range(count)})
            assert engine.stats().frames_written == len(range(0, count, 3))

    def test_complete_acquisition_leaves_no_temporary_file_and_no_thread(
        self, tmp_path: Path
    ) -> None:
        """The caller reuses one buffer; `close` leaves no hidden or temporary files, and no thread of this library."""
        before = set(threading.enumerate())
        for _, plan, engine in self._engines(tmp_path):
            _fill(plan, engine)
            engine.close(_shapes(plan))
            _check(plan, engine, {n: n for n in range(plan.frames or 0)})
        names = [path.name for path in tmp_path.rglob("*")]
        assert not [name for name in names if name.startswith(".") or is_temporary(name)]
        threads = set(threading.enumerate()) - before
        assert not [thread for thread in threads if thread.name.startswith("ome-writers")]

    def test_more_chunks_than_fit_into_memory(self, tmp_path: Path) -> None:
        """With memory for two planes, an acquisition that visits all chunks in turn is stored correctly."""
        order = "ztpc" if self.row.random_access else "tpcz"
        for _, plan, engine in self._engines(tmp_path, order, buffer_bytes=_SCARCE_BYTES):
            _fill(plan, engine)
            engine.close(_shapes(plan))
            _check(plan, engine, {n: n for n in range(plan.frames or 0)})

    def test_later_frame_at_the_same_index_wins(self, tmp_path: Path) -> None:
        """Planes are written in random order and repeatedly, while earlier ones are still queued."""
        self._require("random_access")
        for compression in sorted({"none", "zstd", "deflate"} & self.row.compressions):
            folder = tmp_path / compression
            combined = compression != "none"
            for _, plan, engine in self._engines(
                folder, compression=compression, combined=combined
            ):
                last: dict[int, int] = {}
                numbers = np.random.default_rng(0).integers(0, plan.frames or 1, 100).tolist()
                for serial, number in enumerate(numbers):
                    address = plan.router.address(number)
                    engine.write(serial, *address, _frame(serial))
                    last[number] = serial
                    assert np.array_equal(engine.read(*address), _frame(serial))
                    if serial % 30 == 0:
                        engine.flush(_shapes(plan))
                engine.close(_shapes(plan))
                _check(plan, engine, last)

    def test_arrays_are_added_while_others_are_written(self, tmp_path: Path) -> None:
        """Planes of another shape and dtype are stored with the same engine, if it is an `ExtensibleEngine`."""
        for name, plan, engine in self._engines(tmp_path, combined=True):
            if not isinstance(engine, ExtensibleEngine):
                engine.close(_shapes(plan))
                continue
            count = plan.frames or 0
            for number in range(count // 2):
                engine.write(number, *plan.router.address(number), _frame(number))
            settings = self._settings(tmp_path / name, name, "tpcz", sizes={"x": _X // 2})
            other, _ = lay_out(resolve(settings.model_copy(update={"dtype": "uint8"})))
            targets = [
                replace(image.array, key=f"added-{number}{image.array.key.replace('/', '-')}")
                for number, image in enumerate(other.images)
            ]
            first = engine.add_arrays(targets)
            assert first == len(plan.images)
            for number in range(count):
                image, index = plan.router.address(number)
                if number >= count // 2:
                    engine.write(number, image, index, _frame(number))
                engine.write(DERIVED, first + image, index, _small_frame(number))
                if number == count // 2:
                    engine.flush([*_shapes(plan), *_shapes(other)])
            engine.close([*_shapes(plan), *_shapes(other)])
            _check(plan, engine, {n: n for n in range(count)})
            assert engine.stats().frames_written == count
            for number in range(count):
                image, index = plan.router.address(number)
                stored = engine.read(first + image, index)
                assert stored.dtype == "uint8"
                assert np.array_equal(stored, _small_frame(number)), (name, number)

    def test_put_works_before_and_after_close(self, tmp_path: Path) -> None:
        """`put` replaces a metadata file below the root at any time; a second `close` does nothing."""
        plan, engine = self._open(tmp_path, "frames", "tpcz")
        _, layout = lay_out(plan)
        root = layout.root
        engine.put("notes/first.json", b"{}")
        _fill(plan, engine)
        engine.close(_shapes(plan))
        assert self.stored(root, "notes/first.json") == b"{}"
        engine.put("notes/first.json", b"[]")
        engine.close(_shapes(plan))
        assert self.stored(root, "notes/first.json") == b"[]"

    def test_streams_are_stored_completely(self, tmp_path: Path) -> None:
        """Two threads write a dataset each; views of the streams, and of the files, return all frames."""
        results: list[Any] = [None, None]

        def run(which: int) -> None:
            chunks = ("frames", "deep")[which]
            settings = self._settings(tmp_path / str(which), chunks, "ptcz")
            try:
                with ome_writers.create_stream(settings) as stream:
                    for number in range(settings.num_frames or 0):
                        stream.append(_frame(1000 * which + number))
                results[which] = settings, stream.view()[...]
            except BaseException as error:
                results[which] = error

        threads = [threading.Thread(target=run, args=(which,)) for which in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for which, result in enumerate(results):
            if isinstance(result, BaseException):
                raise result
            settings, pixels = result
            expected = np.stack([_frame(1000 * which + n) for n in range(settings.num_frames)])
            assert np.array_equal(pixels.reshape(expected.shape), expected)
            if self.opens_from_disk:
                stored = ome_writers.open(settings.output_path)[...]
                assert np.array_equal(stored.reshape(expected.shape), expected)
                assert ome_writers.read(settings.output_path).status == "complete"

    def test_unbounded_axis_grows(self, tmp_path: Path) -> None:
        """A stream with an unbounded axis stores what arrived, and nothing else."""
        self._require("growth")
        settings = self._settings(tmp_path, "frames", "tcz", sizes={"t": None})
        with ome_writers.create_stream(settings) as stream:
            for number in range(5 * 6):
                stream.append(_frame(number))
        expected = np.stack([_frame(n) for n in range(5 * 6)]).reshape(5, 2, 3, _Y, _X)
        assert np.array_equal(stream.view()[...], expected)
        if self.opens_from_disk:
            assert np.array_equal(ome_writers.open(settings.output_path)[...], expected)

    def test_flushed_frames_are_visible_to_readers(self, tmp_path: Path) -> None:
        """After `flush`, a view of the files returns the frames, also those of incomplete chunks."""
        self._require("live")
        settings = self._settings(tmp_path, "frames", "tcz")
        with ome_writers.create_stream(settings) as stream:
            for number in range(10):
                stream.append(_frame(number))
            stream.flush()
            stored = ome_writers.open(settings.output_path)[...].reshape(-1, _Y, _X)
            assert np.array_equal(stored[:10], [_frame(number) for number in range(10)])
            assert not stored[10:].any()

    def _require(self, capability: str) -> None:
        if not getattr(self.row, capability):
            import pytest

            pytest.skip(
                f"{capability}: the row of {self.row.name} declares that the engine lacks it"
            )

    def _engines(
        self,
        folder: Path,
        order: str = "tpcz",
        compression: str = "none",
        *,
        combined: bool = False,
        **options: Any,
    ) -> Iterator[tuple[str, Plan, Engine]]:
        """Yield an open engine for each kind of chunks that the row supports."""
        for chunks in self.chunks if self.row.sharding else ("frames",):
            if combined and chunks not in self.combined_chunks:
                continue
            plan = resolve(self._settings(folder / chunks, chunks, order, compression))
            if not unsupported_reasons(self.row, plan):
                opened = self._open(folder / chunks, chunks, order, compression, **options)
                yield chunks, *opened

    def _open(
        self,
        folder: Path,
        chunks: str,
        order: str,
        compression: str = "none",
        **options: Any,
    ) -> tuple[Plan, Engine]:
        plan, layout = lay_out(resolve(self._settings(folder, chunks, order, compression)))
        layout.root.mkdir(parents=True, exist_ok=True)
        arrays = [image.array for image in plan.images]
        return plan, open_engine(self.row, layout.root, arrays, Options(**options))

    def _settings(
        self,
        folder: Path,
        chunks: str,
        order: str,
        compression: str = "none",
        sizes: Mapping[str, int | None] | None = None,
    ) -> AcquisitionSettings:
        folder.mkdir(parents=True, exist_ok=True)
        counts: dict[str, int | None] = {**_SIZES, "y": _Y, "x": _X, **(sizes or {})}
        positions = [Position(name="left"), Position(name="right")]
        dimensions = [
            Dimension(name="p", type="position", coords=positions)
            if name == "p"
            else Dimension(name=name, count=counts[name], **_CHUNKS[chunks].get(name, {}))
            for name in (*order, "y", "x")
        ]
        return AcquisitionSettings(
            root_path=folder / "run",
            dimensions=dimensions,
            dtype="uint16",
            compression=None if compression == "none" else compression,  # type: ignore[arg-type]  # validated
            format={"name": self.row.format, "backend": self.row.name},
        )


def _frame(number: int) -> NDArray[np.uint16]:
    """Return frame `number`, in memory of its own."""
    return np.array(_pixels(number))


@cache
def _pixels(number: int) -> NDArray[np.uint16]:
    return np.random.default_rng(number).integers(1, 2**16, (_Y, _X), np.uint16)


def _small_frame(number: int) -> NDArray[np.uint8]:
    return _frame(number)[:, : _X // 2].astype(np.uint8)


def _fill(plan: Plan, engine: Engine) -> None:
    """Write every plane in acquisition order, from one buffer that is overwritten."""
    buffer = np.empty((_Y, _X), np.uint16)
    for number in range(plan.frames or 0):
        buffer[...] = _frame(number)
        engine.write(number, *plan.router.address(number), buffer)
        buffer[...] = 0


def _check(plan: Plan, engine: Engine, written: Mapping[int, int]) -> None:
    """Assert that nothing failed, and that the planes contain the frames with these serial numbers."""
    assert not engine.failures, engine.failures
    for number, serial in written.items():
        assert np.array_equal(engine.read(*plan.router.address(number)), _frame(serial)), number


def _shapes(plan: Plan) -> list[tuple[int, ...]]:
    return [image.shape for image in plan.images]
