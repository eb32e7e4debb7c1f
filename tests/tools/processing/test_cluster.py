"""`process` on a dask cluster of four processes, whose workers are killed."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import Dimension, Plate, Position, process
from ome_writers.processing import FlatField, Maximum, PlaneFunction

distributed = pytest.importorskip(
    "distributed", reason="process on a cluster: dask.distributed is in `tox -e cloud`"
)
dask = pytest.importorskip("dask", reason="installed with dask.distributed")

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows, os.kill terminates at once
KILLS = 20 if int(os.environ.get("FAULT_ROUNDS", "1")) > 1 else 3
ROWS, COLUMNS = "ABCDEFGH", [str(n) for n in range(1, 13)]
T, Z, Y, X = 4, 3, 32, 48
FLAT = np.linspace(50, 200, Y * X).reshape(Y, X)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a plate of 96 wells, in shards of two time points."""
    path = tmp_path_factory.mktemp("plate") / "plate.ome.zarr"
    wells = [Position(name=r + c, plate_row=r, plate_column=c) for r in ROWS for c in COLUMNS]
    dimensions = [
        Dimension(name="t", count=T, chunk_size=1, shard_size_chunks=2),
        Dimension(name="p", type="position", coords=wells),
        Dimension(name="z", count=Z, scale=2.0, unit="micrometer"),
        Dimension(name="y", count=Y, scale=0.5, unit="micrometer"),
        Dimension(name="x", count=X, scale=0.5, unit="micrometer"),
    ]
    rng = np.random.default_rng(0)
    with ome_writers.create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint16",
        plate=Plate(row_names=[*ROWS], column_names=COLUMNS),
    ) as stream:
        for _ in range(T * len(wells) * Z):
            stream.append(rng.integers(0, 60_000, (Y, X), "uint16"))
    return path


@pytest.fixture
def client() -> Iterator[Any]:
    # on a busy machine, a killed worker takes longer than the default of 15 s to start again
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "600s"}),
        distributed.LocalCluster(
            n_workers=4, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as connected,
    ):
        yield connected


def test_plate_equals_numpy(tmp_path: Path, plate: Path, client: Any) -> None:
    """Maximum and flat field, and a second run on the same cluster, which must not take the results of the first."""
    pixels = np.asarray(ome_writers.open(plate))
    for name in ("a", "b"):
        output = tmp_path / f"{name}.ome.zarr"
        result = process(plate, Maximum("z"), output, executor=client)
        assert (result.images, result.frames) == (96, 96 * T)
        np.testing.assert_array_equal(ome_writers.open(output), pixels.max(axis=2))
    assert ome_writers.validate(output).valid
    process(plate, FlatField(FLAT), tmp_path / "flat.ome.zarr", executor=client)
    expected = np.clip(np.rint(pixels * (FLAT.mean() / FLAT)), 0, 65_535)
    np.testing.assert_array_equal(ome_writers.open(tmp_path / "flat.ome.zarr"), expected)
    assert ome_writers.read(tmp_path / "flat.ome.zarr").plate == ome_writers.read(plate).plate


def test_error_of_a_task_is_raised(tmp_path: Path, plate: Path, client: Any) -> None:
    """Also while tasks are cancelled; an error of the function is not that of the cancellation."""
    first = np.asarray(ome_writers.open(plate)[0, 0])

    def fails_later(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        if not np.array_equal(block, first):
            raise ArithmeticError("not the first block")
        return block.max(axis=0)

    with pytest.raises(ArithmeticError, match="not the first block"):
        process(plate, fails_later, tmp_path / "max.ome.zarr", executor=client)
    assert not (tmp_path / "max.ome.zarr").exists()


class SlowMaximum(PlaneFunction):
    """Maximum along z that takes long enough to be killed."""

    axis = "z"

    def __call__(self, planes: Iterable[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        time.sleep(0.1)
        return Maximum("z")(planes)


def test_killed_workers(tmp_path: Path, plate: Path, client: Any) -> None:
    """The nanny of dask starts a new worker; a task whose worker was killed too often is resumed by the next call."""
    generator, ended, kills = random.Random(5), threading.Event(), []

    def kill() -> None:
        while len(kills) < KILLS and not ended.wait(generator.uniform(0.1, 1.0)):
            pids = list(client.run(os.getpid, on_error="ignore").values())
            if pids:
                os.kill(generator.choice(pids), KILL)
                kills.append(time.monotonic())

    killer = threading.Thread(target=kill)
    killer.start()
    calls, total = 0, 0
    try:
        while len(kills) < KILLS or not calls:
            output = tmp_path / f"max{total}.ome.zarr"
            total += 1
            while not output.exists():
                calls += 1
                try:
                    process(plate, SlowMaximum(), output, executor=client)
                except distributed.scheduler.KilledWorker:
                    continue
            pixels = np.asarray(ome_writers.open(plate)).max(axis=2)
            np.testing.assert_array_equal(ome_writers.open(output), pixels)
            assert ome_writers.validate(output).valid
            assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    finally:
        ended.set()
        killer.join()
    print(f"{len(kills)} kills, {total} outputs equal to numpy, {calls - total} calls repeated")
