"""The contract of `storage.contract.Engine`, tested on every engine."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from engines.cases import SUFFIXES, Case, frame
from ome_writers import create_stream
from ome_writers.formats import lay_out
from ome_writers.routing import resolve
from ome_writers.storage import ENGINES, Options, open_engine
from ome_writers.storage.files import temporary_target
from ome_writers.testing import EngineContract
from support.dataset_readers import read_images, zarr_shapes
from support.sweeps import SWEEPS

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.routing import Plan
    from ome_writers.storage import Engine

READY = [row for row in ENGINES.values() if row.missing_requirement() is None]
READY += [
    # one engine in two modes: planes of 512 KiB and more use tensorstore transactions
    dataclasses.replace(row, module="engines.in_transactions")
    for row in READY
    if row.name == "tensorstore"
]
OURS = ("direct", "tifffile", "scratch")
ZARR = [row for row in READY if row.format == "ome-zarr"]
SEEN_AT_A_FLUSH = [row for row in ZARR if row.live]
IN_ANY_ORDER = [row for row in READY if row.random_access]
PLENTY, SCARCE = 2**28, 2 * frame(0, "uint16").nbytes
"""Memory for all that is under way, and for two planes: then none waits for its neighbours."""


def by_name(row: Any) -> str:
    """Return the id of a parameter."""
    return str(row.name) if row == ENGINES[row.name] else f"{row.name}-in-transactions"


def opened(row: Any, case: Case, folder: Path, **options: Any) -> tuple[Plan, Engine]:
    """Return the plan of a case, and an engine for it, without metadata."""
    plan, layout = lay_out(resolve(case.settings(folder, row.name, row.format)))
    layout.root.mkdir(parents=True, exist_ok=True)
    arrays = [image.array for image in plan.images]
    return plan, open_engine(row, layout.root, arrays, Options(**options))


def fill(plan: Plan, engine: Engine, dtype: str = "uint16") -> None:
    """Write every plane in acquisition order, from one buffer that is reused."""
    buffer = np.empty_like(frame(0, dtype))
    assert plan.frames is not None
    for number in range(plan.frames):
        image, index = plan.router.address(number)
        buffer[...] = frame(number, dtype)
        engine.write(number, image, index, buffer)
        buffer[...] = 0


def shapes(plan: Plan) -> list[tuple[int, ...]]:
    return [image.array.shape for image in plan.images]


class TestEngines(EngineContract):
    """The tests that the engines of other packages pass, too."""

    @pytest.fixture(params=READY, ids=by_name, autouse=True)
    def _row(self, request: pytest.FixtureRequest) -> None:
        self.row = request.param
        self.opens_from_disk = request.param.format != "scratch"
        if not (SWEEPS or self.row.name in OURS):
            # the other kinds are written plainly: with memory for all planes and for two, and in random order
            self.combined_chunks = ("frames", "deep shards")


@pytest.mark.parametrize("row", SEEN_AT_A_FLUSH, ids=by_name)
@pytest.mark.parametrize("chunks", ["frames", "deep", "shards over t", "deep shards"])
def test_flush_makes_planes_visible_to_other_readers(row: Any, chunks: str, tmp_path: Path) -> None:
    """Planes of partial chunks are included."""
    plan, engine = opened(row, Case(chunks=chunks), tmp_path)
    expected = np.zeros(plan.images[0].array.shape, "uint16")
    for number in range(plan.frames or 0):
        image, index = plan.router.address(number)
        engine.write(number, image, index, frame(number, "uint16"))
        expected[index] = frame(number, "uint16")
        if number % 7 == 0:
            engine.flush(shapes(plan))
            assert np.array_equal(read_images(plan)[0], expected)
    engine.close(shapes(plan))
    assert np.array_equal(read_images(plan)[0], expected)


@pytest.mark.parametrize("row", IN_ANY_ORDER, ids=by_name)
@pytest.mark.parametrize("chunks", ["frames", "deep", "deep shards"])
def test_later_frame_at_same_index_wins(row: Any, chunks: str, tmp_path: Path) -> None:
    """Planes arrive in any order, and again after a flush: the later one is read and stored."""
    plan, engine = opened(row, Case(chunks=chunks), tmp_path, buffer_bytes=2**20)
    assert plan.frames is not None
    for turn in range(3):
        for number in reversed(range(turn, plan.frames, turn + 1)):
            image, index = plan.router.address(number)
            engine.write(number, image, index, frame(100 * turn + number, "uint16"))
        engine.flush(shapes(plan))
    engine.close(shapes(plan))
    seen = read_images(plan) if row.format == "ome-zarr" else None
    for number in range(plan.frames):
        turn = max(t for t in range(3) if number >= t and (number - t) % (t + 1) == 0)
        right = frame(100 * turn + number, "uint16")
        image, index = plan.router.address(number)
        assert np.array_equal(engine.read(image, index), right)
        assert seen is None or np.array_equal(seen[image][index], right)


@pytest.mark.parametrize(
    ("row", "compression", "memory"),
    [
        pytest.param(
            *(row, compression, memory),
            id=f"{by_name(row)}-{compression}-{name}",
            # each compression and each size of the memory with each engine, all pairs with ours
            marks=() if row.name in OURS or first == second else pytest.mark.sweep,
        )
        for row in IN_ANY_ORDER
        for first, compression in enumerate(("none", "zstd"))
        for second, (name, memory) in enumerate((("plenty", PLENTY), ("scarce", SCARCE)))
    ],
)
def test_replaced_frame_while_the_first_is_queued(
    row: Any, compression: str, memory: int, tmp_path: Path
) -> None:
    """A frame that replaces a queued one, or a neighbour of queued ones, is stored."""
    if compression not in row.compressions:
        pytest.skip(f"replaced frames in compressed chunks: {row.name} has no {compression}")
    for turn in range(10 if SWEEPS else 1):
        case = Case(compression=compression)
        plan, engine = opened(row, case, tmp_path / str(turn), buffer_bytes=memory)
        last: dict[int, int] = {}
        assert plan.frames is not None
        order = [0, 1, 1, 2, 3, *np.random.default_rng(turn).integers(0, plan.frames, 80).tolist()]
        for serial, number in enumerate(order):
            image, index = plan.router.address(number)
            engine.write(serial, image, index, frame(serial, "uint16"))
            last[number] = serial
            assert np.array_equal(engine.read(image, index), frame(serial, "uint16"))
        engine.close(shapes(plan))
        assert not engine.failures
        seen = read_images(plan) if row.format == "ome-zarr" else None
        for number, serial in last.items():
            image, index = plan.router.address(number)
            assert np.array_equal(engine.read(image, index), frame(serial, "uint16"))
            assert seen is None or np.array_equal(seen[image][index], frame(serial, "uint16"))


@pytest.mark.parametrize("row", ZARR, ids=by_name)
def test_array_shape_grows_at_flush_and_is_exact_after_close(row: Any, tmp_path: Path) -> None:
    plan, engine = opened(row, Case(ending="unbounded", chunks="shards over t"), tmp_path)
    rest = plan.images[0].array.shape[1:]
    for number in range(30):
        engine.write(number, *plan.router.address(number), frame(number, "uint16"))
    if row.live:  # other libraries overwrite the shapes at any time
        assert zarr_shapes(plan) == [(1, *rest)]
        engine.flush([(4, *rest)])
        assert zarr_shapes(plan) == [(4, *rest)]
    engine.close([(5, *rest)])
    read = read_images(plan)[0]
    assert read.shape == (5, *rest)
    for number in range(30):
        assert np.array_equal(read[plan.router.address(number)[1]], frame(number, "uint16"))


@pytest.mark.parametrize("row", ZARR, ids=by_name)
@pytest.mark.parametrize("chunks", ["frames", "deep shards"])
@pytest.mark.parametrize("memory", [PLENTY, SCARCE], ids=["plenty", "scarce"])
def test_failures_list_exactly_the_missing_frames(
    row: Any, chunks: str, memory: int, tmp_path: Path
) -> None:
    """If chunks cannot be written, nothing hangs or raises, and `failures` lists exactly their frames."""
    plan, engine = opened(row, Case(chunks=chunks), tmp_path, buffer_bytes=memory)
    array = lay_out(plan)[1].root / "0"
    if (array / "c").is_dir():
        (array / "c").rmdir()
    (array / "c").write_text("no folder")
    fill(plan, engine)
    engine.flush(shapes(plan))
    engine.close(shapes(plan))
    assert {n for failure in engine.failures for n in failure.frames} == set(
        range(plan.frames or 0)
    )


@pytest.mark.parametrize("row", ZARR, ids=by_name)
def test_durable_output_equals_normal_output(row: Any, tmp_path: Path) -> None:
    """`durable=True` results in the same files."""
    plan, engine = opened(row, Case(chunks="shards over t"), tmp_path, durable=True)
    fill(plan, engine)
    engine.flush(shapes(plan))
    engine.close(shapes(plan))
    assert not engine.failures
    read = read_images(plan)
    for number in range(plan.frames or 0):
        image, index = plan.router.address(number)
        assert np.array_equal(read[image][index], frame(number, "uint16"))


@pytest.mark.parametrize("row", READY, ids=by_name)
def test_two_concurrent_engines(row: Any, tmp_path: Path) -> None:
    """Two threads write one dataset each, with different chunks and codecs."""
    compressed = "zstd" if row.format != "scratch" else "none"
    cases = [Case(chunks="deep", compression=compressed), Case(order="ztpc", layout="collection")]
    if not row.random_access:
        cases[1] = Case(order="tpcz", layout="collection")
    plans: list[Any] = [None, None]
    errors: list[BaseException] = []

    def run(which: int) -> None:
        try:
            settings = cases[which].settings(tmp_path / str(which), row.name, row.format)
            with create_stream(settings) as stream:
                plans[which] = stream.plan
                for number in range(settings.num_frames):
                    stream.append(frame(1000 * which + number, "uint16"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(which,)) for which in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    for which, plan in enumerate(plans):
        read = read_images(plan, shapes(plan))
        for number in range(plan.frames):
            image, index = plan.router.address(number)
            assert np.array_equal(read[image][index], frame(1000 * which + number, "uint16"))


def test_every_format_has_a_suffix() -> None:
    assert {row.format for row in ENGINES.values()} <= set(SUFFIXES)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("0.__lock", "0"),
        (f"zarr.json.{'a1' * 16}.partial", "zarr.json"),
        (".stage.tmp", "stage"),
    ],
)
def test_temporary_names_of_libraries_are_recognized(name: str, target: str) -> None:
    assert temporary_target(name) == target
