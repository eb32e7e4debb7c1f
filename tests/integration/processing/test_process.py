"""`process`: results equal numpy, on every executor, and after a worker was killed."""

from __future__ import annotations

import multiprocessing
import os
import time
import tracemalloc
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import Channel, Dimension, OutputExistsError, Plate, Position, UnsupportedError
from ome_writers.cli import main
from ome_writers.processing import Bin, Crop, FlatField, Maximum, Mean, PlaneFunction, process

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

T, P, C, Z, Y, X = 5, 3, 2, 4, 24, 32


def source(folder: Path, suffix: str = ".ome.zarr", *, shards: bool = True) -> Path:
    """Write a plate of random pixels; shards of four time points, of which the last is incomplete."""
    path = folder / f"run{suffix}"
    wells = [Position(name=f"A{i}", plate_row="A", plate_column=str(i)) for i in range(1, P + 1)]
    dimensions = [
        Dimension(name="t", count=T, chunk_size=2 if shards else 1, shard_size_chunks=2),
        Dimension(name="p", type="position", coords=wells),
        Dimension(name="c", coords=[Channel(name="DAPI", color="#0000ff"), Channel(name="FITC")]),
        Dimension(name="z", count=Z, scale=2.0, unit="micrometer"),
        Dimension(name="y", count=Y, scale=0.5, unit="micrometer"),
        Dimension(name="x", count=X, scale=0.5, unit="micrometer"),
    ]
    if suffix != ".ome.zarr":
        dimensions = [
            Dimension(
                **d.model_dump(exclude={"coords", "chunk_size", "shard_size_chunks"}),
                coords=d.coords,
            )
            for d in dimensions
        ]
    rng = np.random.default_rng(1)
    with ome_writers.create_stream(
        root_path=path,
        dimensions=dimensions,
        dtype="uint16",
        compression="blosc-zstd" if suffix == ".ome.zarr" else None,
        plate=Plate(row_names=["A"], column_names=["1", "2", "3"]),
    ) as stream:
        for _ in range(T * P * C * Z):
            stream.append(rng.integers(0, 60_000, (Y, X), "uint16"))
    return path


FLAT, DARK = np.linspace(50, 200, Y * X).reshape(Y, X), 10


