"""The order in which axes are stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.settings.dimension import Dimension

__all__ = ["check_order", "permutation", "stored"]

_NGFF = {"time": 0, "channel": 1, "other": 2, "space": 3}
_TIFF = {"time": 0, "channel": 0, "other": 1, "space": 0}


def check_order(order: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a storage order that is not these names with the last two at their place.

    Raises
    ------
    ValueError
        If it is not.
    """
    if list(order[-2:]) != list(names[-2:]):
        raise ValueError(
            "storage_order may not (yet) permute the last two dimensions. It must end with "
            f"{list(names[-2:])}, got {list(order)}."
        )
    if sorted(order) != sorted(names):
        raise ValueError(
            f"storage_order names {list(order)} don't match acquisition dimension names "
            f"{list(names)}"
        )


def stored(
    index_dimensions: Sequence[Dimension], order: str | Sequence[str], format_name: str
) -> tuple[Dimension, ...]:
    """Return the axes of an image, without y and x, in the order they are stored.

    ``"ome"`` sorts by type to time, channel, other, space for OME-Zarr (as the specification of
    NGFF 0.5 orders axes); OME-TIFF names its order of t, c and z itself (DimensionOrder) and only
    has no place for others among them; scratch has no order to keep.
    """
    if not isinstance(order, str):
        return tuple(sorted(index_dimensions, key=lambda d: order.index(d.name)))
    ranks = {"ome-zarr": _NGFF, "ome-tiff": _TIFF}.get(format_name)
    if order != "ome" or ranks is None:
        return tuple(index_dimensions)
    return tuple(sorted(index_dimensions, key=lambda d: ranks[d.type or "other"]))


def permutation(
    acquired: Sequence[Dimension], stored: Sequence[Dimension]
) -> tuple[int, ...] | None:
    """Return, for each stored axis, its place among the acquired; None when nothing moves."""
    names = [d.name for d in acquired]
    places = tuple(names.index(d.name) for d in stored)
    return None if places == tuple(range(len(places))) else places
