"""`Dimension`: one axis of an acquisition; the standard axes x, y, z, c, t and p; checks and storage order of all axes.

Omitted fields are derived: the type from coords, unit or name; the count from the coords; the coords of a position axis
from its count. Derived fields are not in `model_fields_set`, so assignments to other fields derive them again.
"""

# Longer than 300 lines: one model, the functions that create it, and the rules for several of them.
from __future__ import annotations

import math
import operator
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Annotated, Any, Literal, SupportsIndex, TypeAlias

from annotated_types import MinLen
from numpy.typing import NDArray
from pydantic import (
    AfterValidator,
    Field,
    PositiveInt,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ome_writers import units
from ome_writers.errors import UnsupportedError, checked_call
from ome_writers.settings.coordinates import (
    Camera,
    Channel,
    Coordinate,
    Name,
    Position,
    as_cameras,
    as_channels,
    as_positions,
    duplicates,
)
from ome_writers.settings.model import Model, warn_user
from ome_writers.untrusted import MAX_DIMENSIONS

if TYPE_CHECKING:
    from typing_extensions import Self

DimensionType: TypeAlias = Literal["space", "time", "channel", "position", "other"]

STANDARD_TYPES: dict[str, DimensionType] = {
    "x": "space",
    "y": "space",
    "z": "space",
    "c": "channel",
    "t": "time",
    "p": "position",
}
"""Type of each standard axis."""
_UNITS = {"space": "micrometer", "time": "second"}
_MAX_POSITIONS = 10**6  # each is an image with separate metadata
Count: TypeAlias = Annotated[int, Field(gt=0, le=2**31 - 1)]  # the range of PositiveInt in OME-XML


class Dimension(Model):
    """One axis.

    Attributes
    ----------
    name
        Unique within the acquisition; x, y, z, c, t and p imply the type.
    count
        Number of indices along the axis; None if unbounded (only the first axis).
    type
        Type of the axis; by default derived from `coords`, `unit` or `name`, in this order.
    coords
        One value per index: names, numbers, `Channel`, `Position` or `Camera` objects.
    chunk_size
        Extent of a chunk, in pixels.
    shard_size_chunks
        Extent of a shard, in chunks.
    unit
        Unit of `scale`, `translation` and numeric `coords`. Units of space and time are converted to their NGFF name.
    scale
        Distance between two indices, also with its unit (``"0.1 um"``); None if unknown.
    translation
        Coordinate of index 0.
    """

    name: Name
    count: Count | None = None
    type: DimensionType | None = None
    coords: list[Coordinate] | None = None
    chunk_size: PositiveInt | None = None
    shard_size_chunks: PositiveInt | None = None
    unit: str | None = None
    scale: float | None = None
    translation: float | None = None

    # Type checkers do not know that validators accept more types than the fields have.
    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            name: str,
            count: int | None = None,
            type: DimensionType | None = None,
            coords: Sequence[Coordinate | Mapping[str, Any]] | NDArray[Any] | None = None,
            chunk_size: int | None = None,
            shard_size_chunks: int | None = None,
            unit: units.UnitName | str | None = None,
            scale: float | str | None = None,
            translation: float | None = None,
        ) -> None: ...

    @field_validator("coords", mode="before")
    @classmethod
    def _read_coords(cls, coords: Any, info: ValidationInfo) -> Any:
        if hasattr(coords, "tolist"):  # numpy arrays
            coords = coords.tolist()
        if coords is None or isinstance(coords, str):
            return coords
        # The axis determines which model a mapping is.
        kind = info.data.get("type") or STANDARD_TYPES.get(info.data.get("name", ""))
        model = {"channel": Channel, "position": Position, "other": Camera}.get(kind or "")
        if model is None:
            return coords
        return [model(**c) if isinstance(c, Mapping) else c for c in coords]

    @field_validator("scale", "translation", mode="after")
    @classmethod
    def _finite(cls, value: float | None, info: ValidationInfo) -> float | None:
        is_scale = info.field_name == "scale"
        if value is None or (is_scale and value == 0):
            return None  # clients pass 0 for an unknown pixel size or interval
        if is_scale and not 0 < value < math.inf:
            raise ValueError(
                f"scale must be greater than 0 and finite, got {value}. Leave it out (or pass 0) "
                "if it is not known."
            )
        if not math.isfinite(value):
            raise ValueError(f"translation must be finite, got {value}.")
        return value

    @model_validator(mode="after")
    def _derive_fields(self) -> Self:
        given = frozenset(self.model_fields_set)
        coords = self.coords if "coords" in given else None
        count = self.count if "count" in given else None
        kind = self.type if "type" in given else None
        if kind is None:
            kind = _inferred_type(self.name, coords, self.unit)
            self._derive(type=kind)
        if kind == "position" and coords is None:
            coords = _numbered_positions(count)
            self._derive(coords=coords)
        elif coords is not None:
            vars(self)["coords"] = coords = _typed_coords(coords, kind)
        if coords is not None:
            if count is None:
                self._derive(count=len(coords))
            elif count != len(coords):
                raise ValueError(
                    f"Length of coords ({len(coords)}) does not match count ({count})."
                )
        if self.unit is not None and (kind == "space" or kind == "time"):
            vars(self)["unit"] = units.ngff_name(self.unit, kind)
        return self

    def with_count(self, count: int | None) -> Dimension:
        """Return an axis of another extent (None: unchanged); a chunk of the whole extent stays one."""
        if count in (None, self.count):
            return self
        chunk = count if self.chunk_size == self.count else self.chunk_size
        return self.model_copy(update={"count": count, "chunk_size": chunk, "coords": None})


