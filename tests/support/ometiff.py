"""OME-TIFF acquisitions, and the images that a reader must find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import AcquisitionSettings, Channel, Dimension, Plate, Position, create_stream

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers import OMEStream

SETS = ("redundant", "master-tiff", "companion-file")


@dataclass(frozen=True)
class Case:
    """One acquisition.

    Attributes
    ----------
    axes
        Letters t, c, z, p in acquisition order.
    sizes
        Extent of each; None if unbounded.
    frames
        Number of appended frames; None for all.
    reached
        Final extent of each axis in each image, if it differs from the plan.
    """

    name: str
    axes: str
    sizes: tuple[int | None, ...]
    dtype: str = "uint16"
    compression: str | None = None
    frames: int | None = None
    reached: tuple[dict[str, int], ...] | None = None
    order: Any = "ome"
    format: dict[str, Any] = field(default_factory=dict)
    plate: bool = False
    rgb: bool = False
    frame: tuple[int, int] = (20, 30)
    metadata: bool = True

    def settings(self, folder: Path) -> AcquisitionSettings:
        """Return settings with the name of the case as output name."""
        frame = [
            Dimension(name=n, count=s, scale=0.25, unit="um")
            for n, s in zip("yx", self.frame, strict=True)
        ]
        return AcquisitionSettings(
            root_path=folder / f"{self.name}.ome.tiff",
            dimensions=[*map(self._dimension, self.axes, self.sizes), *frame],
            dtype=self.dtype,
            compression=self.compression,
            storage_order=self.order,
            format={"name": "ome-tiff", **self.format},
            plate=Plate.from_standard_wells(6) if self.plate else None,
            rgb=self.rgb,
            overwrite=True,
        )

    def _dimension(self, axis: str, size: int | None) -> Dimension:
        if axis == "c":
            channels = [
                Channel(name=f"Channel {i}", color="red", emission_wavelength_nm=500 + i)
                for i in range(size or 1)
            ]
            return Dimension(name="c", type="channel", coords=list(channels))
        if axis == "p":
            wells = [
                {"plate_row": "AB"[i % 2], "plate_column": str(1 + i // 2)} if self.plate else {}
                for i in range(size or 1)
            ]
            positions = [
                Position(name=f"Pos {i}", x_coord=10.0 * i, y_coord=-5.5, **w)
                for i, w in enumerate(wells)
            ]
            return Dimension(name="p", type="position", coords=list(positions))
        if axis == "t":
            return Dimension(name="t", count=size, scale=0.5, unit="s")
        return Dimension(name="z", count=size, scale=2.0, unit="um")

    @property
    def total(self) -> int:
        """Number of appended frames."""
        return (
            self.frames if self.frames is not None else int(np.prod([s or 1 for s in self.sizes]))
        )

    def pixels(self, number: int) -> np.ndarray[Any, Any]:
        """Return frame `number`; all frames, and all rows of a frame, differ."""
        shape = (*self.frame, 3) if self.rgb else self.frame
        values = np.arange(np.prod(shape)).reshape(shape) % 97 + number + 1
        return values.astype(self.dtype)

    def write(self, folder: Path) -> OMEStream:
        """Write the acquisition, and return the closed stream."""
        with create_stream(self.settings(folder)) as stream:
            for number in range(self.total):
                stream.append(self.pixels(number), frame_metadata=self.facts(number))
        return stream

    def facts(self, number: int) -> dict[str, Any] | None:
        """Return the metadata of frame `number`."""
        if not self.metadata:
            return None
        return {
            "delta_t": number / 8,
            "exposure_time": 0.01,
            "position_z": 1.5 * number,
            "número": number,
        }

    def index(self, number: int) -> dict[str, int]:
        """Return the index of frame `number` by axis."""
        inner = [s for s in self.sizes if s is not None]
        sizes = self.sizes if None not in self.sizes else (10**6, *inner)
        return dict(zip(self.axes, map(int, np.unravel_index(number, sizes)), strict=True))  # type: ignore[arg-type]  # all are ints now

    def expected(self) -> list[np.ndarray[Any, Any]]:
        """Return each image as (t, c, z, y, x[, samples])."""
        images = self.sizes[self.axes.index("p")] or 1 if "p" in self.axes else 1
        planned = dict(zip(self.axes, self.sizes, strict=True))
        found = []
        for image in range(images):
            sizes = {**planned, **(self.reached[image] if self.reached else {})}
            shape = [sizes.get(a) or 1 for a in "tcz"]
            found.append(np.zeros((*shape, *self.pixels(0).shape), self.dtype))
        for number in range(self.total):
            index = self.index(number)
            found[index.get("p", 0)][tuple(index.get(a, 0) for a in "tcz")] = self.pixels(number)
        return found


def _sets() -> list[Case]:
    return [
        Case(
            f"set {mode} {compression}",
            "tpc",
            (2, 3, 2),
            compression=compression,
            format={"multi_file_metadata": mode},
        )
        for mode in SETS
        for compression in (None, "zstd")
    ]


CASES = [
    Case("one plane", "", ()),
    Case("time", "t", (4,)),
    *(
        Case(f"order {o}", o, tuple({"t": 2, "c": 3, "z": 4}[a] for a in o))
        for o in ("tcz", "tzc", "ctz", "czt", "ztc", "zct")
    ),
    Case("permuted", "tcz", (2, 3, 2), order=["z", "t", "c", "y", "x"]),
    *(
        Case(f"dtype {d}", "tc", (2, 2), dtype=d)
        for d in (
            "int8",
            "int16",
            "int32",
            "uint8",
            "uint32",
            "float32",
            "float64",
            "complex64",
            "complex128",
        )
    ),
    *(Case(f"compressed {c}", "tc", (3, 2), compression=c) for c in ("lzw", "deflate", "zstd")),
    *(
        Case(f"compressed {c} uint8", "tc", (3, 2), compression=c, dtype="uint8")
        for c in ("lzw", "deflate", "zstd")
    ),
    *_sets(),
    *(Case(f"one plane a file {m}", "p", (3,), format={"multi_file_metadata": m}) for m in SETS),
    *(
        Case(f"plate {m}", "ptc", (4, 2, 2), plate=True, format={"multi_file_metadata": m})
        for m in SETS
    ),
    Case("one file for all", "tpz", (2, 3, 2), format={"prefer_single_file": "always"}),
    Case(
        "one file for all, unbounded",
        "tpz",
        (None, 3, 2),
        frames=18,
        reached=({"t": 3},) * 3,
        format={"prefer_single_file": "always"},
    ),
    Case("a folder for one", "tc", (2, 2), format={"prefer_single_file": "never"}),
    Case("unbounded", "tc", (None, 2), frames=10, reached=({"t": 5},)),
    Case(
        "unbounded and compressed",
        "tcz",
        (None, 2, 2),
        frames=12,
        reached=({"t": 3},),
        compression="zstd",
    ),
    Case("unbounded positions", "tpc", (None, 2, 2), frames=12, reached=({"t": 3},) * 2),
    Case(
        "unbounded, stored inside",
        "tc",
        (None, 2),
        frames=6,
        reached=({"t": 3},),
        order=["c", "t", "y", "x"],
    ),
    Case("cancelled", "tcz", (5, 2, 3), frames=13, reached=({"t": 3},)),
    Case(
        "cancelled, stored inside",
        "tc",
        (6, 3),
        frames=7,
        reached=({"t": 3},),
        order=["c", "t", "y", "x"],
    ),
    Case(
        "cancelled and compressed", "tc", (6, 3), frames=7, reached=({"t": 3},), compression="zstd"
    ),
    Case(
        "cancelled among positions", "pt", (3, 4), frames=6, reached=({"t": 4}, {"t": 2}, {"t": 1})
    ),
    Case(
        "cancelled among positions, one file",
        "pt",
        (3, 4),
        frames=6,
        reached=({"t": 4}, {"t": 2}, {"t": 1}),
        format={"prefer_single_file": "always"},
    ),
    Case("cancelled before the first frame", "tc", (5, 2), frames=0, reached=({"t": 1},)),
    Case("cancelled positions, one plane each", "tp", (5, 3), frames=3, reached=({"t": 1},) * 3),
    Case("colour", "t", (3,), dtype="uint8", rgb=True),
    Case("colour, channels and positions", "tpc", (2, 2, 2), dtype="uint8", rgb=True),
    Case("one row", "pt", (3, 2), frame=(1, 40)),
    Case("odd sizes", "t", (3,), dtype="uint8", frame=(7, 13)),
    Case("no metadata", "tc", (2, 2), metadata=False),
    Case("other axes", "tcz", (1, 1, 1)),
]
