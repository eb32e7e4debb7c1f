"""Acquisitions for the power loss tests: each engine with each of its storage layouts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ome_writers import AcquisitionSettings, Dimension

STORED = "tcz"


@dataclass(frozen=True)
class Layout:
    """An acquisition.

    `axes` maps each axis, in acquisition order, to (count, chunk, chunks per shard); a count of 0 is unbounded, and 0
    chunks per shard means no shards. `frames` frames are appended, with a `flush` after each `every` frames. With
    `again`, each third frame is followed by an earlier one, which is stored again. After each of the numbers of frames
    in `resumed`, the stream is closed, and another one resumes the dataset.
    """

    engine: str
    axes: dict[str, tuple[int, int, int]]
    compression: str = "none"
    frames: int = 40
    every: int = 7
    shape: tuple[int, int] = (48, 64)
    format: dict[str, Any] = field(default_factory=dict)
    again: bool = False
    resumed: tuple[int, ...] = ()

    @property
    def suffix(self) -> str:
        """The suffix of the output path."""
        return ".ome.tiff" if self.engine == "tifffile" else ".ome.zarr"

    @property
    def sharded(self) -> bool:
        """Whether arrays have shards."""
        return any(chunks for _, _, chunks in self.axes.values())

    def settings(self, output: Path) -> AcquisitionSettings:
        """Return the settings."""
        dimensions = []
        for axis, (count, chunk, chunks) in self.axes.items():
            if axis == "p":
                dimensions.append(Dimension(name="p", type="position", count=count))
                continue
            shape = {"chunk_size": chunk, "shard_size_chunks": chunks or None}
            if self.engine == "tifffile":
                shape = {}
            dimensions.append(Dimension(name=axis, count=count or None, **shape))
        ones = {"shard_size_chunks": 1} if self.sharded else {}
        dimensions += [
            Dimension(name=a, count=n, **ones) for a, n in zip("yx", self.shape, strict=True)
        ]
        format: str | dict[str, Any] = self.engine
        if self.engine == "tifffile":
            format = {"name": "ome-tiff", **self.format}
        return AcquisitionSettings(
            root_path=output,
            dimensions=tuple(dimensions),
            dtype="uint16",
            format=format,
            compression=self.compression,
            durability="disk",
            flush_interval=0.3,
        )

    def address(self, number: int) -> tuple[int, tuple[int, ...]]:
        """Return the image and the index (those of t, c, z that exist) of frame `number`."""
        at: dict[str, int] = {}
        for axis, (count, _, _) in reversed(self.axes.items()):
            number, at[axis] = divmod(number, count) if count else (0, number)
        return at.get("p", 0), tuple(at[axis] for axis in STORED if axis in at)

    def frame(self, number: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
        """Return frame `number`: incompressible noise without zeros."""
        return _noise(number, self.shape)


@lru_cache(maxsize=1024)
def _noise(number: int, shape: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.uint16]]:
    return np.random.default_rng(number).integers(1, 2**16, shape, dtype=np.uint16)


def _zarr(engine: str) -> dict[str, Layout]:
    """Return the layouts of an OME-Zarr engine."""
    return {
        f"{engine}: chunk files": Layout(engine, {"t": (60, 1, 0)}),
        f"{engine}: chunk files over t, blosc-lz4": Layout(
            engine, {"t": (60, 4, 0)}, "blosc-lz4", every=3
        ),
        f"{engine}: shards": Layout(engine, {"t": (60, 1, 8)}, every=3),
        f"{engine}: shards, blosc-zstd": Layout(engine, {"t": (60, 1, 8)}, "blosc-zstd", every=3),
        f"{engine}: shards of chunks over t and z, zstd": Layout(
            engine, {"t": (12, 2, 2), "z": (4, 3, 2)}, "zstd", every=5
        ),
        f"{engine}: three positions, shards, zstd": Layout(
            engine, {"t": (16, 1, 5), "p": (3, 1, 0)}, "zstd"
        ),
        f"{engine}: unbounded, chunk files": Layout(engine, {"t": (0, 1, 0), "c": (2, 1, 0)}),
        f"{engine}: unbounded, shards, zstd": Layout(engine, {"t": (0, 1, 8)}, "zstd", every=3),
    }


def _large_index(engine: str, compression: str) -> dict[str, Layout]:
    name = f"{engine}: shards of 640 chunks, {compression}"
    return {name: Layout(engine, {"t": (640, 1, 640)}, compression, 210, 20, (8, 8))}


def _tiff(axes: dict[str, int], compression: str = "none", every: int = 7, **format: Any) -> Layout:
    full = {axis: (count, 1, 0) for axis, count in axes.items()}
    return Layout("tifffile", full, compression, every=every, format=format)


LAYOUTS = {
    **_zarr("direct"),
    "direct: shards, zstd, frames again": Layout(
        "direct", {"t": (60, 1, 8)}, "zstd", every=5, again=True
    ),
    **_large_index("direct", "none"),
    **_large_index("direct", "zstd"),
    **_large_index("direct", "blosc-zstd"),
    **_zarr("tensorstore"),
    "tensorstore: transactions": Layout("tensorstore", {"t": (12, 3, 2)}, "none", 9, 2, (512, 512)),
    **_zarr("zarr-python"),
    **_zarr("zarrs-python"),
    "OME-TIFF": _tiff({"t": 30, "c": 2}),
    "OME-TIFF, zstd": _tiff({"t": 30, "c": 2}, "zstd"),
    "OME-TIFF, frames again": Layout("tifffile", {"t": (60, 1, 0)}, every=5, again=True),
    "OME-TIFF, zstd, frames again": Layout(
        "tifffile", {"t": (60, 1, 0)}, "zstd", every=5, again=True
    ),
    "OME-TIFF, unbounded": _tiff({"t": 0, "c": 2}),
    "OME-TIFF, unbounded, zstd": _tiff({"t": 0, "z": 3}, "zstd"),
    "OME-TIFF, positions": _tiff({"t": 16, "p": 3}),
    "OME-TIFF, positions, master": _tiff({"t": 16, "p": 3}, multi_file_metadata="master-tiff"),
    "OME-TIFF, positions, companion, zstd": _tiff(
        {"t": 16, "p": 3}, "zstd", multi_file_metadata="companion-file"
    ),
    "OME-TIFF, positions in one file": _tiff({"t": 16, "p": 3}, prefer_single_file="always"),
    "OME-TIFF, tiles": _tiff({"t": 30, "c": 2}, tile=16),
    "OME-TIFF, tiles, unbounded, zstd": _tiff({"t": 0, "z": 3}, "zstd", tile=(32, 48)),
    "OME-TIFF, tiles, positions": _tiff({"t": 16, "p": 3}, tile=32),
    "OME-TIFF, tiles, unbounded, positions in one file": _tiff(
        {"t": 0, "p": 2}, prefer_single_file="always", tile=16
    ),
    "direct: resumed, chunk files over t, blosc-lz4": Layout(
        "direct", {"t": (60, 4, 0)}, "blosc-lz4", every=3, resumed=(10, 25)
    ),
    "direct: resumed, shards": Layout("direct", {"t": (60, 1, 8)}, every=3, resumed=(10, 25)),
    "direct: resumed, unbounded, shards of chunks over t, zstd": Layout(
        "direct", {"t": (0, 3, 4)}, "zstd", every=5, resumed=(10, 25)
    ),
    "OME-TIFF, resumed": replace(_tiff({"t": 30, "c": 2}), resumed=(10, 25)),
    "OME-TIFF, resumed, unbounded, zstd": replace(
        _tiff({"t": 0, "z": 3}, "zstd"), resumed=(10, 25)
    ),
    "OME-TIFF, resumed, tiles, positions": replace(
        _tiff({"t": 16, "p": 3}, tile=32), resumed=(10, 25)
    ),
    "OME-TIFF, unbounded, positions": _tiff({"t": 0, "p": 2}),
    "OME-TIFF, unbounded, positions in one file": _tiff(
        {"t": 0, "p": 2}, "deflate", prefer_single_file="always"
    ),
}


def metadata(number: int) -> dict[str, Any]:
    """Return the metadata of frame `number`."""
    return {"delta_t": number / 64, "serial": number}
