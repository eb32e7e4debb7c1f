"""The BigTIFF engine without a stream, and what tifffile finds in its files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from ome_writers import AcquisitionSettings, Dimension
from ome_writers.routing import resolve
from ome_writers.storage import ArrayTarget, Options
from ome_writers.storage.tiff import TiffEngine, open_engine

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.routing import ArrayPlan

__all__ = ["COMPRESSIONS", "FRAME", "end", "engine", "frame", "pages", "plan"]

COMPRESSIONS = ["none", "deflate", "zstd", "lzw"]
FRAME = (6, 10)


def plan(
    *counts: int | None,
    compression: str = "none",
    dtype: str = "uint16",
    frame: tuple[int, int] = FRAME,
    **more: Any,
) -> ArrayPlan:
    """Return the plan of an array with these extents of t, c and z."""
    axes = [Dimension(name=n, count=c) for n, c in zip("tcz", counts, strict=False)]
    size = [
        Dimension(name=n, count=c, scale=0.5, unit="um") for n, c in zip("yx", frame, strict=True)
    ]
    settings = AcquisitionSettings(
        root_path="x.ome.tiff",
        dimensions=[*axes, *size],
        dtype=dtype,
        compression=compression,
        **more,
    )
    return resolve(settings).images[0].array


def engine(root: Path, *plans: ArrayPlan, one_file: bool = False, **options: Any) -> TiffEngine:
    """Return an engine for the files of these arrays, each described."""
    targets = [ArrayTarget("0.tif" if one_file else f"{i}.tif", p) for i, p in enumerate(plans)]
    made = open_engine(root, targets, Options(**options))
    for key in dict.fromkeys(t.key for t in targets):
        made.put(key, f"<OME>{key}</OME>".encode())
    return made


def end(made: TiffEngine, shapes: list[tuple[int, ...]], key: str = "0.tif") -> None:
    """Close as a stream does: the last description comes after the pixels, and then what it does not tell of goes."""
    made.close(shapes)
    made.put(key, b"<OME>" + b"e" * 700 + b"</OME>")
    made.truncate()
    assert not made.failures


def frame(
    number: int, shape: tuple[int, ...] = FRAME, dtype: str = "uint16"
) -> np.ndarray[Any, Any]:
    """Return a frame that differs from those of other numbers."""
    return (np.arange(np.prod(shape)).reshape(shape) % 50 + number).astype(dtype)


def pages(path: Path, *, size: int | None = None) -> list[np.ndarray[Any, Any]]:
    """Return every page, and check that the description is whole.

    Tifffile asks for the size of a file once, when it opens it; `size` is what it was told.
    """
    with tifffile.TiffFile(path, size=size) as tiff:
        assert tiff.is_bigtiff
        assert tiff.byteorder == "<"
        description = tiff.pages.first.description
        assert description.startswith("<OME>")
        assert description.endswith("</OME>")
        return [page.asarray() for page in tiff.pages]
