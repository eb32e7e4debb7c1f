"""Valid settings and frames per engine, to be made invalid, and the counter of refused inputs."""

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

COUNTS: Counter[str] = Counter()
"""Numbers of invalid inputs tried and refused in this process."""

SUFFIXES = {"ome-zarr": ".ome.zarr", "ome-tiff": ".ome.tiff", "scratch": ""}
INSTALLED = [row.name for row in ENGINES.values() if row.missing_requirement() is None]
ONE_ENGINE_PER_FORMAT = [name for name in ("direct", "tifffile", "scratch") if name in INSTALLED]
"""For inputs that are refused before an engine is involved."""

Y, X = 8, 6
YX = (Dimension(name="y", count=Y), Dimension(name="x", count=X))


def settings(folder: Path, engine: str, *axes: Dimension, **more: Any) -> AcquisitionSettings:
    """Return settings for 8 x 6 frames of uint16, by default for three time points."""
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
    """Return frame `number`, shape (8, 6), without zeros."""
    return (np.arange(Y * X) * 7 + 13 * number + 1).astype(dtype).reshape(Y, X)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return all paths below a directory, with the bytes of files."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


@contextmanager
def refusal(error: type[Exception], *, match: str) -> Iterator[None]:
    """Like `pytest.raises`, with a count."""
    COUNTS["tried"] += 1
    with pytest.raises(error, match=match):
        yield
    COUNTS["refused"] += 1
