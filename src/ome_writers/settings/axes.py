"""The axes that everybody knows by one letter."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.settings.coordinates import Channel, Position
    from ome_writers.settings.dimension import Dimension

__all__ = ["STANDARD_TYPES", "DimensionType", "StandardAxis"]

DimensionType: TypeAlias = Literal["space", "time", "channel", "position", "other"]

STANDARD_TYPES: dict[str, DimensionType] = {
    "x": "space",
    "y": "space",
    "z": "space",
    "c": "channel",
    "t": "time",
    "p": "position",
}
"""Type of each axis that has a standard name."""
_UNITS = {"space": "micrometer", "time": "second"}


class StandardAxis(str, Enum):
    """An axis whose name says what it is."""

    X = "x"
    Y = "y"
    Z = "z"
    CHANNEL = "c"
    TIME = "t"
    POSITION = "p"

    def __str__(self) -> str:
        return self.value

    def dimension_type(self) -> DimensionType:
        """Return the type of a dimension of this name."""
        return STANDARD_TYPES[self.value]

    def unit(self) -> str | None:
        """Return micrometer for space, second for time, else None."""
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
        """Make a dimension of this axis' name, type and unit.

        Raises
        ------
        NotImplementedError
            If the axis is the position axis, and has neither count nor coords.
        """
        from ome_writers.settings.dimension import Dimension  # it needs this module

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
