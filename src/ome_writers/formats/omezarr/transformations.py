"""``coordinateTransformations`` of NGFF as one scale and one translation, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ome_writers.errors import UnsupportedError

Json = dict[str, Any]


def as_transformations(scale: Sequence[float], translation: Sequence[float]) -> list[Json]:
    """Return a scale, followed by a translation unless it is 0."""
    steps: list[Json] = [{"type": "scale", "scale": scale}]
    if any(translation):
        steps.append({"type": "translation", "translation": translation})
    return steps


def compose(
    transformations: Sequence[Json], axes: int, name: str
) -> tuple[list[float], list[float]]:
    """Return scale and translation of transformations that are applied one after the other.

    Raises UnsupportedError if one is not an identity, a scale, a translation or a sequence of these.
    """
    scale, translation = [1.0] * axes, [0.0] * axes
    for each in transformations:
        kind = each.get("type")
        if kind == "scale":
            factors = [float(factor) for factor in each["scale"]]
            scale = [a * b for a, b in zip(scale, factors, strict=True)]
            translation = [a * b for a, b in zip(translation, factors, strict=True)]
        elif kind == "translation":
            offsets = [float(offset) for offset in each["translation"]]
            translation = [a + b for a, b in zip(translation, offsets, strict=True)]
        elif kind == "sequence":
            factors, offsets = compose(each["transformations"], axes, name)
            scale = [a * b for a, b in zip(scale, factors, strict=True)]
            translation = [a * b + c for a, b, c in zip(translation, factors, offsets, strict=True)]
        elif kind != "identity":
            raise UnsupportedError(
                f"{name}: coordinate transformation {kind!r}; identity, scale, translation and sequences of "
                f"these are read."
            )
    return scale, translation
