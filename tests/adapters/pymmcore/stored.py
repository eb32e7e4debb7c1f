"""Read stored images with independent readers: pixels and axes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers_useq import EventIndexMap, useq_to_acquisition_settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import useq

SUFFIXES = pytest.mark.parametrize("suffix", ["zarr", "tiff"])


@dataclass(frozen=True)
class Image:
    """One image: its pixels, and the names of their axes before y and x."""

    axes: tuple[str, ...]
    pixels: np.ndarray[Any, Any]


def read(output: Path, positions: list[Any] | None = None) -> list[Image]:
    """Return the images of an OME-Zarr, or of an OME-TIFF and its siblings, in position order."""
    if output.name.endswith(".zarr"):
        return [_zarr_image(group) for group in _zarr_groups(output, positions)]
    return _tiff_images(output)


def attributes(group: Path) -> dict[str, Any]:
    """Return a group's attributes."""
    found: dict[str, Any] = json.loads((group / "zarr.json").read_text(encoding="utf-8"))
    return found["attributes"]


def check_delivered(
    output: Path, seq: useq.MDASequence, delivered: Iterable[tuple[Mapping[str, int], np.ndarray]]
) -> list[Image]:
    """Assert that each image contains the frames delivered for its events, and 0 elsewhere."""
    settings = useq_to_acquisition_settings(seq, 8, 8)
    positions = next((d.coords for d in settings["dimensions"] if d.type == "position"), None)
    images = read(output, positions)
    assert len(images) == (len(positions) if positions else 1)
    expected = [np.zeros_like(image.pixels) for image in images]
    places = EventIndexMap(seq)
    for index, frame in delivered:
        place = places(index)
        number = place.pop("p", 0)
        at = tuple(place.pop(axis, 0) for axis in images[number].axes)
        assert not any(place.values()), (index, place)
        expected[number][at] = frame
    for number, (image, pixels) in enumerate(zip(images, expected, strict=True)):
        np.testing.assert_array_equal(image.pixels, pixels, err_msg=f"image {number}")
    return images


def _zarr_groups(output: Path, positions: list[Any] | None) -> list[Path]:
    root = attributes(output)["ome"]
    if "plate" in root and positions is not None:
        groups = []
        for p in positions:
            well = output / p.plate_row / p.plate_column
            fields = [f["path"] for f in attributes(well)["ome"]["well"]["images"]]
            named = {
                attributes(well / field)["ome"]["multiscales"][0]["name"]: field for field in fields
            }
            cell = f"{p.name}_{p.grid_row}_{p.grid_column}"
            groups.append(well / named[cell if cell in named else p.name])
        return groups
    if "series" not in root and "bioformats2raw.layout" not in root:
        return [output]
    return [output / path for path in attributes(output / "OME")["ome"]["series"]]


def _zarr_image(group: Path) -> Image:
    import tensorstore

    axes = [axis["name"] for axis in attributes(group)["ome"]["multiscales"][0]["axes"]]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(group / "0")}}
    pixels = np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result())
    return Image(tuple(axes[:-2]), pixels)


def unsqueezed(series: Any) -> np.ndarray[Any, Any]:
    """Return the pixels of a series of tifffile as (t, c, z, y, x, samples); it leaves axes of length 1 out."""
    pixels, axes = series.asarray(), series.axes
    for axis in "TCZYXS":
        if axis not in axes:
            pixels, axes = pixels[..., None], axes + axis
    return pixels.transpose([axes.index(axis) for axis in "TCZYXS"])


def _tiff_images(output: Path) -> list[Image]:
    import tifffile

    folder = output.parent / output.name.split(".ome.")[0]
    file = output if output.is_file() else sorted(folder.glob("*.ome.tiff"))[0]
    images = []
    with tifffile.TiffFile(file) as tiff:
        for series in tiff.series:
            pixels = unsqueezed(series)
            if pixels.shape[-1] == 1:
                pixels = pixels[..., 0]
            images.append(Image(("t", "c", "z"), pixels))
    return images
