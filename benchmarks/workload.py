"""The model of a workload: arriving frames, storage, measured figure and targets."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

Format = Literal["zarr", "tiff"]
Compression = Literal[
    "blosc-lz4", "blosc-zstd", "blosc-lz4-bitshuffle", "blosc-zstd-bitshuffle", "zstd"
]
Layout = Literal["single", "collection", "plate"]
TiffMetadata = Literal["redundant", "master-tiff", "companion-file"]
Limit = Literal[
    "one-file",
    "file-per-frame",
    "codec",
    "memcpy",
    "no-output",
    "no-levels",
    "no-checksum",
    "read-and-write",
    "none",
]
Measure = Literal["throughput", "create", "memory", "latency", "camera", "add-levels"]

BYTES_PER_PIXEL = 2


@dataclass(frozen=True)
class Axis:
    """One axis of the frames, slowest first.

    Parameters
    ----------
    name
        One of `t c z p`.
    count
        Number of indices.
    chunk
        Indices per chunk.
    shard
        Chunks per shard along this axis, or None without shards.
    """

    name: str
    count: int
    chunk: int = 1
    shard: int | None = None


@dataclass(frozen=True)
class Target:
    """The minimum speed of this project relative to a competitor.

    Parameters
    ----------
    against
        Pattern of competitor names; the fastest match counts.
    ratio
        Minimum ratio of the speeds.
    """

    against: str
    ratio: float


@dataclass(frozen=True)
class Bound:
    """An upper bound of one figure of a result, such as `create_s` below 2."""

    figure: str
    max: float


@dataclass(frozen=True)
class Workload:
    """One benchmark.

    Parameters
    ----------
    id
        `W3-small`; on the command line `W3` selects all that start with `W3-`.
    title
        Title of the table.
    axes
        Arrival order without y and x.
    height, width
        Frame size in pixels; frames are uint16.
    tile
        Chunk size in y and x; None for whole frames.
    stored
        Axis names in storage order; None if equal to the arrival order.
    quick
        Length of the first axis in `--quick` runs.
    memory_limit
        Growth in bytes at which a competitor is stopped; None for no limit.
    pyramid
        Axes along which resolution levels of means are written; empty without levels.
    checksum
        Whether a checksum of each chunk is stored.
    max_rounds
        Upper bound of the rounds, for runs of minutes whose figure is not a time.
    """

    id: str
    title: str
    axes: tuple[Axis, ...]
    height: int
    width: int
    tile: tuple[int, int] | None = None
    stored: tuple[str, ...] | None = None
    compression: Compression | None = None
    format: Format = "zarr"
    layout: Layout = "single"
    tiff_metadata: TiffMetadata = "redundant"
    metadata: bool = False
    pyramid: tuple[str, ...] = ()
    checksum: bool = False
    measure: Measure = "throughput"
    limit: Limit = "one-file"
    targets: tuple[Target, ...] = ()
    bounds: tuple[Bound, ...] = ()
    quick: int = 10
    frames_per_second: float | None = None
    bytes_per_second: float | None = None
    memory_limit: int | None = None
    ours_only: bool = False
    max_rounds: int | None = None

    @property
    def frames(self) -> int:
        return math.prod(axis.count for axis in self.axes)

    @property
    def frame_bytes(self) -> int:
        return self.height * self.width * BYTES_PER_PIXEL

    @property
    def sharded(self) -> bool:
        return any(axis.shard is not None for axis in self.axes)

    @property
    def storage_axes(self) -> tuple[Axis, ...]:
        """The axes in storage order, without y and x."""
        if self.stored is None:
            return self.axes
        return tuple(next(a for a in self.axes if a.name == name) for name in self.stored)

    def arrival_index(self, n: int) -> dict[str, int]:
        """Return the index of frame `n` by axis name."""
        index: dict[str, int] = {}
        for axis in reversed(self.axes):
            n, index[axis.name] = divmod(n, axis.count)
        return index

    def storage_index(self, n: int) -> tuple[int, ...]:
        """Return the index of frame `n` in storage order, without y and x."""
        index = self.arrival_index(n)
        return tuple(index[axis.name] for axis in self.storage_axes)

    def scaled(self, factor: float) -> Workload:
        """Return the workload with its slowest axis `factor` times as long."""
        first = self.axes[0]
        count = max(1, round(first.count * factor))
        return self.lengthened(count)

    def lengthened(self, count: int) -> Workload:
        """Return the workload with `count` indices on its slowest axis."""
        first = replace(self.axes[0], count=count)
        return replace(self, axes=(first, *self.axes[1:]))
