"""What lies along an axis that is not measured: channels, positions of the stage, and cameras."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    PositiveInt,
    field_serializer,
    model_validator,
)
from pydantic_extra_types.color import Color

from ome_writers.settings.dtypes import read_dtype
from ome_writers.settings.model import Model

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import DTypeLike
    from typing_extensions import Self

__all__ = [
    "Camera",
    "Channel",
    "Coordinate",
    "Name",
    "Position",
    "as_cameras",
    "as_channels",
    "as_positions",
]

Name: TypeAlias = Annotated[str, Field(min_length=1)]


class Channel(Model):
    """One channel: what was excited, what was seen.

    Wavelengths are nanometers, the exposure is milliseconds. `color` takes a name, a hex string or
    an RGB(A) tuple; `window` is the range (low, high) of intensities to display; `group` is the
    group of presets that the channel belongs to, and `camera` the camera that sees it.
    """

    name: Name
    excitation_wavelength_nm: PositiveInt | None = None
    emission_wavelength_nm: PositiveInt | None = None
    fluorophore: str | None = None
    color: Color | None = None
    exposure_ms: Annotated[FiniteFloat, Field(ge=0)] | None = None
    group: str | None = None
    camera: str | None = None
    window: tuple[FiniteFloat, FiniteFloat] | None = None

    # Type checkers do not see that the validators take more than what is read back.
    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            name: str,
            excitation_wavelength_nm: int | None = None,
            emission_wavelength_nm: int | None = None,
            fluorophore: str | None = None,
            color: Color | str | tuple[int, int, int] | tuple[int, int, int, float] | None = None,
            exposure_ms: float | None = None,
            group: str | None = None,
            camera: str | None = None,
            window: tuple[float, float] | None = None,
        ) -> None: ...

    @field_serializer("color", when_used="json-unless-none")
    def _exact_color(self, color: Color) -> Any:
        """Write a color as text, unless that would round its alpha."""
        text = str(color)
        exact = Color(text).as_rgb_tuple() == color.as_rgb_tuple()
        return text if exact else [*color.as_rgb_tuple(alpha=True)]

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _window_has_an_extent(self) -> Self:
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"window must be (low, high) with low < high, got {self.window}.")
        return self


class Position(Model):
    """One position of the stage, in micrometers, and its cell of a plate or a grid."""

    name: Name
    plate_row: str | None = None
    plate_column: str | None = None
    grid_row: int | None = None
    grid_column: int | None = None
    x_coord: FiniteFloat | None = None
    y_coord: FiniteFloat | None = None
    z_coord: FiniteFloat | None = None

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _rows_with_columns(self) -> Self:
        if (self.plate_row is None) != (self.plate_column is None):
            raise ValueError("plate_row and plate_column must both be set or both be None")
        if (self.grid_row is None) != (self.grid_column is None):
            raise ValueError("grid_row and grid_column must both be set or both be None")
        return self


class Camera(Model):
    """One of several cameras that look at the same events, and what its frames are like.

    What is left out is as the settings say: `height` and `width` (pixels) and `pixel_size` (in the unit of y and
    x) as the last two dimensions, `dtype` and `rgb` as the fields of that name. Cameras whose frames are alike share
    an image, along its channels; others have an image each.
    """

    name: Name
    height: PositiveInt | None = None
    width: PositiveInt | None = None
    dtype: Annotated[str | None, BeforeValidator(lambda v: v if v is None else read_dtype(v))] = (
        None
    )
    rgb: bool | None = None
    pixel_size: Annotated[FiniteFloat, Field(gt=0)] | None = None

    # Type checkers do not see that the validators take more than what is read back.
    if TYPE_CHECKING:

        def __init__(
            self,
            *,
            name: str,
            height: int | None = None,
            width: int | None = None,
            dtype: DTypeLike | None = None,
            rgb: bool | None = None,
            pixel_size: float | None = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _name_alone(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


Coordinate: TypeAlias = str | float | Channel | Position | Camera


def as_channels(coords: Iterable[Coordinate]) -> list[Channel]:
    """Return the coords of a channel axis as channels of distinct names.

    Raises
    ------
    ValueError
        If a coord is no channel and no name, or two have one name.
    """
    channels: list[Channel] = []
    coords = list(coords)
    has_objects = any(isinstance(c, Channel) for c in coords)
    for coord in coords:
        if isinstance(coord, Channel):
            channels.append(coord)
        elif isinstance(coord, str):
            channels.append(Channel(name=coord))
        elif has_objects:
            raise ValueError("May not mix Channel objects with other coord types.")
        else:
            raise ValueError(
                f"Coords of a channel dimension are names or Channel objects, got {coord!r}."
            )
    _refuse_duplicates((c.name for c in channels), "Channel names must be unique.")
    return channels


def as_positions(coords: Iterable[Coordinate]) -> list[Position]:
    """Return the coords of a position axis as positions that can be told apart.

    Raises
    ------
    ValueError
        If a coord is no position and no name, or two in the same place have one name.
    """
    positions: list[Position] = []
    coords = list(coords)
    has_objects = any(isinstance(c, Position) for c in coords)
    for coord in coords:
        if isinstance(coord, Position):
            positions.append(coord)
        elif isinstance(coord, str):
            positions.append(Position(name=coord))
        elif has_objects:
            raise ValueError("May not mix Position objects with other coord types.")
        else:
            raise ValueError(
                f"Coords of a position dimension are names or Position objects, got {coord!r}."
            )
    _refuse_ambiguous(positions)
    return positions


def as_cameras(coords: Iterable[Coordinate]) -> list[Camera]:
    """Return the coords of an axis of cameras, where one of them is a `Camera`, as cameras of distinct names.

    Raises
    ------
    ValueError
        If a coord is no camera and no name, or two have one name.
    """
    cameras: list[Camera] = []
    for coord in coords:
        if isinstance(coord, str):
            cameras.append(Camera(name=coord))
        elif isinstance(coord, Camera):
            cameras.append(coord)
        else:
            raise ValueError("May not mix Camera objects with other coord types.")
    _refuse_duplicates((c.name for c in cameras), "Camera names must be unique.")
    return cameras


def _refuse_duplicates(names: Iterable[str], message: str) -> None:
    duplicates = [name for name, times in Counter(names).items() if times > 1]
    if duplicates:
        raise ValueError(f"{message} Duplicates: {duplicates}")


def _refuse_ambiguous(positions: Sequence[Position]) -> None:
    groups: dict[tuple[str | None, str | None, int | None, int | None], list[str]] = {}
    for p in positions:
        group = (p.plate_row, p.plate_column, p.grid_row, p.grid_column)
        groups.setdefault(group, []).append(p.name)
    for (row, column, grid_row, grid_column), names in groups.items():
        where = []
        if row is not None:
            where.append(f'well ("{row}", "{column}")')
        if grid_row is not None:
            where.append(f"grid cell ({grid_row}, {grid_column})")
        message = (
            f"Position names must be unique within each group. In {', '.join(where)}."
            if where
            else "All positions without row/column must have unique names."
        )
        _refuse_duplicates(names, message)
