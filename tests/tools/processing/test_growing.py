"""`process(follow=True)` while another process writes the dataset."""

from __future__ import annotations

import itertools
import multiprocessing
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import Dimension, OutputLockedError, process
from ome_writers.processing import Maximum, PlaneFunction
from ome_writers_tools.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

T, C, Z, Y, X = 12, 2, 3, 16, 24
PIXELS = np.random.default_rng(3).integers(1, 60_000, (T, C, Z, Y, X), "uint16")


def write(
    path: Path, order: str, frames: int, seconds: float, count: int | None, start: Any
) -> None:
    """Write frames in acquisition order, with their index or without, or in reverse order."""
    dimensions = [
        Dimension(name="t", count=count, chunk_size=2, shard_size_chunks=2),
        Dimension(name="c", count=C),
        Dimension(name="z", count=Z),
        Dimension(name="y", count=Y),
        Dimension(name="x", count=X),
    ]
    indices = list(itertools.product(range(T), range(C), range(Z)))[:frames]
    if order == "reversed":
        indices.reverse()
    with ome_writers.create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", flush_interval=0.1
    ) as stream:
        for number, index in enumerate(indices):
            named = dict(zip("tcz", index, strict=True))
            stream.append(PIXELS[index], index=None if order == "appended" else named)
            if number == 0:
                stream.flush()
                start.set()
            time.sleep(seconds)


@pytest.fixture
def writing(tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return a function that starts a writer and returns its process and path."""
    monkeypatch.syspath_prepend(
        str(repository)
    )  # the process imports this module by its path there
    context = multiprocessing.get_context("spawn")
    started: list[Any] = []

    def start(
        order: str = "appended",
        frames: int = T * C * Z,
        seconds: float = 0.04,
        count: int | None = T,
    ) -> tuple[Any, Path]:
        path, event = tmp_path / "run.ome.zarr", context.Event()
        writer = context.Process(target=write, args=(path, order, frames, seconds, count, event))
        writer.start()
        started.append(writer)
        assert event.wait(60)
        return writer, path

    yield start
    for writer in started:
        writer.kill()
        writer.join()


class Recorded(PlaneFunction):
    """Maximum along z, which records the status of the dataset at each call."""

    axis = "z"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.statuses: list[str | None] = []

    def __call__(self, planes: Iterable[np.ndarray[Any, Any]]) -> np.ndarray[Any, Any]:
        self.statuses.append(ome_writers.read(self.path).status)
        return Maximum("z")(planes)

    def __reduce__(self) -> Any:
        return Recorded, (self.path,)


@pytest.mark.parametrize("order", ["appended", "indexed"])
def test_tasks_run_while_the_writer_does(tmp_path: Path, writing: Any, order: str) -> None:
    """With `append(frame)`, and with `append(frame, index=...)` in the order of acquisition."""
    _, path = writing(order)
    function, output = Recorded(path), tmp_path / "max.ome.zarr"
    seen = list[tuple[int, int]]()
    process(path, function, output, follow=True, on_task=lambda *counts: seen.append(counts))
    assert function.statuses.count("writing") >= 8, function.statuses
    assert len(function.statuses) == T * C  # no block was computed twice
    assert seen == [(n, 6) for n in range(1, 7)]
    np.testing.assert_array_equal(ome_writers.open(output), PIXELS.max(axis=2))
    assert ome_writers.validate(output).valid
    provenance = ome_writers.read(output).metadata["processing"]
    assert (provenance["status"], provenance["frames_written"]) == ("complete", T * C * Z)


def test_frames_in_any_order_are_processed_after_close(tmp_path: Path, writing: Any) -> None:
    _, path = writing("reversed", seconds=0.01)
    function, output = Recorded(path), tmp_path / "max.ome.zarr"
    process(path, function, output, follow=True)
    assert set(function.statuses) == {"complete"}
    np.testing.assert_array_equal(ome_writers.open(output), PIXELS.max(axis=2))


def test_unbounded_acquisition_is_processed_after_close(tmp_path: Path, writing: Any) -> None:
    _, path = writing(frames=7 * C * Z, seconds=0.01, count=None)
    process(path, Maximum("z"), tmp_path / "max.ome.zarr", follow=True)
    np.testing.assert_array_equal(
        ome_writers.open(tmp_path / "max.ome.zarr"), PIXELS[:7].max(axis=2)
    )


def test_cancelled_acquisition_has_the_extent_of_its_frames(tmp_path: Path, writing: Any) -> None:
    _, path = writing(frames=7 * C * Z, seconds=0.02)
    process(path, Maximum("z"), tmp_path / "max.ome.zarr", follow=True)
    np.testing.assert_array_equal(
        ome_writers.open(tmp_path / "max.ome.zarr"), PIXELS[:7].max(axis=2)
    )


def test_killed_writer(tmp_path: Path, writing: Any) -> None:
    """What the dataset contains after the kill is processed; frames that are not there are 0."""
    writer, path = writing(seconds=0.05)

    def kill(done: int, _: int) -> None:
        if done == 2:
            writer.kill()
            writer.join()

    output = tmp_path / "max.ome.zarr"
    process(path, Maximum("z"), output, follow=True, on_task=kill)
    expected = np.asarray(ome_writers.open(path)).max(axis=2)
    np.testing.assert_array_equal(ome_writers.open(output), expected)
    np.testing.assert_array_equal(expected[:2], PIXELS[:2].max(axis=2))


def test_function_of_a_block_is_planned_from_written_frames(tmp_path: Path, writing: Any) -> None:
    """It is not called with a block of zeros."""
    _, path = writing(seconds=0.01)

    def project(block: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        assert block.all()
        return block.mean(axis=0)

    process(path, project, tmp_path / "mean.ome.zarr", follow=True)
    np.testing.assert_array_equal(ome_writers.open(tmp_path / "mean.ome.zarr"), PIXELS.mean(axis=2))


def test_growing_dataset_is_refused_without_follow(
    tmp_path: Path, writing: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = writing(seconds=60)
    output = tmp_path / "max.ome.zarr"
    with pytest.raises(OutputLockedError, match="follow=True"):
        process(path, Maximum("z"), output)
    assert main(["process", str(path), str(output), "--maximum", "z"]) == 1
    assert "--follow" in capsys.readouterr().err


def test_command_follows_the_writer(tmp_path: Path, writing: Any) -> None:
    _, path = writing()
    output = tmp_path / "max.ome.zarr"
    assert main(["process", str(path), str(output), "--maximum", "z", "--follow"]) == 0
    np.testing.assert_array_equal(ome_writers.open(output), PIXELS.max(axis=2))
