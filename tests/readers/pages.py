"""Readers of TIFF pages that ignore OME-XML."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np

from readers.ometiff import other_warnings
from readers.samples import limits
from readers.verdict import Reader, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from readers.samples import Sample
    from readers.verdict import Images


def _pillow(path: Path) -> list[np.ndarray[Any, Any]]:
    from PIL import Image, ImageSequence

    with Image.open(path) as file:
        return [np.asarray(page) for page in ImageSequence.Iterator(file)]


def _opencv(path: Path) -> Sequence[np.ndarray[Any, Any]]:
    import cv2

    whole, pages = cv2.imreadmulti(str(path), flags=cv2.IMREAD_UNCHANGED)
    assert whole, "imreadmulti could not read it"
    return pages


def _simpleitk(path: Path) -> list[np.ndarray[Any, Any]]:
    import SimpleITK

    image = SimpleITK.ReadImage(str(path))
    spacing = np.multiply(image.GetSpacing()[:2], 1000)
    assert np.allclose(spacing, 0.25), f"pixels of {spacing} micrometres"
    return [SimpleITK.GetArrayFromImage(image)]


def _pyvips(path: Path) -> list[np.ndarray[Any, Any]]:
    import pyvips

    first = pyvips.Image.new_from_file(str(path))
    assert np.allclose([first.xres, first.yres], 4000), f"{first.xres} pixels a millimetre"
    return [
        pyvips.Image.new_from_file(str(path), page=number, fail_on="error").numpy()
        for number in range(first.get("n-pages"))
    ]


def _rasterio(path: Path) -> list[np.ndarray[Any, Any]]:
    import rasterio

    with rasterio.open(path) as file:
        count = len(file.subdatasets) or 1
    pages = []
    for number in range(1, count + 1):
        with rasterio.open(f"GTIFF_DIR:{number}:{path}") as page:
            pages.append(page.read(1))
    return pages


def _imagemagick(path: Path) -> list[np.ndarray[Any, Any]]:
    program = shutil.which("magick") or (shutil.which("identify") and shutil.which("convert"))
    if not program:
        raise Unavailable("ImageMagick is not installed")
    command = [program, str(path), "-depth", "16", "-endian", "LSB", "gray:-"]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    warnings = other_warnings(done.stderr.decode(errors="replace"))
    assert not warnings, warnings
    return [np.frombuffer(done.stdout, "<u2")]


def _reader(
    name: str,
    pages: Callable[[Path], Sequence[np.ndarray[Any, Any]]],
    refused: Mapping[str, str] | None = None,
) -> Reader:
    """Return a reader whose images are the pages of all files, one image after the other."""

    def read(sample: Sample) -> Images:
        found = [np.ravel(page) for path in sample.files for page in pages(path)]
        shape = next(iter(sample.images.values())).shape
        return list(np.concatenate(found).reshape(len(sample.images), *shape))

    return Reader(name, "tiff", read, refused or {})


NO_ZSTD = limits(
    "its package is built without zstd: write deflate or LZW for it",
    lambda recipe: recipe.compression == "zstd",
)
NO_TILES = limits(
    "ITK reads tiles of 8-bit samples only, and others as 8-bit RGBA: set tile=None for it",
    lambda recipe: recipe.tiled,
)

READERS = (
    _reader("Pillow", _pillow),
    _reader("OpenCV", _opencv, NO_ZSTD),
    _reader("SimpleITK", _simpleitk, {**NO_TILES, **NO_ZSTD}),
    _reader("pyvips", _pyvips, NO_ZSTD),
    _reader("rasterio", _rasterio),
    _reader("ImageMagick", _imagemagick),
)
