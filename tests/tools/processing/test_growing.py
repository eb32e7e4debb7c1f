"""`process(follow=True)` while another process writes the dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import OutputLockedError, process
from ome_writers.processing import Maximum, PlaneFunction
from ome_writers_tools.cli import main
from support.preloaded import start_python

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

T, C, Z, Y, X = 12, 2, 3, 16, 24
PIXELS = np.random.default_rng(3).integers(1, 60_000, (T, C, Z, Y, X), "uint16")


# Writes frames in acquisition order, with their index or without, or in reverse order. After the first one and after
# `pause` frames it waits for a message.
_WRITER = """
import itertools, time
import ome_writers

path, pixels, order, frames, seconds, count, pause = arguments
shape = dict(zip("tczyx", pixels.shape))
chunks = {"chunk_size": 2, "shard_size_chunks": 2}
dimensions = [ome_writers.Dimension(name="t", count=count, **chunks)]
dimensions += [ome_writers.Dimension(name=axis, count=shape[axis]) for axis in "czyx"]
indices = list(itertools.product(*map(range, pixels.shape[:3])))[:frames]
if order == "reversed":
    indices.reverse()
with ome_writers.create_stream(
    root_path=path, dimensions=dimensions, dtype="uint16", flush_interval=0.1
) as stream:
    for number, index in enumerate(indices):
        named = dict(zip("tcz", index))
        stream.append(pixels[index], index=None if order == "appended" else named)
        if number == 0:
            stream.flush()
            pipe.send("started")
        if number in (0, pause):
            pipe.recv()
        time.sleep(seconds)
"""


class Writer:
    """A process that writes. It waits for `proceed` after the first frame, and after the frames before the pause."""

    def __init__(self, *arguments: object) -> None:
        self._process, self._pipe = start_python(_WRITER, *arguments)
        assert self._pipe.recv() == "started"

    def proceed(self) -> None:
        self._pipe.send("proceed")

    def kill(self) -> None:
        self._process.kill()
        self._process.join()

    def close(self) -> None:
        self.kill()
        self._process.close()
        self._pipe.close()


@pytest.fixture
def writing(tmp_path: Path) -> Iterator[Callable[..., tuple[Writer, Path]]]:
    """Return a function that starts a writer and returns it and its path."""
    started: list[Writer] = []

    def start(
        order: str = "appended",
        frames: int = T * C * Z,
        seconds: float = 0.0,
        count: int | None = T,
        pause: int | None = None,
    ) -> tuple[Writer, Path]:
        path = tmp_path / "run.ome.zarr"
        writer = Writer(path, PIXELS, order, frames, seconds, count, pause)
        started.append(writer)
        writer.proceed()
        return writer, path

    yield start
    for writer in started:
        writer.close()


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
    writer, path = writing(order, pause=6 * C * Z)
    function, output = Recorded(path), tmp_path / "max.ome.zarr"
    seen = list[tuple[int, int]]()

    def note(*counts: int) -> None:
        seen.append((counts[0], counts[1]))
        if len(seen) == 2:  # of the time points before the pause
            writer.proceed()

    process(path, function, output, follow=True, on_task=note)
    assert function.statuses[: 2 * 2 * C] == ["writing"] * (2 * 2 * C)
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
    _, path = writing(frames=7 * C * Z, seconds=0.01)
    process(path, Maximum("z"), tmp_path / "max.ome.zarr", follow=True)
    np.testing.assert_array_equal(
        ome_writers.open(tmp_path / "max.ome.zarr"), PIXELS[:7].max(axis=2)
    )


def test_killed_writer(tmp_path: Path, writing: Any) -> None:
    """What the dataset contains after the kill is processed; frames that are not there are 0."""
    writer, path = writing(pause=6 * C * Z)

    def kill(done: int, _: int) -> None:
        if done == 2:
            writer.kill()

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
    _, path = writing(pause=1)
    output = tmp_path / "max.ome.zarr"
    with pytest.raises(OutputLockedError, match="follow=True"):
        process(path, Maximum("z"), output)
    assert main(["process", str(path), str(output), "--maximum", "z"]) == 1
    assert "--follow" in capsys.readouterr().err


def test_command_follows_the_writer(tmp_path: Path, writing: Any) -> None:
    _, path = writing(seconds=0.01)
    output = tmp_path / "max.ome.zarr"
    assert main(["process", str(path), str(output), "--maximum", "z", "--follow"]) == 0
    np.testing.assert_array_equal(ome_writers.open(output), PIXELS.max(axis=2))