def flat_field(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    gain = (FLAT - DARK).mean() / (FLAT - DARK)
    return np.clip(np.rint((pixels.astype(float) - DARK) * gain), 0, 65_535)


def bins(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    height, width = Y // 5, X // 5
    cut = pixels[..., : height * 5, : width * 5]
    return np.rint(cut.reshape(*pixels.shape[:-2], height, 5, width, 5).mean(axis=(-3, -1)))


CASES = {
    "maximum-z": (Maximum("z"), lambda a: a.max(axis=3)),
    "maximum-t": (Maximum("t"), lambda a: a.max(axis=0)),
    "maximum-c": (Maximum("c"), lambda a: a.max(axis=2)),
    "mean-z": (Mean("z"), lambda a: np.rint(a.mean(axis=3))),
    "flat-field": (FlatField(FLAT, DARK), flat_field),
    "crop": (Crop(y=(3, 20), x=(0, 9)), lambda a: a[..., 3:20, 0:9]),
    "bin": (Bin(5), bins),
    "block": (partial(np.median, axis=0), lambda a: np.median(a, axis=3)),
    "stack": (partial(np.flip, axis=0), lambda a: a[:, :, :, ::-1]),
}


@pytest.mark.parametrize("case", CASES)
def test_result_equals_numpy(tmp_path: Path, case: str) -> None:
    function, expected = CASES[case]
    path = source(tmp_path)
    result = process(path, function, tmp_path / "out.ome.zarr")
    pixels = expected(np.asarray(ome_writers.open(path)))
    np.testing.assert_array_equal(ome_writers.open(result.destination), pixels)
    dataset = ome_writers.read(result.destination)
    assert (dataset.status, dataset.frames_written) == ("complete", np.prod(pixels.shape[:-2]))
    assert result.frames == dataset.frames_expected == dataset.frames_written
    assert ome_writers.validate(result.destination).valid
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.ome.zarr", "run.ome.zarr"]


def test_metadata_of_the_output(tmp_path: Path) -> None:
    path = source(tmp_path)
    process(path, Bin(2), tmp_path / "bin.ome.zarr")
    before, after = ome_writers.read(path), ome_writers.read(tmp_path / "bin.ome.zarr")
    assert after.plate == before.plate
    assert [i.position for i in after.images] == [i.position for i in before.images]
    assert [c.color for c in after.images[0].channels] == [
        c.color for c in before.images[0].channels
    ]
    level = after.images[0].levels[0]
    assert level.scale == (None, None, 2.0, 1.0, 1.0)
    assert level.translation == (0, 0, 0, 0.25, 0.25)
    assert (level.chunks[0], level.shards and level.shards[0]) == (2, 4)
    assert after.settings is not None
    assert after.settings.output_path == str(tmp_path / "bin.ome.zarr")
    provenance = after.metadata["processing"]
    assert provenance["source"] == "run.ome.zarr"
    assert provenance["function"] == "ome_writers.processing.functions.Bin"
    assert provenance["parameters"] == {"factor": "2", "method": "'mean'"}
    assert provenance["date"]


def test_ome_tiff_is_a_source(tmp_path: Path) -> None:
    path = source(tmp_path, ".ome.tiff")
    process(path, Maximum("z"), tmp_path / "max.ome.zarr", shard_shapes={"t": 3})
    expected = np.asarray(ome_writers.open(path)).max(axis=3)
    np.testing.assert_array_equal(ome_writers.open(tmp_path / "max.ome.zarr"), expected)


def spawned_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("pool", [partial(ThreadPoolExecutor, 3), spawned_pool])
def test_concurrent_futures(tmp_path: Path, pool: Any) -> None:
    path, seen = source(tmp_path), list[tuple[int, int]]()
    with pool() as executor:
        process(
            path,
            Maximum("z"),
            tmp_path / "max.ome.zarr",
            executor=executor,
            on_task=lambda *counts: seen.append(counts),
        )
    expected = np.asarray(ome_writers.open(path)).max(axis=3)
    np.testing.assert_array_equal(ome_writers.open(tmp_path / "max.ome.zarr"), expected)
    assert seen == [(n, 12) for n in range(1, 13)]  # 3 positions, 2 channels, 2 shards


def test_distributed_equals_numpy(tmp_path: Path) -> None:
    """Four processes; the second run on the same cluster must not take cached results of the first."""
    distributed = pytest.importorskip("distributed", reason="a cluster of four processes")
    path = source(tmp_path)
    pixels = np.asarray(ome_writers.open(path))
    with (
        distributed.LocalCluster(
            n_workers=4, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        for name in ("a", "b"):
            output = tmp_path / f"{name}.ome.zarr"
            process(path, Maximum("z"), output, executor=client)
            np.testing.assert_array_equal(ome_writers.open(output), pixels.max(axis=3))
        process(path, FlatField(FLAT, DARK), tmp_path / "flat.ome.zarr", executor=client)
    np.testing.assert_array_equal(ome_writers.open(tmp_path / "flat.ome.zarr"), flat_field(pixels))


class KilledMaximum(PlaneFunction):
    """Maximum along z, whose process is killed while it writes its 20th plane, once."""

    axis = "z"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, planes: Iterable[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        calls = self.folder / "calls"
        with calls.open("ab") as file:
            file.write(b".")
        if calls.stat().st_size == 20:
            os._exit(9)
        time.sleep(0.02)
        return Maximum("z")(planes)


def test_killed_worker_is_resumed(tmp_path: Path) -> None:
    """The second call repeats only the tasks that had not ended."""
    path, output = source(tmp_path), tmp_path / "max.ome.zarr"
    function = KilledMaximum(tmp_path)
    with spawned_pool() as executor, pytest.raises(BrokenProcessPool):
        process(path, function, output, executor=executor)
    assert not output.exists()
    journal = tmp_path / ".max.ome.zarr.processing" / "tasks.jsonl"
    done = len(journal.read_text().splitlines()) - 1
    assert 0 < done < 12
    with journal.open("a") as file:
        file.write('"1/')  # torn by the kill
    seen = list[tuple[int, int]]()
    with spawned_pool() as executor:
        process(path, function, output, executor=executor, on_task=lambda *c: seen.append(c))
    assert seen == [(n, 12) for n in range(done + 1, 13)]
    expected = np.asarray(ome_writers.open(path)).max(axis=3)
    np.testing.assert_array_equal(ome_writers.open(output), expected)
    assert not journal.exists()


def failing(block: np.ndarray[Any, Any], *, limit: int) -> np.ndarray[Any, Any]:
    if block[0, 0, 0] > limit:
        raise ArithmeticError("too bright")
    return block.max(axis=0)


def test_another_function_starts_again(tmp_path: Path) -> None:
    path, output = source(tmp_path), tmp_path / "max.ome.zarr"
    with pytest.raises(ArithmeticError, match="too bright"):
        process(path, partial(failing, limit=50_000), output)
    seen = list[tuple[int, int]]()
    process(path, partial(failing, limit=60_000), output, on_task=lambda *c: seen.append(c))
    assert len(seen) == 12
    expected = np.asarray(ome_writers.open(path)).max(axis=3)
    np.testing.assert_array_equal(ome_writers.open(output), expected)


def test_blocks_without_channels(tmp_path: Path) -> None:
    """`over` chooses the axes of a block; a result keeps the last of them."""
    path = source(tmp_path)

    def ratio(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        first, second = block.astype("float32")
        result: np.ndarray[Any, Any] = first / (second + 1)
        return result

    process(path, ratio, tmp_path / "ratio.ome.zarr", over=("t", "p", "z"))
    pixels = np.asarray(ome_writers.open(path)).astype("float32")
    view = ome_writers.open(tmp_path / "ratio.ome.zarr")
    assert view.dims == ("t", "p", "z", "y", "x")
    np.testing.assert_array_equal(view, pixels[:, :, 0] / (pixels[:, :, 1] + 1))


def test_single_image(tmp_path: Path) -> None:
    """Without any axis but y and x, and with the same task run twice, as after a lost worker."""
    path = tmp_path / "image.ome.zarr"
    dimensions = [Dimension(name="y", count=20), Dimension(name="x", count=30)]
    frame = np.arange(600, dtype="uint16").reshape(20, 30)
    with ome_writers.create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        stream.append(frame)

    class Twice:
        """Any object with `submit` is an executor."""

        def submit(self, function: Any, /, *args: Any) -> Any:
            function(*args)
            function(*args)
            return self

        def result(self) -> None:
            """Return when the task has ended, which it has."""

    process(path, Crop(y=(2, 9), x=(0, 30)), tmp_path / "crop.ome.zarr", executor=Twice())
    np.testing.assert_array_equal(ome_writers.open(tmp_path / "crop.ome.zarr"), frame[2:9])


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    path = source(tmp_path)
    output = tmp_path / "out.ome.zarr"
    with pytest.raises(ome_writers.SettingsError, match="takes blocks with the axes"):
        process(path, Maximum("q"), output)
    with pytest.raises(ome_writers.SettingsError, match="'p' in `over`"):
        process(path, np.max, output, over=("t", "c"))
    with pytest.raises(ome_writers.SettingsError, match="returned an array with 0 axes"):
        process(path, np.max, output)
    with pytest.raises(
        ome_writers.SettingsError, match=r"Crop y=\(0, 25\) is not inside the 24 pixels"
    ):
        process(path, Crop(y=(0, 25), x=(0, 3)), output)
    with pytest.raises(UnsupportedError, match="OME-Zarr directory only"):
        process(path, Bin(2), tmp_path / "out.ome.tiff")
    with pytest.raises(OutputExistsError):
        process(path, Bin(2), path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.ome.zarr"]


def test_memory_is_at_most_three_shards(tmp_path: Path) -> None:
    """Without a limit on the number of planes that are projected."""
    path, planes, shape = tmp_path / "run.ome.zarr", 32, (512, 256)
    dimensions = [
        Dimension(name="t", count=2 * planes),
        Dimension(name="z", count=6),
        Dimension(name="y", count=shape[0]),
        Dimension(name="x", count=shape[1]),
    ]
    with ome_writers.create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        for number in range(2 * planes * 6):
            stream.append(np.full(shape, number, "uint16"))
    tracemalloc.start()
    try:
        process(path, Maximum("z"), tmp_path / "max.ome.zarr", shard_shapes={"t": planes})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * planes * shape[0] * shape[1] * 2


def test_command(tmp_path: Path) -> None:
    path = source(tmp_path)
    flat = tmp_path / "flat.npy"
    np.save(flat, FLAT)
    output = tmp_path / "flat.ome.zarr"
    arguments = ["process", str(path), str(output), "--flat-field", str(flat), "--workers", "2"]
    assert main(arguments) == 0
    gain = FLAT.mean() / FLAT
    expected = np.clip(np.rint(np.asarray(ome_writers.open(path)) * gain), 0, 65_535)
    np.testing.assert_array_equal(ome_writers.open(output), expected)
    assert (
        main(
            ["process", str(path), str(tmp_path / "a.ome.zarr"), "--dark", str(flat), "--bin", "2"]
        )
        == 2
    )
    assert main(["process", str(path), str(tmp_path / "a.ome.zarr"), "--bin", "99"]) == 1
    assert main(["process", str(path), str(tmp_path / "a.ome.zarr"), "--crop", "y=1:2"]) == 2