def _type_of_objects(coords: Sequence[Coordinate] | None) -> DimensionType | None:
    """Return the axis type that Channel, Camera or Position objects in coords imply."""
    if any(isinstance(c, Channel) for c in coords or ()):
        return "channel"
    if any(isinstance(c, Camera) for c in coords or ()):
        return "other"
    return "position" if any(isinstance(c, Position) for c in coords or ()) else None


def _inferred_type(
    name: str, coords: Sequence[Coordinate] | None, unit: str | None
) -> DimensionType | None:
    of_coords = _type_of_objects(coords)
    of_unit = units.kind_of(unit) if unit is not None else None
    if of_coords and of_unit:
        raise ValueError(
            f"Conflicting dimension type inference: coords suggests type={of_coords!r} but unit "
            f"suggests type={of_unit!r}. Give the type, or leave out coords or unit."
        )
    return of_coords or of_unit or STANDARD_TYPES.get(name)


def _numbered_positions(count: int | None) -> list[Coordinate]:
    if count is None:
        raise UnsupportedError(
            "Unbounded position dimensions (count=None) are not yet implemented. Give the number "
            "of positions as count, or the positions as coords."
        )
    if count > _MAX_POSITIONS:
        raise UnsupportedError(
            f"A position axis may have {_MAX_POSITIONS} positions, got count={count}."
        )
    return [Position(name=str(i)) for i in range(count)]


def _typed_coords(coords: list[Coordinate], kind: DimensionType | None) -> list[Coordinate]:
    """Return coords as the objects for an axis of this type."""
    if not coords:
        if kind == "position":
            raise UnsupportedError(
                "Empty coords for position dimensions are not yet implemented. Name the positions, "
                "or give their number as count."
            )
        raise ValueError("coords may not be empty. Leave them out, or give at least one.")
    for coord in coords:
        if isinstance(coord, float) and not math.isfinite(coord):
            raise ValueError(f"Numeric coords must be finite, got {coord}.")
    objects = _type_of_objects(coords)
    if objects is not None and kind != objects:
        what = {"channel": "Channel", "position": "Position"}.get(objects, "Camera")
        raise ValueError(f"{what} objects in coords require type={objects!r}, got type={kind!r}")
    if kind == "channel":
        return [*as_channels(coords)]
    if objects == "other":
        return [*as_cameras(coords)]
    return [*as_positions(coords)] if kind == "position" else coords


class PositionDimension(Dimension):
    """Deprecated spelling of ``Dimension(name="p", type="position", coords=[...])``."""

    def __init__(
        self, *, positions: Sequence[str | Position] | None = None, name: str = "p", **fields: Any
    ) -> None:
        warn_user(
            "PositionDimension is deprecated. Use Dimension(name='p', type='position', "
            "coords=[...]) instead.",
            DeprecationWarning,
        )
        if positions is not None:
            fields["coords"] = list(positions)
        super().__init__(**{"name": name, "type": "position", **fields})


