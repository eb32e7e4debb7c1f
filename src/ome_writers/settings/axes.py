"""Standard axes: x, y, z, c, t and p."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ome_writers.settings.coordinates import Channel, Position
    from ome_writers.settings.dimension import Dimension

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
        from ome_writers.settings.dimension import Dimension  # avoids an import cycle

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
