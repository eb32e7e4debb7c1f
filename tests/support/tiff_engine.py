"""The BigTIFF engine without a stream, and its files as tifffile reads them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile

from ome_writers import AcquisitionSettings, Dimension, codecs
from ome_writers.routing import resolve
from ome_writers.storage import Options
from ome_writers.storage.tiff import TiffEngine

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.dataset import LevelSpec

__all__ = [
    "COMPRESSIONS",
    "FRAME_SHAPE",
    "finish",
    "make_frame",
    "make_plan",
    "open_tiff_engine",
    "read_pages",
]

COMPRESSIONS = [*codecs.TIFF_COMPRESSIONS]
FRAME_SHAPE = (6, 10)


def make_plan(
    *counts: int | None,
    compression: str = "none",
    dtype: str = "uint16",
    frame: tuple[int, int] = FRAME_SHAPE,
    **settings_kwargs: Any,
) -> LevelSpec:
    """Return the plan of an array with `counts` as extents of t, c and z."""
    axes = [Dimension(name=n, count=c) for n, c in zip("tcz", counts, strict=False)]
    size = [
        Dimension(name=n, count=c, scale=0.5, unit="um") for n, c in zip("yx", frame, strict=True)
    ]
    settings = AcquisitionSettings(
        root_path="x.ome.tiff",
        dimensions=[*axes, *size],
        dtype=dtype,
        compression=compression,
        **settings_kwargs,
    )
    return resolve(settings).images[0].array


def open_tiff_engine(
    root: Path, *plans: LevelSpec, one_file: bool = False, **options: Any
) -> TiffEngine:
    """Open an engine and write a description to each file."""
    targets = [
        replace(plan, key="0.tif" if one_file else f"{i}.tif") for i, plan in enumerate(plans)
    ]
    file_set = len({t.key for t in targets}) > 1
    engine = TiffEngine(root, targets, Options(file_set=file_set, **options))
    for key in dict.fromkeys(t.key for t in targets):
        engine.put(key, f"<OME>{key}</OME>".encode())
    return engine


def finish(engine: TiffEngine, shapes: list[tuple[int, ...]], key: str = "0.tif") -> None:
    """Close the engine as a stream does: close, write the final description, truncate the files."""
    engine.close(shapes)
    engine.put(key, b"<OME>" + b"e" * 700 + b"</OME>")
    engine.truncate()
    assert not engine.failures


def make_frame(
    number: int, shape: tuple[int, ...] = FRAME_SHAPE, dtype: str = "uint16"
) -> np.ndarray[Any, Any]:
    """Return a frame that is unique to `number`."""
    return (np.arange(np.prod(shape)).reshape(shape) % 50 + number).astype(dtype)


def read_pages(path: Path, *, size: int | None = None) -> list[np.ndarray[Any, Any]]:
    """Read every page, and check that the description is complete; `size` is the file size that tifffile assumes."""
    with tifffile.TiffFile(path, size=size) as tiff:
        assert tiff.is_bigtiff
        assert tiff.byteorder == "<"
        description = tiff.pages.first.description
        assert description.startswith("<OME>")
        assert description.endswith("</OME>")
        return [page.asarray() for page in tiff.pages]
