"""Acquisitions to be spoilt: one for each engine, and what lies in a folder afterwards."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension
from ome_writers.storage import ENGINES

if TYPE_CHECKING:
    from collections.abc import Iterator

TRIED: Counter[str] = Counter()
"""How many bad inputs were tried in this process, and how many of them were refused with a clear error."""

SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff", "scratch": ""}
READY = [row.name for row in ENGINES.values() if row.missing_requirement() is None]
FORMATS = [name for name in ("direct", "tifffile", "scratch") if name in READY]
"""One engine a format: what is refused before an engine is asked needs no other."""

Y, X = 8, 6
YX = (Dimension(name="y", count=Y), Dimension(name="x", count=X))


def settings(folder: Path, engine: str, *axes: Dimension, **more: Any) -> AcquisitionSettings:
    """Return settings for 8 x 6 frames of uint16, three times t where no axes are given."""
    suffix = SUFFIXES[ENGINES[engine].format]
    return AcquisitionSettings(
        **{
            "root_path": folder / f"run{suffix}",
            "dimensions": [*(axes or (Dimension(name="t", count=3),)), *YX],
            "dtype": "uint16",
            "format": engine,
            **more,
        }
    )


def frame(number: int, dtype: Any = "uint16") -> np.ndarray[Any, Any]:
    """Return the `number`-th frame, (8, 6); no pixel is 0."""
    return (np.arange(Y * X) * 7 + 13 * number + 1).astype(dtype).reshape(Y, X)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return all that lies below a folder, files with their bytes."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def refusal(error: type[Exception], *, match: str) -> Iterator[None]:
    """Expect an error as `pytest.raises` does, and count it."""
    TRIED["tried"] += 1
    with pytest.raises(error, match=match):
        yield
    TRIED["refused"] += 1
