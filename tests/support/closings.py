"""OME-TIFF acquisitions that are flushed but not closed, and a check of their frames."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import AcquisitionSettings, Dimension, create_stream
from support.steps import copies_of_each_state

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers import OMEStream

__all__ = ["FRAME", "RUNS", "Run", "copies_while_closing", "output", "read", "tiffs"]

FRAME = (4, 6)


@dataclass(frozen=True)
class Run:
    """Axes in acquisition order with their counts (0: unbounded), number of frames, and storage settings."""

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
        """Assert that images of shape (t, c, z, y, x) contain each frame at its index, and zeros elsewhere."""
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


def copies_while_closing(run: Run, folder: Path) -> list[Path]:
    """Return copies of the files between any two system calls of `close`; the original is in ``live``."""
    live = folder / "live"
    live.mkdir()
    stream = run.started(live)
    with copies_of_each_state(live, folder / "copies") as copies:
        stream.close()
    return copies


def output(folder: Path) -> Path:
    """Return the dataset in a folder."""
    file = folder / "x.ome.tiff"
    return file if file.exists() else folder / "x"


def tiffs(path: Path) -> list[Path]:
    """Return the TIFF files of a dataset."""
    return [path] if path.is_file() else sorted(path.glob("*.tiff"))


def read(tiff: Any) -> list[np.ndarray[Any, Any]] | None:
    """Return the images of a file as tifffile reads them; None for a BinaryOnly file."""
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
