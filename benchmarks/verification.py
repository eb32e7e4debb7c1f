"""Verification of some frames with third-party readers, after the timed part."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.camera import Camera
    from benchmarks.workload import Workload

_VERIFIED_FRAMES = 12


def check(workload: Workload, camera: Camera, read: Any) -> str:
    """Compare some frames, including the first and the last; return "ok" or the first difference."""
    last = workload.frames - 1
    numbers = sorted({round(k * last / (_VERIFIED_FRAMES - 1)) for k in range(_VERIFIED_FRAMES)})
    for n in numbers:
        try:
            found = np.asarray(read(n))
        except Exception as error:  # an unreadable dataset is a result, not a crash
            return f"WRONG: frame {n} cannot be read: {type(error).__name__}: {error}"[:300]
        expected = camera.expected(n)
        if found.shape != expected.shape:
            return f"WRONG: frame {n} has shape {found.shape}, not {expected.shape}"
        if not np.array_equal(found, expected):
            different = int(np.count_nonzero(found != expected))
            return f"WRONG: {different} pixels of frame {n} differ"
    return "ok"


def zarr_frame(path: Path, index: Sequence[int]) -> NDArray[Any]:
    """Read one frame of the array at `path`."""
    array = _open_zarr(path)
    key = tuple(index)
    try:
        return np.asarray(array[key].read().result())
    except AttributeError:
        return np.asarray(array[key])


@cache
def _open_zarr(path: Path) -> Any:
    try:
        import tensorstore
    except ImportError:
        import zarr

        return zarr.open_array(str(path), mode="r")
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path)}}
    return tensorstore.open(spec, open=True, read=True).result()


def collection_paths(root: Path) -> list[Path]:
    """Return the full-resolution arrays of a collection in the order of its `series`."""
    attributes = _attributes(root / "OME")
    return [root / name / "0" for name in attributes["ome"]["series"]]


def plate_paths(root: Path) -> list[Path]:
    """Return the full-resolution array of the first field of view of each well, in the plate's order."""
    wells = _attributes(root)["ome"]["plate"]["wells"]
    fields = []
    for well in wells:
        images = _attributes(root / well["path"])["ome"]["well"]["images"]
        fields.append(root / well["path"] / images[0]["path"] / "0")
    return fields


def _attributes(group: Path) -> Any:
    return json.loads((group / "zarr.json").read_text())["attributes"]


def tiff_page(path: Path, page: int) -> NDArray[Any]:
    """Read one page of one file, without the other files of its set."""
    import tifffile

    with tifffile.TiffFile(path) as file:
        pages: Any = file.pages
        return np.asarray(pages[page].asarray())
