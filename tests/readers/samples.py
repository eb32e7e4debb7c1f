"""One small dataset of each kind, and the pixels that every reader must find."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    CameraNoise,
    Channel,
    Dimension,
    Plate,
    Position,
    create_stream,
    resume,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ome_writers import OMEStream

Y, X = 32, 48
SHAPE = {"t": 3, "c": 2, "z": 2}
NOISE = CameraNoise(offset=100, gain=2, read_noise=1.6, step=0.5)


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
    derived
        Path of each group of labels (t, z, y, x) or projections (t, c, y, x) to its pixels, OME-Zarr only.
    stream
        The stream that is still writing it; None after `close`.
    """

    name: str
    format: str
    path: Path
    images: dict[str, np.ndarray[Any, Any]]
    plate: bool = False
    levels: tuple[np.ndarray[Any, Any], ...] = ()
    derived: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)
    stream: OMEStream | None = field(default=None, repr=False)

    @property
    def files(self) -> list[Path]:
        """The TIFF files of the set, in order."""
        return sorted(self.path.glob("*.ome.tiff")) if self.path.is_dir() else [self.path]


@dataclass(frozen=True)
class Recipe:
    """Settings of one sample that differ from a plain single image.

    After the number of frames in `resumed`, the stream is closed, and another one resumes the dataset. With `labels`,
    masks and the maximum along z are written while recording; of an OME-TIFF, `derived` is the one that is the sample.
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
    quantized: bool = False
    labels: bool = False
    derived: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def companion(self) -> bool:
        """Whether the OME-XML is in a companion file."""
        return self.options.get("multi_file_metadata") == "companion-file"

    @property
    def tiled(self) -> bool:
        """Whether the pages are in tiles."""
        return "tile" in self.options

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
        masks = maximum = None
        if self.labels:
            masks = stream.derive("cells", dtype="uint16")
            maximum = stream.project("max", axis="z")
        places = np.ndindex(SHAPE["t"], self.positions, SHAPE["c"], SHAPE["z"])
        total = 0
        for total, (t, p, c, z) in enumerate(places, 1):
            frame = (np.arange(Y * X, dtype="uint16") % 211 + 997 * total).reshape(Y, X)
            if total - 1 == self.resumed > 0:
                stream.close()
                stream = resume(folder / settings.output_path)
            stream.append(frame, frame_metadata={"delta_t": total / 8, "note": f"frame {total}"})
            images[paths[p]][t, c, z] = frame
            if masks is not None and c == 0:
                position = {"p": p} if self.positions > 1 else {}
                masks.append(frame % 7, index={**position, "t": t, "z": z})
            if total == self.frames:
                break
        path = folder / settings.output_path
        if self.closed:
            stream.close()
            if self.frames:  # the unused end is truncated
                images = {path: pixels[:2] for path, pixels in images.items()}
        else:
            stream.flush()
        if self.quantized:
            images = {"" if self.format == "zarr" else "0": _quantized(path, *images.values())}
        # of several images, the levels are written, and not read
        count = self.levels if self.positions == 1 else 0
        levels = tuple(_reduced(next(iter(images.values())), k + 1) for k in range(count))
        derived = {}
        for group, pixels in images.items() if maximum is not None else ():
            prefix = f"{group}/" if group and self.format == "zarr" else ""
            derived[f"{prefix}labels/cells"] = pixels[:, 0] % 7
            derived[f"{prefix}derived/max_z"] = pixels.max(axis=2)
        if self.derived:  # a file of its own
            path = path.with_name(
                path.name.replace(".ome", f"_{self.derived.rpartition('/')[2]}.ome")
            )
            axis = 1 if self.derived.startswith("labels") else 2
            images, derived = {"0": np.expand_dims(derived[self.derived], axis)}, {}
            if self.derived.startswith("labels"):
                levels = tuple(
                    images["0"][..., :: 2**k, :: 2**k] for k in range(1, self.levels + 1)
                )
        return Sample(
            self.name,
            self.format,
            path,
            images,
            self.plate,
            levels,
            derived if self.format == "zarr" else {},
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
            quantize=NOISE if self.quantized else None,
            overwrite=True,
            **({"format": {"name": f"ome-{self.format}", **self.options}} if self.options else {}),
        )


def _reduced(pixels: np.ndarray[Any, Any], times: int) -> np.ndarray[Any, Any]:
    """Return the means of 2 x 2 pixels, rounded half to even, of the means ..."""
    for _ in range(times):
        cells = pixels.reshape(*pixels.shape[:-2], pixels.shape[-2] // 2, 2, -1, 2)
        pixels = np.rint(cells.mean(axis=(-3, -1))).astype(pixels.dtype)
    return pixels


def _quantized(path: Path, pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return the pixels of a quantized dataset, at most half a step from those that were appended."""
    stored = np.asarray(ome_writers.open(path))
    noise = np.sqrt(NOISE.gain * (pixels - NOISE.offset) + (NOISE.gain * NOISE.read_noise) ** 2)
    distance = np.abs(stored.astype(float) - pixels)
    assert distance.max() > 0, "not quantized"
    assert (distance <= NOISE.step / 2 * noise + 1).all(), "quantized by more than half a step"
    return stored


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
    Recipe(
        "shards checksum bitshuffle",
        shard=2,
        compression="blosc-lz4-bitshuffle",
        options={"checksum": True},
    ),
    Recipe("quantized", compression="blosc-zstd-bitshuffle", quantized=True),
    Recipe("collection", positions=3),
    Recipe("plate", positions=3, plate=True),
    Recipe("unbounded", unbounded=True),
    Recipe("cancelled", frames=8),
    Recipe("resumed", resumed=5),
    Recipe("resumed shards levels", shard=2, levels=2, resumed=7),
    Recipe("resumed collection", positions=3, resumed=17),
    Recipe(
        "resumed plate shards", positions=3, plate=True, shard=3, compression="zstd", resumed=20
    ),
    Recipe("resumed checksum", options={"checksum": True}, compression="blosc-zstd", resumed=5),
    Recipe("labels", labels=True),
    Recipe("labels collection", labels=True, positions=3),
    Recipe("labels plate", labels=True, positions=3, plate=True),
    Recipe("labels collection levels", labels=True, positions=3, levels=1),
    Recipe("labels plate levels", labels=True, positions=3, plate=True, levels=1),
    Recipe("labels levels in shards", labels=True, levels=1, shard=3, compression="blosc-zstd"),
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
    _tiff("checksum tiles", options={"checksum": True, "tile": 16}),
    _tiff("quantized", compression="deflate", quantized=True),
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
    _tiff(
        "resumed companion",
        positions=3,
        options={"multi_file_metadata": "companion-file"},
        resumed=17,
    ),
    _tiff("resumed checksum", options={"checksum": True}, resumed=5),
    _tiff("labels", labels=True),
    _tiff("labels cells", labels=True, derived="labels/cells", levels=1),
    _tiff("labels max_z", labels=True, derived="derived/max_z"),
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


def limits(reason: str, concerns: Callable[[Recipe], bool]) -> dict[str, str]:
    """Return the names of the OME-TIFF samples that a limit concerns, with its reason."""
    return {r.name: reason for r in RECIPES if r.format == "tiff" and concerns(r)}


def write_samples(folder: Path, recipes: Iterable[Recipe]) -> Iterator[Sample]:
    """Write one sample after the other; streams of growing samples stay open until the next step."""
    for recipe in recipes:
        place = folder / recipe.format
        place.mkdir(exist_ok=True)
        sample = recipe.write(place)
        try:
            yield sample
        finally:
            if sample.stream is not None:
                sample.stream.close()
