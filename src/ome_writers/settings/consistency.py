"""Checks that involve several dimensions, or dimensions and other settings; the storage order of the axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

from annotated_types import MinLen
from pydantic import AfterValidator

from ome_writers.codecs import COMPRESSIONS
from ome_writers.settings.coordinates import duplicates
from ome_writers.settings.dimension import STANDARD_TYPES, Dimension
from ome_writers.settings.engines import engines_of, find_engine
from ome_writers.settings.model import warn_user

if TYPE_CHECKING:
    from ome_writers.settings.formats import Format


def check_dimensions(dimensions: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
    """Return the dimensions of an acquisition with types and chunk sizes filled in.

    Raises ValueError if the dimensions are inconsistent.
    """
    others = [d for d in dimensions if d.type != "position"]
    if len(dimensions) - len(others) > 1:
        names = [d.name for d in dimensions if d.type == "position"]
        raise ValueError(f"Only one position dimension is allowed. Merge {' and '.join(names)}.")
    if unbounded := [d.name for d in dimensions[1:] if d.count is None]:
        raise ValueError(
            f"Only the first dimension may be unbounded (count=None). Give a count for {', '.join(unbounded)}."
        )
    if len(others) < 2:
        raise ValueError(
            "At least 2 non-position dimensions are required (usually Y and X). "
            f"Add them to {[d.name for d in dimensions]}."
        )
    if repeated := duplicates(d.name for d in dimensions):
        raise ValueError(f"Dimension names must be unique, duplicates: {repeated}")
    index = _with_one_axis_per_type(dimensions[:-2])
    frame = tuple(_spatial(d) for d in dimensions[-2:])
    typed = [d for d in (*index, *frame) if d.type in ("time", "channel", "space")]
    if len(typed) > 5:
        raise ValueError(
            "At most 5 non-position dimensions are allowed for both OME-Zarr and OME-TIFF, got "
            f"{len(typed)} of type time, channel or space: {[d.name for d in typed]}. Give each further "
            "axis type='other' (or a name and no type): its indices are stored as separate images."
        )
    return tuple(_with_chunk(d, 1) for d in index) + tuple(_with_chunk(d, d.count) for d in frame)


DimensionList: TypeAlias = Annotated[
    tuple[Dimension, ...], MinLen(2), AfterValidator(check_dimensions)
]


def _with_one_axis_per_type(index: Sequence[Dimension]) -> list[Dimension]:
    """Return the axes before y and x; change a duplicate type time or space that was inferred from a unit to other.

    For example, an axis ``lifetime`` in nanoseconds in addition to ``t``. Explicit types, types of standard names, and
    the type of an unbounded axis are kept.
    """
    inferred = [d.name not in STANDARD_TYPES and "type" not in d.model_fields_set for d in index]
    taken = {d.type for d, by_unit in zip(index, inferred, strict=True) if not by_unit}
    axes = []
    for dim, by_unit in zip(index, inferred, strict=True):
        second = by_unit and dim.type in taken and dim.type in ("time", "space")
        axes.append(dim.model_copy(update={"type": "other"}) if second and dim.count else dim)
        taken.add(dim.type)
    return axes


def _spatial(dim: Dimension) -> Dimension:
    if dim.count is None:
        raise ValueError(
            f"The last two dimensions are y and x of a frame and need a count: {dim.name!r} has count=None."
        )
    if dim.type is None:
        if dim.name.lower() not in ("x", "y"):
            warn_user(
                "The last two dimensions are expected to have type='space'. Setting type='space' "
                f"for {dim.name!r}."
            )
        return dim.model_copy(update={"type": "space"})
    if dim.type != "space":
        unit = f" (unit={dim.unit!r})" if dim.unit is not None else ""
        raise ValueError(
            "The last two dimensions must be spatial dimensions (type='space'). "
            f"{dim.name!r} has type={dim.type!r}{unit}. Name y and x last."
        )
    return dim


def _with_chunk(dim: Dimension, default: int | None) -> Dimension:
    given = "chunk_size" in dim.model_fields_set and dim.chunk_size is not None
    if given or dim.type == "position":
        return dim
    filled = dim.model_copy()
    filled._derive(chunk_size=default)  # noqa: SLF001 # settings share the base class of their models
    return filled


def check_compression(format_: Format, compression: str | None) -> None:
    """Raise ValueError unless the backend, or with ``"auto"`` one of the format, supports the compression."""
    if compression is None or not format_.needs_path:  # the format of settings without a path yet
        return
    checks = [(format_.title, engines_of(format_.name))]
    if (row := find_engine(format_.backend)) is not None:
        checks.append((f"backend {format_.backend!r}", [row]))
    for label, rows in checks:
        names = tuple(n for n in COMPRESSIONS if any(n in row.compressions for row in rows))
        if rows and compression not in names:
            raise ValueError(
                f"Compression {compression!r} is not supported for {label}. Supported: {names}."
            )


def check_order(order: Sequence[str], names: Sequence[str]) -> None:
    """Raise ValueError unless `order` is a permutation of `names` that keeps the last two."""
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


def storage_order_of(
    index_dimensions: Sequence[Dimension],
    order: str | Sequence[str],
    ranks: Mapping[str, int] | None,
) -> tuple[Dimension, ...]:
    """Return the axes of an image, without y and x, in storage order.

    ``"ome"`` sorts by the rank of each type in the format; without ranks, the acquisition order is kept.
    """
    if not isinstance(order, str):
        return tuple(sorted(index_dimensions, key=lambda d: order.index(d.name)))
    if order != "ome" or ranks is None:
        return tuple(index_dimensions)
    return tuple(sorted(index_dimensions, key=lambda d: ranks[d.type or "other"]))


def permutation_of(
    acquired: Sequence[Dimension], stored: Sequence[Dimension]
) -> tuple[int, ...] | None:
    """Return the index in `acquired` of each stored axis; None if the orders are equal."""
    names = [d.name for d in acquired]
    indices = tuple(names.index(d.name) for d in stored)
    return None if indices == tuple(range(len(indices))) else indices
