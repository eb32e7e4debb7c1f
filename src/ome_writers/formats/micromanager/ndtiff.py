"""NDTiff, the format of pycro-manager and Micro-Manager 2, read by the package ndstorage.

https://github.com/micro-manager/NDTiffStorage
"""

from __future__ import annotations

import io
import sys
from contextlib import closing, redirect_stdout
from pathlib import Path
from typing import Any, TypeAlias
from weakref import finalize

import numpy as np

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import EngineMissingError, UnsupportedError
from ome_writers.formats.complete_pixels import CompletePixels
from ome_writers.formats.micromanager.acquisition import Acquisition, describe, frame_metadata
from ome_writers.formats.registry import FormatRow, read_only_settings
from ome_writers.untrusted import guard_reader, open_regular

Json = dict[str, Any]
Key: TypeAlias = "frozenset[tuple[str, int | str]]"
"""Coordinates of an image, as in the index of ndstorage."""

_INDEX = "NDTiff.index"
_FULL_RESOLUTION = "Full resolution"  # folder in a dataset with resolution levels
_VERSION = 3
_RGB = 2  # pixel type


def is_ndtiff(path: Path) -> bool:
    return (path / _INDEX).is_file() or (path / _FULL_RESOLUTION / _INDEX).is_file()


def parse(path: Path) -> DatasetSpec:
    acquisition, dataset = read_ndtiff(path)
    dataset.close()
    return acquisition.spec


def read_ndtiff(path: Path) -> tuple[Acquisition[Key], Any]:
    """Return what an NDTiff contains, and the dataset of ndstorage that reads it, which the caller closes.

    Raises EngineMissingError if ndstorage is not installed, and UnsupportedError for NDTiff 1 and 2 or images that
    differ in shape or type.
    """
    try:
        from ndstorage import NDTiffDataset
        from ndstorage.file_io import NDTiffFileIO
    except ImportError:
        raise EngineMissingError("Reading NDTiff needs ndstorage: pip install ndstorage.") from None
    folder = path / _FULL_RESOLUTION
    folder = folder if folder.is_dir() else path

    def open_file(file: str, _mode: str) -> io.BufferedReader:
        return open(open_regular(file, root=folder), "rb")

    for file in sorted(folder.glob("*.tif"))[:1]:
        with open_file(str(file), "rb") as stack:
            version = int.from_bytes(stack.read(16)[12:], sys.byteorder)
        if version != _VERSION:
            raise UnsupportedError(
                f"{path} is NDTiff {version}; supported is {_VERSION}. Open it in Micro-Manager and save it again."
            )
    # ndstorage prints its progress
    with guard_reader(path, "ndstorage"), redirect_stdout(io.StringIO()):
        dataset = NDTiffDataset(str(folder), file_io=NDTiffFileIO(open_function=open_file))
    try:
        with guard_reader(path, "ndstorage"):
            return _describe(path, dataset), dataset
    except BaseException:
        dataset.close()
        raise


def _describe(path: Path, dataset: Any) -> Acquisition[Key]:
    types = {
        (entry["image_height"], entry["image_width"], entry["pixel_type"])
        for entry in dataset.index.values()
    }
    if len(types) != 1:
        raise UnsupportedError(
            f"{path} contains images of {len(types)} shapes and pixel types; supported is 1."
        )
    ((height, width, pixel_type),) = types
    return describe(
        path,
        "ndtiff",
        [(dict(key), key) for key in dataset.index],
        dataset.summary_metadata,
        lambda key: dict(dataset.read_metadata(**dict(key))),
        (height, width, *(3,) * (pixel_type == _RGB)),
        np.dtype(dataset.dtype).name,
        version=f"{dataset.major_version}.{dataset.minor_version}",
        channel_names=dataset.get_channel_names(),
    )


def read_frames(path: Path) -> list[tuple[int, list[Json]]]:
    """Return the metadata of each image."""
    acquisition, dataset = read_ndtiff(path)
    with closing(dataset), guard_reader(path, "ndstorage"):
        return [
            (n, [frame_metadata(dataset.read_metadata(**dict(k)), i) for i, k in frames.items()])
            for n, frames in enumerate(acquisition.frames)
        ]


def open_pixels(path: Path, _cache_bytes: int = 0) -> CompletePixels:
    found, dataset = read_ndtiff(path)

    def read(coordinates: Any) -> Any:
        with guard_reader(path, "ndstorage"):
            return dataset.read_image(**dict(coordinates))

    pixels = found.pixels(read)
    finalize(pixels, dataset.close)
    return pixels


NDTIFF = FormatRow(
    settings=read_only_settings("ndtiff", "NDTiff"),
    recognizes=is_ndtiff,
    parse=parse,
    frame_metadata=read_frames,
    open_pixels=open_pixels,
)
