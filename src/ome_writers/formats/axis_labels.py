"""Labels of channels, positions and cameras in views and tables."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ome_writers.formats.path_names import make_distinct


def coordinate_labels(coords: Iterable[Any]) -> list[Any]:
    """Return numbers as they are, and distinct names of channels, positions or cameras.

    The name of a position on a plate follows its well, as in ``A1/f0``.
    """
    labels: list[Any] = [c if isinstance(c, (int, float)) else _label(c) for c in coords]
    names = [label for label in labels if isinstance(label, str)]
    is_distinct = len(set(names)) == len(names)
    return labels if is_distinct or len(names) < len(labels) else make_distinct(names)


def _label(coord: Any) -> str:
    name = str(getattr(coord, "name", coord))
    row = getattr(coord, "plate_row", None)
    return f"{row}{coord.plate_column}/{name}" if row else name
