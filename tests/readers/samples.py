"""One small dataset of each kind, and the pixels that every reader must find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import (
    AcquisitionSettings,
    Channel,
    Dimension,
    Plate,
    Position,
    create_stream,
    resume,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ome_writers import OMEStream

Y, X = 32, 48
SHAPE = {"t": 3, "c": 2, "z": 2}


@dataclass(frozen=True)
class Sample:
    """A dataset on disk and its contents.

    Attributes
    ----------
    name
        A column of the table.
    format
        ``zarr`` or ``tiff``.
    path
        The store, the file or the directory.
    images
        Path of each image's group (OME-Zarr) or its number (OME-TIFF) to its pixels (t, c, z, y, x).
    plate
        Whether it is a plate.
    levels
        Pixels of the resolution levels of the only image, largest first, without full resolution.
    stream
        The stream that is still writing it; None after `close`.
    """

    name: str
    format: str
    path: Path
    images: dict[str, np.ndarray[Any, Any]]
    plate: bool = False
    levels: tuple[np.ndarray[Any, Any], ...] = ()
    stream: OMEStream | None = field(default=None, repr=False)

    @property
    def files(self) -> list[Path]:
        """The TIFF files, in order."""
        return sorted(self.path.glob("*.ome.tiff")) if self.path.is_dir() else [self.path]


@dataclass(frozen=True)
class Recipe:
    """Settings of one sample that differ from a plain single image.

    After the number of frames in `resumed`, the stream is closed, and another one resumes the dataset.
    """

    name: str
    format: str = "zarr"
    positions: int = 1
    plate: bool = False
    compression: str | None = None
    chunk: int = 1
    shard: int | None = None
    unbounded: bool = False
    frames: int | None = None
    closed: bool = True
    levels: int = 0
    resumed: int = 0
    options: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Sample:
        """Write it below `folder`."""
        suffix = ".ome.zarr" if self.format == "zarr" else ".ome.tiff"
        settings = self._settings(folder / (self.name.replace(" ", "-") + suffix))
        stream = create_stream(settings)
        paths = [""]
        if self.positions > 1:
            paths = ["A/1/a", "A/1/b", "B/2/c"] if self.plate else ["0", "1", "2"]
        if self.format == "tiff":
            paths = list("012"[: self.positions])
        images = {path: np.zeros((*SHAPE.values(), Y, X), "uint16") for path in paths}
        places = np.ndindex(SHAPE["t"], self.positions, SHAPE["c"], SHAPE["z"])
        total = 0
        for total, (t, p, c, z) in enumerate(places, 1):
            frame = (np.arange(Y * X, dtype="uint16") % 211 + 997 * total).reshape(Y, X)
            if total - 1 == self.resumed > 0:
                stream.close()
                stream = resume(folder / settings.output_path)
            stream.append(frame, frame_metadata={"delta_t": total / 8, "note": f"frame {total}"})
            images[paths[p]][t, c, z] = frame
            if total == self.frames:
                break
        if self.closed:
            stream.close()
            if self.frames:  # the unused end is truncated
                images = {path: pixels[:2] for path, pixels in images.items()}
        else:
            stream.flush()
        path = folder / settings.output_path
        return Sample(
            self.name,
            self.format,
            path,
            images,
            self.plate,
            tuple(_reduced(next(iter(images.values())), k + 1) for k in range(self.levels)),
            None if self.closed else stream,
        )

    def _settings(self, path: Path) -> AcquisitionSettings:
        places: list[Dimension] = []
        if self.positions > 1:
            wells = [("A", "1"), ("A", "1"), ("B", "2")]
            coords = [
                Position(
                    name=name,
                    x_coord=100.0 * n,
                    y_coord=-2.5,
                    **({"plate_row": row, "plate_column": column} if self.plate else {}),
                )
                for n, (name, (row, column)) in enumerate(zip("abc", wells, strict=True))
            ]
            places = [Dimension(name="p", type="position", coords=list(coords))]
        shards = {} if self.shard is None else {"shard_size_chunks": self.shard}
        return AcquisitionSettings(
            root_path=path,
            dimensions=[
                Dimension(
                    name="t",
                    count=None if self.unbounded else SHAPE["t"],
                    unit="second",
                    scale=2.5,
                    chunk_size=self.chunk,
                    **shards,
                ),
                *places,
                Dimension(
                    name="c", coords=[Channel(name="DAPI", color="blue"), Channel(name="BF")]
                ),
                Dimension(name="z", count=SHAPE["z"], unit="micrometer", scale=0.5),
                Dimension(name="y", count=Y, unit="micrometer", scale=0.25),
                Dimension(name="x", count=X, unit="micrometer", scale=0.25),
            ],
            dtype="uint16",
            compression=self.compression,  # type: ignore[arg-type] # names from the table below
            plate=Plate(name="screen", row_names=["A", "B"], column_names=["1", "2"])
            if self.plate
            else None,
            pyramid={"levels": self.levels} if self.levels else None,
            overwrite=True,
            **({"format": {"name": f"ome-{self.format}", **self.options}} if self.options else {}),
        )


def _reduced(pixels: np.ndarray[Any, Any], times: int) -> np.ndarray[Any, Any]:
    """Return the means of 2 x 2 pixels, rounded half to even, of the means ..."""
    for _ in range(times):
        cells = pixels.reshape(*pixels.shape[:-2], pixels.shape[-2] // 2, 2, -1, 2)
        pixels = np.rint(cells.mean(axis=(-3, -1))).astype(pixels.dtype)
    return pixels


def _tiff(name: str, **more: Any) -> Recipe:
    return Recipe(name, "tiff", **more)


RECIPES = (
    Recipe("single"),
    Recipe("blosc", compression="blosc-zstd"),
    Recipe("zstd", compression="zstd"),
    Recipe("bitshuffle", compression="blosc-lz4-bitshuffle"),
    Recipe("shards bitshuffle", shard=3, compression="blosc-zstd-bitshuffle"),
    Recipe("shards", shard=2),
    Recipe("shards zstd", chunk=1, shard=3, compression="zstd"),
    Recipe("checksum", options={"checksum": True}),
    Recipe("shards checksum", shard=3, compression="blosc-zstd", options={"checksum": True}),
    Recipe("collection", positions=3),
    Recipe("plate", positions=3, plate=True),
    Recipe("unbounded", unbounded=True),
    Recipe("cancelled", frames=8),
    Recipe("resumed", resumed=5),
    Recipe("resumed shards levels", shard=2, levels=2, resumed=7),
    Recipe("writing", frames=8, closed=False),
    Recipe("writing shards", shard=3, compression="zstd", frames=8, closed=False),
    Recipe("levels", levels=2),
    Recipe("levels in shards", levels=2, shard=3, compression="zstd"),
    Recipe("writing levels", levels=2, frames=8, closed=False),
    _tiff("single"),
    _tiff("zstd", compression="zstd"),
    _tiff("deflate", compression="deflate"),
    _tiff("checksum", options={"checksum": True}),
    _tiff("checksum deflate", compression="deflate", levels=2, options={"checksum": True}),
    _tiff("redundant", positions=3, options={"multi_file_metadata": "redundant"}),
    _tiff("master", positions=3, options={"multi_file_metadata": "master-tiff"}),
    _tiff("companion", positions=3, options={"multi_file_metadata": "companion-file"}),
    _tiff("one file", positions=3, options={"prefer_single_file": "always"}),
    _tiff("plate", positions=3, plate=True),
    _tiff("unbounded", unbounded=True),
    _tiff("cancelled", frames=8),
    _tiff("resumed", resumed=5),
    _tiff("resumed zstd levels", compression="zstd", levels=2, resumed=7),
    _tiff("resumed tiles in a set", positions=3, options={"tile": 16}, resumed=17),
    _tiff("writing", frames=8, closed=False),
    _tiff("levels", levels=2),
    _tiff("levels deflate", levels=2, compression="deflate"),
    _tiff("writing levels", levels=2, frames=8, closed=False),
    _tiff("tiles", options={"tile": 16}),
    _tiff("tiles zstd", compression="zstd", options={"tile": (16, 32)}),
    _tiff("tiles lzw", compression="lzw", options={"tile": 32}),
    _tiff("tiles in a set", positions=3, options={"tile": (16, 48)}),
    _tiff("tiles levels", levels=1, options={"tile": 16}),
    _tiff("tiles levels deflate", levels=1, compression="deflate", options={"tile": 16}),
    _tiff("writing tiles", levels=1, frames=8, closed=False, options={"tile": 16}),
)


def write_samples(folder: Path) -> Iterator[Sample]:
    """Write one sample after the other; streams of growing samples stay open until the next step."""
    for recipe in RECIPES:
        place = folder / recipe.format
        place.mkdir(exist_ok=True)
        sample = recipe.write(place)
        try:
            yield sample
        finally:
            if sample.stream is not None:
                sample.stream.close()
