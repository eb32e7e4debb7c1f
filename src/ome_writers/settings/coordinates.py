"""What lies along an axis that is not measured: channels, positions of the stage, and cameras."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

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


def _name_alone(cls: Any, value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Channel(Model):
    """One channel: what was excited, what was seen. Its name alone stands for a channel, too.

    Attributes
    ----------
    name
        Distinct within the axis.
    excitation_wavelength_nm, emission_wavelength_nm
        Nanometers.
    fluorophore
        As it is called.
    color
        A name, a hex string or an RGB(A) tuple.
    exposure_ms
        Milliseconds.
    group
        The group of presets that the channel belongs to.
    camera
        The camera that sees it.
    window
        The range (low, high) of intensities to display.
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

    _name_alone = model_validator(mode="before")(_name_alone)

    @model_validator(mode="after")
    def _window_has_an_extent(self) -> Self:
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"window must be (low, high) with low < high, got {self.window}.")
        return self


class Position(Model):
    """One position of the stage, and its cell of a plate or a grid. Its name alone stands for a position, too.

    Attributes
    ----------
    name
        Distinct within the acquisition, or within its well and cell.
    plate_row, plate_column
        The well, by the names of its row and column; both or none.
    grid_row, grid_column
        The cell of a grid, counted from 0; both or none.
    x_coord, y_coord, z_coord
        Where the stage stands, in micrometers.
    """

    name: Name
    plate_row: str | None = None
    plate_column: str | None = None
    grid_row: int | None = None
    grid_column: int | None = None
    x_coord: FiniteFloat | None = None
    y_coord: FiniteFloat | None = None
    z_coord: FiniteFloat | None = None

    _name_alone = model_validator(mode="before")(_name_alone)

    @model_validator(mode="after")
    def _rows_with_columns(self) -> Self:
        if (self.plate_row is None) != (self.plate_column is None):
            raise ValueError("plate_row and plate_column must both be set or both be None")
        if (self.grid_row is None) != (self.grid_column is None):
            raise ValueError("grid_row and grid_column must both be set or both be None")
        return self


class Camera(Model):
    """One of several cameras that look at the same events, and what its frames are like.

    What is left out is as the settings say. Cameras whose frames are alike share an image, along its channels;
    others have an image each.

    Attributes
    ----------
    name
        Distinct within the axis.
    height, width
        Pixels; left out, as the last two dimensions.
    dtype, rgb
        As the fields of that name in `AcquisitionSettings`.
    pixel_size
        In the unit of y and x; left out, their scale.
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

    _name_alone = model_validator(mode="before")(_name_alone)


Coordinate: TypeAlias = str | float | Channel | Position | Camera
Made = TypeVar("Made", Channel, Position, Camera)


def as_channels(coords: Iterable[Coordinate]) -> list[Channel]:
    """Return the coords of a channel axis as channels of distinct names.

    Raises
    ------
    ValueError
        If a coord is no channel and no name, or two have one name.
    """
    channels = _made_of(Channel, coords, "channel")
    _refuse_duplicates((c.name for c in channels), "Channel names must be unique.")
    return channels


def as_positions(coords: Iterable[Coordinate]) -> list[Position]:
    """Return the coords of a position axis as positions that can be told apart.

    Raises
    ------
    ValueError
        If a coord is no position and no name, or two in the same place have one name.
    """
    positions = _made_of(Position, coords, "position")
    _refuse_ambiguous(positions)
    return positions


def as_cameras(coords: Iterable[Coordinate]) -> list[Camera]:
    """Return the coords of an axis of cameras, where one of them is a `Camera`, as cameras of distinct names.

    Raises
    ------
    ValueError
        If a coord is no camera and no name, or two have one name.
    """
    cameras = _made_of(Camera, coords, "camera")
    _refuse_duplicates((c.name for c in cameras), "Camera names must be unique.")
    return cameras


def _made_of(model: type[Made], coords: Iterable[Coordinate], axis: str) -> list[Made]:
    """Return coords as objects of one model, made of their names where they are no objects yet."""
    coords = list(coords)
    has_objects = any(isinstance(c, model) for c in coords)
    made: list[Made] = []
    for coord in coords:
        if isinstance(coord, model):
            made.append(coord)
        elif isinstance(coord, str):
            made.append(model(name=coord))
        elif has_objects:
            raise ValueError(f"May not mix {model.__name__} objects with other coord types.")
        else:
            raise ValueError(
                f"Coords of a {axis} dimension are names or {model.__name__} objects, got {coord!r}."
            )
    return made


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
