"""`process`: results equal numpy, on every executor, and after a worker was killed."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    Channel,
    Dimension,
    OutputExistsError,
    Plate,
    Position,
    UnsupportedError,
    process,
)
from ome_writers.processing import (
    Bin,
    Crop,
    FlatField,
    Maximum,
    Mean,
    Minimum,
    PlaneFunction,
    StandardDeviation,
    Sum,
)
from ome_writers_tools.cli import main
from support.preloaded import preloaded_context
from support.sweeps import swept

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ome_writers_tools.processing.tasks import Task

T, P, C, Z, Y, X = 5, 3, 2, 4, 24, 32


@pytest.fixture(scope="module")
def plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plate(tmp_path_factory.mktemp("plate") / "run.ome.zarr")


@pytest.fixture
def path(plate: Path, tmp_path: Path) -> Path:
    """Return a copy of the plate."""
    return shutil.copytree(plate, tmp_path / plate.name)


def write_plate(path: Path) -> Path:
    """Write a plate of random pixels; shards of four time points, of which the last is incomplete."""
    wells = [Position(name=f"A{i}", plate_row="A", plate_column=str(i)) for i in range(1, P + 1)]
    dimensions = [
        Dimension(name="t", count=T, chunk_size=2, shard_size_chunks=2),
        Dimension(name="p", type="position", coords=wells),
        Dimension(name="c", coords=[Channel(name="DAPI", color="#0000ff"), Channel(name="FITC")]),
        Dimension(name="z", count=Z, scale=2.0, unit="micrometer"),
        Dimension(name="y", count=Y, scale=0.5, unit="micrometer"),
        Dimension(name="x", count=X, scale=0.5, unit="micrometer"),
    ]
    zarr = path.suffix == ".zarr"
    if not zarr:
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
        compression="blosc-zstd" if zarr else None,
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
    "minimum-t": (Minimum("t"), lambda a: a.min(axis=0)),
    "mean-z": (Mean("z"), lambda a: np.rint(a.mean(axis=3))),
    "sum-z": (Sum("z"), lambda a: a.sum(axis=3).astype("uint32")),
    "std-t": (StandardDeviation("t"), lambda a: a.std(axis=0).astype("float32")),
    "flat-field": (FlatField(FLAT, DARK), flat_field),
    "crop": (Crop(y=(3, 20), x=(0, 9)), lambda a: a[..., 3:20, 0:9]),
    "crop-t": (Crop(t=(1, 4)), lambda a: a[1:4]),
    "crop-z": (Crop(c=(1, 2), z=(1, 3), x=(2, 9)), lambda a: a[:, :, 1:2, 1:3, :, 2:9]),
    "bin": (Bin(5), bins),
    "block": (partial(np.median, axis=0), lambda a: np.median(a, axis=3)),
    "stack": (partial(np.flip, axis=0), lambda a: a[:, :, :, ::-1]),
}


@pytest.mark.parametrize("case", swept(CASES, lambda case: case in list(CASES)[::3]))
def test_result_equals_numpy(tmp_path: Path, path: Path, case: str) -> None:
    function, expected = CASES[case]
    result = process(path, function, tmp_path / "out.ome.zarr")
    pixels = expected(np.asarray(ome_writers.open(path)))
    written = np.asarray(ome_writers.open(result.destination))
    if case == "std-t":
        np.testing.assert_allclose(written, pixels, rtol=1e-6)
    else:
        np.testing.assert_array_equal(written, pixels)
    dataset = ome_writers.read(result.destination)
    assert (dataset.status, dataset.frames_written) == ("complete", np.prod(pixels.shape[:-2]))
    assert result.frames == dataset.frames_expected == dataset.frames_written
    assert ome_writers.validate(result.destination).valid
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.ome.zarr", "run.ome.zarr"]


def test_part_of_the_channels_and_time_points(tmp_path: Path, path: Path) -> None:
    process(path, Crop(c=(1, 2), z=(1, 3)), tmp_path / "out.ome.zarr")
    image = ome_writers.read(tmp_path / "out.ome.zarr").images[0]
    assert [channel.name for channel in image.channels] == ["FITC"]
    assert image.levels[0].translation[image.dims.index("z")] == 2


def test_metadata_of_the_output(tmp_path: Path, path: Path) -> None:
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
    assert provenance["function"] == "ome_writers_tools.processing.functions.Bin"
    assert provenance["parameters"] == {"factor": "2", "method": "'mean'"}
    assert provenance["date"]


def test_ome_tiff_is_a_source(tmp_path: Path) -> None:
    path = write_plate(tmp_path / "run.ome.tiff")
    process(path, Maximum("z"), tmp_path / "max.ome.zarr", shard_shapes={"t": 3})
    expected = np.asarray(ome_writers.open(path)).max(axis=3)
    np.testing.assert_array_equal(ome_writers.open(tmp_path / "max.ome.zarr"), expected)


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff"])
def test_output_has_checksums_if_the_source_has(tmp_path: Path, path: Path, format: str) -> None:
    name = f"checked.{format.replace('-', '.')}"
    checked = ome_writers.convert(
        path, tmp_path / name, format={"name": format, "checksum": True}
    ).destination
    for source, expected in ((checked, True), (path, False)):
        output = tmp_path / f"max-{expected}.ome.zarr"
        process(source, Maximum("z"), output)
        assert ome_writers.read(output).images[0].levels[0].checksum is expected


def preloaded_pool() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=preloaded_context())


@pytest.mark.parametrize("pool", [partial(ThreadPoolExecutor, 3), preloaded_pool])
def test_concurrent_futures(tmp_path: Path, path: Path, pool: Any) -> None:
    """`test_command` starts new interpreters, as ``--workers`` does."""
    seen = list[tuple[int, int]]()
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


class KilledMaximum(PlaneFunction):
    """Maximum along z, whose process is killed while it writes its 20th plane, once."""

    axis = "z"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, planes: Iterable[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        calls = self.folder / "calls"
        with calls.open("ab") as file:
            file.write(b".")
        if calls.stat().st_size >= 20:
            with suppress(FileExistsError):
                (self.folder / "killed").touch(exist_ok=False)
                os._exit(9)
        time.sleep(0.02)
        return Maximum("z")(planes)


def test_killed_worker_is_resumed(
    tmp_path: Path, path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second call repeats only the tasks that had not ended."""
    monkeypatch.syspath_prepend(str(repository))  # the workers import this module by its path there
    output = tmp_path / "max.ome.zarr"
    function, seen = KilledMaximum(tmp_path), list[tuple[int, int]]()
    with preloaded_pool() as executor, pytest.raises(BrokenProcessPool):
        process(path, function, output, executor=executor)
    assert not output.exists()
    assert list((tmp_path / ".max.ome.zarr.processing").glob("*/task-*"))  # of the killed worker
    with preloaded_pool() as executor:
        process(path, function, output, executor=executor, on_task=lambda *c: seen.append(c))
    assert 1 < seen[0][0] < 12
    assert seen == [(n, 12) for n in range(seen[0][0], 13)]
    expected = np.asarray(ome_writers.open(path)).max(axis=3)
    np.testing.assert_array_equal(ome_writers.open(output), expected)
    left = sorted(p.name for p in tmp_path.iterdir())
    assert left == ["calls", "killed", "max.ome.zarr", "run.ome.zarr"]


