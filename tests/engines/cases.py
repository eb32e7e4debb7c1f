"""Acquisitions for the contract suite, which cover every pair of choices of settings.

All combinations would be tens of thousands. Each case of `pairwise` covers many pairs of choices, and together they
cover every pair: an error that depends on one choice, or on two at once, is found.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import AcquisitionSettings, Channel, Dimension, Plate, Position, codecs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Y, X = 10, 12
SIZES = {"t": 4, "c": 2, "z": 3}
SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff", "scratch": ""}

ZARR: dict[str, Sequence[str]] = {
    "layout": ("single", "collection", "plate"),
    "order": ("tpcz", "ptcz", "tzcp", "ztpc"),
    "dtype": ("uint8", "uint16", "int32", "float64", "bool", "complex64"),
    "compression": tuple(codecs.ZARR_COMPRESSIONS),
    "chunks": ("frames", "tiles", "halves", "deep", "shards", "shards over t", "deep shards"),
    "ending": ("complete", "skipped", "unbounded", "cancelled", "kept"),
    "handing": ("copied", "handed over", "lent"),
}
"""Each factor and its choices, for the engines that write OME-Zarr."""

TIFF: dict[str, Sequence[str]] = {
    "layout": ("single", "collection", "plate"),
    "order": ("tpcz", "ptcz", "tzcp", "ztpc"),
    "dtype": ("uint8", "uint16", "int32", "float64", "bool", "complex64"),
    "compression": tuple(codecs.TIFF_COMPRESSIONS),
    "ending": ("complete", "skipped", "unbounded", "cancelled", "kept"),
    "handing": ("copied", "handed over", "lent"),
}
SCRATCH: dict[str, Sequence[str]] = {
    "layout": ("single", "collection"),
    "order": ("tpcz", "ptcz", "ztpc"),
    "dtype": ("uint16", "bool", "complex64"),
    "ending": ("complete", "skipped", "unbounded", "cancelled", "kept"),
    "handing": ("copied", "handed over", "lent"),
}
DTYPES = (
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
"""All that settings take."""

FACTORS = {"ome-zarr": ZARR, "ome-tiff": TIFF, "scratch": SCRATCH}

CHUNKS: dict[str, dict[str, dict[str, int]]] = {
    "frames": {},
    "tiles": {"y": {"chunk_size": 4}, "x": {"chunk_size": 6}},
    "halves": {"y": {"chunk_size": 5}, "x": {"chunk_size": 6}},
    "deep": {"t": {"chunk_size": 2}, "z": {"chunk_size": 2}},
    "shards": {n: {"chunk_size": s, "shard_size_chunks": 2} for n, s in (("y", 5), ("x", 3))},
    "shards over t": {"t": {"shard_size_chunks": 3}, "z": {"shard_size_chunks": 2}},
    "deep shards": {
        "t": {"chunk_size": 2, "shard_size_chunks": 2},
        "y": {"chunk_size": 5, "shard_size_chunks": 2},
        "x": {"chunk_size": 6, "shard_size_chunks": 1},
    },
}


@dataclass(frozen=True)
class Case:
    """One acquisition: a choice for each factor."""

    layout: str = "single"
    order: str = "tpcz"
    dtype: str = "uint16"
    compression: str = "none"
    chunks: str = "frames"
    ending: str = "complete"
    handing: str = "copied"

    def __str__(self) -> str:
        return "-".join(vars(self).values()).replace(" ", "_")

    @property
    def axes(self) -> str:
        """The acquisition axes, slowest first; an unbounded t is the slowest."""
        axes = self.order if self.layout != "single" else self.order.replace("p", "")
        return "t" + axes.replace("t", "") if self.ending == "unbounded" else axes

    @property
    def sizes(self) -> dict[str, int]:
        """The extent of each acquisition axis; of an unbounded t, the number of time points that are written."""
        extents = {**SIZES, "p": 3 if self.layout == "plate" else 2}
        return {axis: extents[axis] for axis in self.axes}

    def settings(self, folder: Path, engine: str, format_name: str, **more: Any) -> Any:
        """Return the settings for `engine`, with the output below `folder`."""
        return AcquisitionSettings(
            root_path=folder / f"out{SUFFIXES[format_name]}",
            dimensions=[self._dimension(axis) for axis in (*self.axes, "y", "x")],
            dtype=self.dtype,
            compression=None if format_name == "scratch" else self.compression,
            plate=PLATE if self.layout == "plate" else None,
            on_incomplete="keep" if self.ending == "kept" else "trim",
            format={"name": format_name, "backend": engine},
            **more,
        )

    def indices(self) -> list[dict[str, int] | None]:
        """Return the acquisition index of each frame in order; None is a skipped frame."""
        ranges = [range(size) for size in self.sizes.values()]
        indices: list[dict[str, int] | None] = [
            dict(zip(self.axes, index, strict=True)) for index in itertools.product(*ranges)
        ]
        if self.ending in ("cancelled", "kept"):
            return indices[: len(indices) // 2 + 1]
        if self.ending == "skipped":
            indices[3:6] = [None] * 3
            indices[-1] = None
        return indices

    def _dimension(self, axis: str) -> Dimension:
        if axis == "p":
            return Dimension(name="p", type="position", coords=POSITIONS[self.layout])
        if axis in "yx":
            count: int | None = Y if axis == "y" else X
            return Dimension(name=axis, count=count, scale=0.5, **CHUNKS[self.chunks].get(axis, {}))
        if axis == "c":
            return Dimension(name="c", coords=[Channel(name="DAPI"), Channel(name="BF")])
        count = None if axis == "t" and self.ending == "unbounded" else SIZES[axis]
        return Dimension(name=axis, count=count, scale=2.0, **CHUNKS[self.chunks].get(axis, {}))


PLATE = Plate(row_names=["A", "B"], column_names=["1", "2"])
POSITIONS: dict[str, list[Position]] = {
    "collection": [Position(name="left", x_coord=1.0), Position(name="right/..", x_coord=2.0)],
    "plate": [
        Position(name="fov", plate_row="A", plate_column="1", grid_row=0, grid_column=0),
        Position(name="fov", plate_row="A", plate_column="1", grid_row=0, grid_column=1),
        Position(name="fov", plate_row="B", plate_column="2"),
    ],
}


def pairwise(factors: Mapping[str, Sequence[str]]) -> list[Case]:
    """Return cases in which each choice meets each choice of every other factor."""
    names = list(factors)
    left = {
        (a, x, b, y)
        for a, b in itertools.combinations(names, 2)
        for x in factors[a]
        for y in factors[b]
    }
    combinations = [dict(zip(names, c, strict=True)) for c in itertools.product(*factors.values())]
    # an evenly spaced subset of all combinations is enough to choose from
    candidates = combinations[:: max(1, len(combinations) // 2000 | 1)]
    most = len(names) * (len(names) - 1) // 2
    heap = [(-most, number) for number in range(len(candidates))]  # at most so many new pairs
    cases = []
    while left:
        new, number = heapq.heappop(heap)
        best = candidates[number]
        pairs = left & _pairs(best, names)
        if -len(pairs) > new:  # fewer than when it was put into the heap
            heapq.heappush(heap, (-len(pairs), number))
            continue
        if not pairs:
            a, x, b, y = min(left)
            best = next(one for one in combinations if (one[a], one[b]) == (x, y))
            pairs = left & _pairs(best, names)
        heapq.heappush(heap, (new, number))
        left -= pairs
        cases.append(Case(**best))
    return cases


def covering(cases: Sequence[Case], factors: Mapping[str, Sequence[str]]) -> list[Case]:
    """Return some of the cases, in which each choice of each factor occurs."""
    left = {(name, choice) for name, choices in factors.items() for choice in choices}
    found = []
    while left:
        found.append(max(cases, key=lambda case: len(left & vars(case).items())))
        left -= vars(found[-1]).items()
    return found


def _pairs(one: Mapping[str, str], names: Sequence[str]) -> set[tuple[str, str, str, str]]:
    return {(a, one[a], b, one[b]) for a, b in itertools.combinations(names, 2)}


def frame(number: int, dtype: str) -> NDArray[Any]:
    """Return frame `number`, which differs from every other frame and from the fill value."""
    draw = np.random.default_rng(number)
    if dtype == "bool":
        return draw.random((Y, X)) < 0.5
    values = draw.integers(1, 200, (Y, X))
    return (
        (values * (1 - 2j)).astype(dtype) if dtype.startswith("complex") else values.astype(dtype)
    )
