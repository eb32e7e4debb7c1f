"""An OME-TIFF while it is closed: what is on disk after each system call, and what earlier readers find."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

pytest.importorskip("tifffile", reason="it judges each state")
pytest.importorskip("ome_types", reason="the engine needs it")

import tifffile

from ome_writers import AcquisitionSettings, Dimension, create_stream, read_frame_metadata, validate
from ome_writers import open as open_view
from ome_writers.repair import repair
from support.steps import copies_of_each_state, each_step

if TYPE_CHECKING:
    from ome_writers import OMEStream

FRAME = (4, 6)
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*reading array from closed file:UserWarning"
)  # tifffile's own, of sets


@dataclass(frozen=True)
class Run:
    """Axes in acquisition order with their counts (0 has no end), how many frames come, and how they are stored."""

    axes: dict[str, int]
    frames: int
    order: tuple[str, ...] = ()
    compression: str = "none"
    format: dict[str, str] = field(default_factory=dict)

    def started(self, folder: Path) -> OMEStream:
        """Return a stream in which all frames have been flushed."""
        axes = [Dimension(name=a, count=n or None) for a, n in self.axes.items()]
        size = [Dimension(name=n, count=c) for n, c in zip("yx", FRAME, strict=True)]
        stream = create_stream(
            AcquisitionSettings(
                root_path=folder / "x.ome.tiff",
                dimensions=[*axes, *size],
                dtype="uint16",
                storage_order=[*self.order, "y", "x"] if self.order else "ome",
                compression=self.compression,
                flush_interval=3600.0,
                format={"name": "ome-tiff", **self.format},
            )
        )
        for number in range(self.frames):
            if number == self.frames // 2:
                stream.flush()
                stream.set_global_metadata("lab", {"notes": "x" * 2000})
            stream.append(np.full(FRAME, number + 1, "uint16"), frame_metadata={"serial": number})
        stream.flush()
        return stream

    def check(self, images: list[np.ndarray[Any, Any]]) -> None:
        """Take it that images, shape (t, c, z, y, x), hold each frame in its place, and zeros in all others."""
        expected = [np.zeros_like(image) for image in images]
        for number in range(self.frames):
            rest, at = number, {}
            for axis, count in reversed(self.axes.items()):
                rest, at[axis] = divmod(rest, count) if count else (0, rest)
            index = tuple(at.get(axis, 0) for axis in "tcz")
            expected[at.get("p", 0)][index] = number + 1
        assert len(images) == self.axes.get("p", 1)
        for image, right in zip(images, expected, strict=True):
            np.testing.assert_array_equal(image, right)


def output(folder: Path) -> Path:
    """Return the dataset in a folder."""
    file = folder / "x.ome.tiff"
    return file if file.exists() else folder / "x"


def tiffs(path: Path) -> list[Path]:
    """Return the TIFF files of a dataset."""
    return [path] if path.is_file() else sorted(path.glob("*.tiff"))


def read(tiff: tifffile.TiffFile) -> list[np.ndarray[Any, Any]] | None:
    """Return the images of a file as tifffile reads them; None when it only points to another one."""
    if "<BinaryOnly" in (tiff.ome_metadata or "<BinaryOnly")[:4096]:
        return None
    found = []
    for series in tiff.series:
        sizes = dict(zip(series.axes, series.shape, strict=True))
        stored = series.asarray()
        axes = [series.axes.index(axis) for axis in "TCZYX" if axis in sizes]
        found.append(stored.transpose(axes).reshape([sizes.get(axis, 1) for axis in "TCZYX"]))
    return found


RUNS = {
    "complete": Run({"t": 4, "c": 2}, 8),
    "cancelled": Run({"t": 6, "c": 2}, 5),
    "cancelled, compressed": Run({"t": 6, "c": 2}, 5, compression="zstd"),
    "cut inside": Run({"c": 3, "t": 4}, 6, ("t", "c")),
    "cut inside, compressed": Run({"c": 3, "t": 4}, 6, ("t", "c"), "zstd"),
    "no end": Run({"t": 0, "c": 2}, 7),
    "no end, compressed": Run({"t": 0, "c": 2}, 7, compression="deflate"),
    "positions of one file": Run({"t": 5, "p": 3}, 7, format={"prefer_single_file": "always"}),
    "no end, positions of one file": Run(
        {"t": 0, "p": 3}, 7, format={"prefer_single_file": "always"}
    ),
    "set": Run({"t": 5, "p": 3}, 7),
    "set with a master": Run({"t": 5, "p": 2}, 5, format={"multi_file_metadata": "master-tiff"}),
    "set with a companion": Run(
        {"t": 5, "p": 2}, 5, format={"multi_file_metadata": "companion-file"}
    ),
    "set, cut inside": Run({"p": 2, "c": 3, "t": 3}, 13, ("p", "t", "c")),
    "set without end": Run({"t": 0, "p": 2}, 5),
    "folder of one, cut inside": Run(
        {"c": 3, "t": 4},
        6,
        ("t", "c"),
        format={"prefer_single_file": "never", "multi_file_metadata": "companion-file"},
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_each_state_is_whole(name: str, tmp_path: Path) -> None:
    """Between any two system calls of `close` each file has all frames in their places, and `repair` tidies it."""
    run = RUNS[name]
    folder = tmp_path / "live"
    folder.mkdir()
    stream = run.started(folder)
    with copies_of_each_state(folder, tmp_path / "copies") as copies:
        stream.close()
    assert len(copies) > 3
    tidied = []
    for copy in copies:
        path = output(copy)
        for file in tiffs(path):
            with tifffile.TiffFile(file) as tiff:
                images = read(tiff)
                assert len(tiff.pages) >= 1
            if images is not None:
                run.check(images)
        assert {f["serial"] for f in read_frame_metadata(path)} == set(range(run.frames))
        for lock in copy.rglob("*.lock"):
            lock.write_bytes(b"")  # the process that wrote it lives
        repair(path)
        assert not repair(path).findings
        pages = 0
        for file in tiffs(path):
            with tifffile.TiffFile(file) as tiff:
                images = read(tiff)
                pages += len(tiff.pages)
            if images is not None:
                run.check(images)
        view = np.asarray(open_view(path))
        assert int(np.count_nonzero(view)) == run.frames * FRAME[0] * FRAME[1]
        tidied.append((view.shape, pages))
    assert len({*tidied}) <= 2, "what the writer said, or what was reached"
    for copy in (copies[len(copies) // 2], copies[-1]):
        checked = validate(output(copy))
        assert checked.valid, checked.findings
    assert tidied[-1] == (np.asarray(open_view(output(folder))).shape, tidied[-1][1])


@pytest.mark.parametrize("name", RUNS)
def test_who_has_opened_it_reads_on(name: str, tmp_path: Path) -> None:
    """Whoever opened a file at any step of `close` reads right pixels later, of the pages that it knows of."""
    run = RUNS[name]
    stream = run.started(tmp_path)
    path = output(tmp_path)
    with ExitStack() as opened:
        readers: list[tuple[tifffile.TiffFile, Any]] = []

        def look() -> None:
            for file in tiffs(path):
                tiff = opened.enter_context(tifffile.TiffFile(file))
                readers.append((tiff, tiff.series[0] if len(readers) % 2 else None))

        view = open_view(path)
        with each_step(look):
            stream.close()
        assert len(readers) > 3
        for tiff, _ in readers:
            images = read(tiff)
            if images is not None:
                run.check(images)
        seen = np.asarray(view)
    assert set(np.unique(seen)) <= set(range(run.frames + 1))
    assert int(np.count_nonzero(seen)) == run.frames * FRAME[0] * FRAME[1]
