"""Multi-well plates."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

from pydantic import field_validator

from ome_writers.settings.coordinates import Name, duplicates
from ome_writers.settings.model import Model

if TYPE_CHECKING:
    from typing_extensions import Self

_STANDARD: dict[int, tuple[int, int]] = {
    6: (2, 3),
    12: (3, 4),
    24: (4, 6),
    48: (6, 8),
    96: (8, 12),
    384: (16, 24),
    1536: (32, 48),
}


class Plate(Model):
    """Rows and columns of a multi-well plate, including those that are not acquired.

    Attributes
    ----------
    row_names, column_names
        In their order on the plate; unique among the rows and among the columns.
    name
        Name of the plate.
    """

    row_names: list[Name]
    column_names: list[Name]
    name: str | None = None

    @field_validator("row_names", "column_names", mode="after")
    @classmethod
    def _distinct(cls, names: list[str]) -> list[str]:
        if repeated := duplicates(names):
            raise ValueError(f"Row names and column names must be unique, duplicates: {repeated}")
        return names

    @classmethod
    def from_standard_wells(cls, num_wells_or_shape: int | tuple[int, int]) -> Self:
        """Create a plate with 6, 12, 24, 48, 96, 384 or 1536 wells, or with (rows, columns).

        Rows are named A, B, ... Z, AA, AB, ...; columns 1, 2, ...

        Raises
        ------
        ValueError
            Unknown number of wells, or invalid shape.

        Examples
        --------
        >>> Plate.from_standard_wells(6)
        Plate(row_names=['A', 'B'], column_names=['1', '2', '3'])
        """
        size: Any = num_wells_or_shape
        if isinstance(size, (tuple, list)):
            if len(size) != 2 or not all(_is_extent(n) for n in size):
                raise ValueError(
                    "If providing a tuple for plate shape, it must be (n_rows, n_columns) with "
                    f"positive integers. Got: {tuple(size)}"
                )
            rows, columns = size
        elif not isinstance(size, bool) and size in _STANDARD:
            rows, columns = _STANDARD[size]
        else:
            raise ValueError(
                f"Unrecognized standard plate size: {size}. Supported sizes: {list(_STANDARD)}"
            )
        return cls(
            row_names=[row_name(i) for i in range(rows)],
            column_names=[str(i + 1) for i in range(columns)],
        )


def _is_extent(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, Integral) and int(value) > 0


def row_name(index: int) -> str:
    """Return the name of a plate row, counted from 0.

    Examples
    --------
    >>> [row_name(i) for i in (0, 25, 26, 31, 51, 52)]
    ['A', 'Z', 'AA', 'AF', 'AZ', 'BA']
    """
    name = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        name = chr(ord("A") + letter) + name
    return name