class StandardAxis(str, Enum):
    """An axis with a standard name."""

    X = "x"
    Y = "y"
    Z = "z"
    CHANNEL = "c"
    TIME = "t"
    POSITION = "p"

    def __str__(self) -> str:
        return self.value

    def dimension_type(self) -> DimensionType:
        """Return the type of dimensions with this name."""
        return STANDARD_TYPES[self.value]

    def unit(self) -> str | None:
        """Return ``"micrometer"`` for space, ``"second"`` for time, otherwise None."""
        return _UNITS.get(self.dimension_type())

    def to_dimension(
        self,
        *,
        count: int | None = None,
        coords: Sequence[str | float | Channel | Position] | None = None,
        chunk_size: int | None = None,
        shard_size_chunks: int | None = None,
        scale: float | None = None,
    ) -> Dimension:
        """Create a dimension with name, type and unit of this axis.

        Raises
        ------
        NotImplementedError
            A position axis has neither count nor coords.
        """
        return Dimension(
            name=self.value,
            count=count,
            type=self.dimension_type(),
            coords=None if coords is None else list(coords),
            chunk_size=chunk_size,
            shard_size_chunks=shard_size_chunks,
            unit=self.unit(),
            scale=scale,
        )


Extent: TypeAlias = "SupportsIndex | Sequence[str | Channel | Position] | None"


@checked_call
def dims_from_standard_axes(
    sizes: Mapping[str, Extent],
    chunk_shapes: Mapping[str | StandardAxis, int] | None = None,
    shard_shapes: Mapping[str | StandardAxis, int] | None = None,
) -> list[Dimension]:
    """Create the dimensions of an acquisition with standard axes.

    Parameters
    ----------
    sizes
        Axis (x, y, z, c, t or p), in acquisition order, to its size, None (unbounded), or a list of names.
    chunk_shapes
        Axis to the extent of a chunk, in pixels; by default a chunk is one frame.
    shard_shapes
        Axis to the extent of a shard, in chunks.

    Raises
    ------
    ValueError
        An axis is not a standard axis.

    Examples
    --------
    >>> dims = dims_from_standard_axes({"t": None, "c": ["DAPI", "GFP"], "y": 512, "x": 512})
    >>> [(d.name, d.type, d.count, d.chunk_size) for d in dims[1:3]]
    [('c', 'channel', 2, 1), ('y', 'space', 512, 512)]
    """
    if not hasattr(sizes, "values") or any(isinstance(n, float) for n in sizes.values()):
        raise TypeError(
            f'sizes must be a dict such as {{"t": 10, "y": 512, "x": 512}}, got {sizes!r}.'
        )
    axes = _standard(sizes)
    chunks = dict(zip(_standard(chunk_shapes or {}), (chunk_shapes or {}).values(), strict=True))
    shards = dict(zip(_standard(shard_shapes or {}), (shard_shapes or {}).values(), strict=True))
    dimensions = []
    for axis, extent in zip(axes, sizes.values(), strict=True):
        # includes numpy integers
        count = operator.index(extent) if isinstance(extent, SupportsIndex) else None
        names = None if isinstance(extent, SupportsIndex) else extent
        whole = {StandardAxis.X: count, StandardAxis.Y: count, StandardAxis.POSITION: None}
        dimensions.append(
            axis.to_dimension(
                count=count,
                coords=names,
                chunk_size=chunks.get(axis, whole.get(axis, 1)),
                shard_size_chunks=shards.get(axis),
            )
        )
    return dimensions


def _standard(names: Mapping[Any, Any]) -> list[StandardAxis]:
    try:
        return [StandardAxis(name) for name in names]
    except ValueError:
        raise ValueError(
            f"Standard axes names must be one of {list(STANDARD_TYPES)}. Got: {[str(n) for n in names]}"
        ) from None


def check_dimensions(dimensions: tuple[Dimension, ...]) -> tuple[Dimension, ...]:
    """Return the dimensions of an acquisition with types and chunk sizes filled in.

    Raises ValueError if the dimensions are inconsistent.
    """
    if len(dimensions) > MAX_DIMENSIONS:
        raise ValueError(
            f"At most {MAX_DIMENSIONS} dimensions are supported, got {len(dimensions):,}. Merge axes whose indices "
            f"are stored as separate images into one."
        )
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