def failing(block: np.ndarray[Any, Any], *, limit: int) -> np.ndarray[Any, Any]:
    if block[0, 0, 0] > limit:
        raise ArithmeticError("too bright")
    return block.max(axis=0)


def test_another_function_starts_again(tmp_path: Path, path: Path) -> None:
    output = tmp_path / "max.ome.zarr"
    with pytest.raises(ArithmeticError, match="too bright"):
        process(path, partial(failing, limit=50_000), output)
    seen = list[tuple[int, int]]()
    process(path, partial(failing, limit=60_000), output, on_task=lambda *c: seen.append(c))
    assert len(seen) == 12
    expected = np.asarray(ome_writers.open(path)).max(axis=3)
    np.testing.assert_array_equal(ome_writers.open(output), expected)


class Collected:
    """An executor without processes or threads: any object with `submit`. Runs each task twice at the same time."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    def submit(self, function: Any, /, *args: Any) -> Any:
        self.tasks += args
        with ThreadPoolExecutor(2) as threads:
            list(threads.map(function, args * 2))
        return self

    def result(self) -> None:
        """Return when the task has ended, which it has."""

    def cancel(self) -> None:
        """Do nothing: the task has ended."""


def test_worker_of_an_earlier_run_does_not_write_to_a_later_one(tmp_path: Path, path: Path) -> None:
    """As when the caller was killed, the workers of a cluster were not, and the function is another now."""
    output, executor = tmp_path / "out.ome.zarr", Collected()
    calls = list[int]()

    def stop(*_: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        process(path, Maximum("z"), output, executor=executor, on_task=stop)
    assert executor.tasks

    def minimum(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        calls.append(len(block))
        for task in (
            executor.tasks if len(calls) > 1 else ()
        ):  # after the call that plans the output
            with pytest.raises(FileNotFoundError, match="run has ended"):
                task.run()
        return block.min(axis=0)

    process(path, minimum, output)
    expected = np.asarray(ome_writers.open(path)).min(axis=3)
    np.testing.assert_array_equal(ome_writers.open(output), expected)


def test_blocks_without_channels(tmp_path: Path, path: Path) -> None:
    """`over` chooses the axes of a block; a result keeps the last of them."""

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
    """Without any axis but y and x, and with the same task run twice at a time, as after a lost worker."""
    path = tmp_path / "image.ome.zarr"
    dimensions = [Dimension(name="y", count=20), Dimension(name="x", count=30)]
    frame = np.arange(600, dtype="uint16").reshape(20, 30)
    with ome_writers.create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        stream.append(frame)
    output = tmp_path / "crop.ome.zarr"
    process(path, Crop(y=(2, 9), x=(0, 30)), output, executor=Collected())
    np.testing.assert_array_equal(ome_writers.open(output), frame[2:9])
    process(path, np.flipud, tmp_path / "flip.ome.zarr")
    np.testing.assert_array_equal(ome_writers.open(tmp_path / "flip.ome.zarr"), frame[::-1])


def test_third_party_readers(tmp_path: Path, path: Path) -> None:
    """zarr-python, and ome-zarr-py where it is installed, as in `tox -e cloud`."""
    zarr = pytest.importorskip("zarr", "3", reason="Python 3.10 does not have zarr-python 3")
    output = tmp_path / "max.ome.zarr"
    expected = np.asarray(ome_writers.open(path)).max(axis=3)
    process(path, Maximum("z"), output, chunk_shapes={"y": 12}, shard_shapes={"t": 1, "y": 2})
    for array in ome_writers.read(output).arrays():
        opened = zarr.open_array(array.path, mode="r")
        assert (opened.chunks, opened.shards) == ((2, 1, 12, X), (2, 1, Y, X))
        np.testing.assert_array_equal(opened[:], expected[:, array.image])
    reader = pytest.importorskip("ome_zarr.reader", reason="ome-zarr-py is in tox -e cloud")
    io = pytest.importorskip("ome_zarr.io", reason="ome-zarr-py is in tox -e cloud")
    for number, image in enumerate(ome_writers.read(output).images):
        (node,) = reader.Reader(io.parse_url(output / image.key))()
        np.testing.assert_array_equal(node.data[0], expected[:, number])


def test_wrong_arguments_are_refused(tmp_path: Path, path: Path) -> None:
    output = tmp_path / "out.ome.zarr"
    with pytest.raises(ome_writers.SettingsError, match="takes blocks with the axes"):
        process(path, Maximum("q"), output)
    with pytest.raises(ome_writers.SettingsError, match="'p' in `over`"):
        process(path, np.max, output, over=("t", "c"))
    with pytest.raises(ome_writers.SettingsError, match="returned an array with 0 axes"):
        process(path, np.max, output)
    with pytest.raises(
        ome_writers.SettingsError, match=r"Crop y=\(0, 25\) is not inside the extent 24"
    ):
        process(path, Crop(y=(0, 25), x=(0, 3)), output)
    with pytest.raises(ome_writers.SettingsError, match=r"flat-field image is \(3, 4\)"):
        process(path, FlatField(np.ones((3, 4))), output)
    with pytest.raises(ome_writers.SettingsError, match=r"dark image is \(2, 2\)"):
        process(path, FlatField(FLAT, np.ones((2, 2))), output)
    with pytest.raises(ome_writers.SettingsError, match=r"empty array, \(4, 24, 0\)"):
        process(path, partial(np.take, indices=[], axis=2), output)
    with pytest.raises(ome_writers.SettingsError, match="cannot follow"):
        process(path, Crop(t=(0, 2)), output, follow=True)
    with pytest.raises(UnsupportedError, match="OME-Zarr directory only"):
        process(path, Bin(2), tmp_path / "out.ome.tiff")
    with pytest.raises(OutputExistsError):
        process(path, Bin(2), path)
    assert [p.name for p in tmp_path.iterdir()] == ["run.ome.zarr"]


def peak_bytes(pid: int) -> int:
    """Return the largest resident memory of a process so far."""
    (kilobytes,) = re.findall(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(kilobytes) * 1024


@pytest.mark.skipif(
    sys.platform != "linux",
    reason="memory of a worker: only Linux reports the peak since its start",
)
@pytest.mark.parametrize(
    "compression", ["none", pytest.param("blosc-zstd", marks=pytest.mark.sweep)]
)
def test_worker_needs_memory_for_three_shards(tmp_path: Path, compression: str) -> None:
    """Above that of a worker which has processed a small dataset; for any number of planes of a projection."""
    planes, size = 32, 512
    peaks = []
    with ProcessPoolExecutor(1, mp_context=preloaded_context()) as executor:
        for name, extent in (("small", 16), ("large", size)):
            path = tmp_path / f"{name}.ome.zarr"
            dimensions = [
                Dimension(name="t", count=2 * planes),
                Dimension(name="z", count=3),
                Dimension(name="y", count=extent),
                Dimension(name="x", count=extent),
            ]
            frames = np.random.default_rng(0).integers(0, 4096, (7, extent, extent), "uint16")
            with ome_writers.create_stream(
                root_path=path, dimensions=dimensions, dtype="uint16", compression=compression
            ) as stream:
                for number in range(2 * planes * 3):
                    stream.append(frames[number % 7])
            output = tmp_path / f"{name}-max.ome.zarr"
            process(path, Maximum("z"), output, executor=executor, shard_shapes={"t": planes})
            peaks.append(peak_bytes(executor.submit(os.getpid).result()))
    shard = planes * size * size * 2
    print(f"{compression}: {(peaks[1] - peaks[0]) / shard:.2f} shards of {shard / 2**20:.0f} MiB")
    assert peaks[1] - peaks[0] < 3 * shard


def test_command(tmp_path: Path, path: Path) -> None:
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
    assert main(["process", str(path), str(tmp_path / "a.ome.zarr"), "--crop", "y=1"]) == 2
    assert main(["process", str(path), str(tmp_path / "std.ome.zarr"), "--std", "z"]) == 0
    assert ome_writers.read(tmp_path / "std.ome.zarr").images[0].levels[0].dtype == "float32"


def test_command_names_the_option_to_change(
    tmp_path: Path, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "notes.txt"
    other.write_text("no image")
    output = str(tmp_path / "a.ome.zarr")
    for arguments, message in (
        (["--maximum", "z", "--shard", "q=2"], "--shard names ['q']"),
        (["--flat-field", str(other)], "is not an .npy file"),
        (["--flat-field", str(tmp_path / "no.npy")], "no.npy: No such file"),
        (["--mean", "q"], "Name axes that exist"),
    ):
        assert main(["process", str(path), output, *arguments]) == 1
        assert message in capsys.readouterr().err
    assert main(["process", str(path), output, "--bin", "2", "--shard", "t=3", "--json"]) == 0
    level = ome_writers.read(output).images[0].levels[0]
    assert level.shards is not None
    assert level.shards[0] == 6
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a.ome.zarr",
        "notes.txt",
        "run.ome.zarr",
    ]
