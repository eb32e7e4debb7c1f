"""Reading a dataset with third-party readers only: zarr-python, tensorstore, tifffile."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from ome_writers_tools.cli.command import CommandError, MissingExtraError
from ome_writers_tools.cli.demo.acquisition import DeliveredFrame


@dataclass(frozen=True)
class ReaderImage:
    """One image as the reader returns it."""

    name: str
    axes: tuple[str, ...]  # axis names in storage order, y and x last
    channels: tuple[str, ...]
    pixels: Any  # an array with `shape`, `dtype` and `[index]`: numpy's, or the reader's lazy one

    def plane(self, index: Mapping[str, int]) -> np.ndarray:
        """Read the (y, x) plane at `index`; missing axes count as 0."""
        import numpy as np

        key = tuple(index.get(axis, 0) for axis in self.axes[:-2])
        return np.asarray(self.pixels[key])


@dataclass(frozen=True)
class ReaderDataset:
    """The name and version of the reader, and the images it finds."""

    reader: str
    images: tuple[ReaderImage, ...]

    def mismatches(self, frames: tuple[DeliveredFrame, ...]) -> list[DeliveredFrame]:
        """Return the delivered frames whose pixels are missing or different at their index."""
        wrong = []
        for frame in frames:
            position = frame.index.get("p", 0)
            if position < len(self.images):
                pixels = self.images[position].plane(frame.index).tobytes()
                if zlib.crc32(pixels) == frame.checksum:
                    continue
            wrong.append(frame)
        return wrong


def open_with_third_party_reader(path: Path) -> ReaderDataset:
    """Open OME-Zarr with zarr-python 3, otherwise with tensorstore; OME-TIFF with tifffile.

    Raises CommandError if `path` is neither format, and MissingExtraError if no reader is installed.
    """
    if (path / "zarr.json").is_file():
        return _read_zarr(path)
    files = sorted(path.glob("*.ome.tif*")) if path.is_dir() else [path]
    if files and files[0].is_file():
        return _read_tiff(files[0])
    raise CommandError(f"{path} is neither an OME-Zarr nor an OME-TIFF")


def _read_zarr(path: Path) -> ReaderDataset:
    reader, open_array = _zarr_reader()
    images = []
    for group in _image_groups(path):
        ome = _attributes(group)["ome"]
        multiscale = ome["multiscales"][0]
        channels = ome.get("omero", {}).get("channels", ())
        images.append(
            ReaderImage(
                name=multiscale.get("name", group.name),
                axes=tuple(axis["name"] for axis in multiscale["axes"]),
                channels=tuple(channel["label"] for channel in channels),
                pixels=open_array(group / multiscale["datasets"][0]["path"]),
            )
        )
    return ReaderDataset(reader, tuple(images))


def _zarr_reader() -> tuple[str, Callable[[Path], Any]]:
    """Return the reader's name and version, and a function that opens an array."""
    try:
        import zarr

        if int(zarr.__version__.split(".")[0]) >= 3:
            return f"zarr-python {zarr.__version__}", lambda path: zarr.open_array(path, mode="r")
    except ImportError:
        pass
    try:
        import tensorstore
    except ImportError:
        raise MissingExtraError("demo", "zarr-python", "demo") from None

    def open_array(path: Path) -> Any:
        store = {"driver": "file", "path": str(path)}
        array = tensorstore.open({"driver": "zarr3", "kvstore": store}, read=True, open=True)
        return array.result()[...].read().result()

    return f"tensorstore {version('tensorstore')}", open_array


def _image_groups(path: Path) -> list[Path]:
    """Return the groups of the images: the root, a collection's series or a plate's fields of view."""
    ome = _attributes(path)["ome"]
    if "multiscales" in ome:
        return [path]
    if "plate" in ome:
        wells = [path / well["path"] for well in ome["plate"]["wells"]]
        return [
            well / field["path"]
            for well in wells
            for field in _attributes(well)["ome"]["well"]["images"]
        ]
    return [path / name for name in _attributes(path / "OME")["ome"]["series"]]


def _attributes(group: Path) -> dict[str, Any]:
    content = json.loads((group / "zarr.json").read_text(encoding="utf-8"))
    attributes: dict[str, Any] = content["attributes"]
    return attributes


def _read_tiff(path: Path) -> ReaderDataset:
    try:
        import tifffile
    except ImportError:
        raise MissingExtraError("demo", "tifffile", "demo") from None
    images = []
    with tifffile.TiffFile(path) as file:
        xml = ElementTree.fromstring(file.ome_metadata or "<OME/>")
        names = [
            [channel.get("Name", "") for channel in image.findall("./{*}Pixels/{*}Channel")]
            for image in xml.findall("./{*}Image")
        ]
        for series, channels in zip(file.series, names, strict=True):
            axes = tuple(series.axes.lower())
            images.append(ReaderImage(series.name, axes, tuple(channels), series.asarray()))
    return ReaderDataset(f"tifffile {version('tifffile')}", tuple(images))
