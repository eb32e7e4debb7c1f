"""Names and coordinates of axes in views, tables and events: labels of channels, positions and cameras."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from ome_writers.settings import Dimension


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


def coordinates(dimension: Dimension, extent: int) -> Sequence[Any]:
    """Return the first `extent` coordinates: names of channels, positions and cameras, a range for space and time."""
    if dimension.type not in ("space", "time") and dimension.coords:
        coords = coordinate_labels(dimension.coords)
        if len(coords) >= extent:
            return coords[:extent]
    return range(extent)


def make_distinct(names: Iterable[str], *, separator: str = "_") -> list[str]:
    """Return `names` with a number appended to each that collides with an earlier one.

    Names that differ only in case or Unicode normalization collide: some file systems do not distinguish them.

    Examples
    --------
    >>> make_distinct(["a", "A", "b", "a"]), make_distinct(["a", "A"], separator="")
    (['a', 'A_1', 'b', 'a_2'], ['a', 'A1'])
    """
    names = list(names)
    originals = {_fold(name) for name in names}
    seen: set[str] = set()
    last_number: dict[str, int] = {}
    distinct = []
    for name in names:
        candidate, number = name, last_number.get(_fold(name), 0)
        while (folded := _fold(candidate)) in seen or (number and folded in originals):
            number += 1
            candidate = f"{name}{separator}{number}"
        last_number[_fold(name)] = number
        seen.add(folded)
        distinct.append(candidate)
    return distinct


def _fold(name: str) -> str:
    return unicodedata.normalize("NFC", name.casefold())
