"""Coordinates of axes that are not numeric: channels, stage positions and cameras."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from numpy.typing import DTypeLike
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
    from typing_extensions import Self

Name: TypeAlias = Annotated[str, Field(min_length=1)]


def _name_alone(cls: Any, value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


class Channel(Model):
    """One channel. A bare string is a channel of that name.

    Attributes
    ----------
    name
        Unique within the axis.
    excitation_wavelength_nm, emission_wavelength_nm
        In nanometers.
    fluorophore
        Name of the fluorophore.
    color
        A name, a hex string or an RGB(A) tuple. See `display_color`.
    exposure_ms
        In milliseconds.
    group
        Name of the config group that the channel preset belongs to.
    camera
        Name of the camera that records the channel.
    window
        Display range (low, high) of intensities.
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

    # Type checkers do not know that validators accept more types than the fields have.
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

    @property
    def display_color(self) -> Color | None:
        """`color`, otherwise the usual color of the fluorophore or name, such as blue for DAPI; None if unknown."""
        numbered = self.name.startswith("Channel ") and self.name[8:].isdecimal()
        if self.color is not None or (numbered and not self.fluorophore):
            return self.color
        from ome_writers.settings.channel_colors import color_of_name

        known = color_of_name(self.fluorophore or "") or color_of_name(self.name)
        return None if known is None else Color(known)

    @field_serializer("color", when_used="json-unless-none")
    def _exact_color(self, color: Color) -> Any:
        """Serialize a color as text, unless that would round its alpha."""
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
    """One stage position, with its well of a plate or its cell of a grid. A bare string is a position of that name.

    Attributes
    ----------
    name
        Unique within the acquisition, or within its well and grid cell.
    plate_row, plate_column
        Names of the row and column of the well; both or neither.
    grid_row, grid_column
        Row and column in a grid, counted from 0; both or neither.
    x_coord, y_coord, z_coord
        Stage coordinates in micrometers.
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
    """One of several cameras that record the same events, and the properties of its frames.

    Omitted properties are those of the settings. Cameras with equal frames share an image, as separate channels, unless
    one of them has `separate_image`; others have separate images.

    Attributes
    ----------
    name
        Unique within the axis.
    height, width
        In pixels; by default, counts of the last two dimensions.
    dtype, rgb
        See the fields of the same name in `AcquisitionSettings`.
    pixel_size
        In the unit of y and x; by default, their scale.
    separate_image
        Whether each camera has an image of its own even if all frames are equal, for cameras whose number of frames
        differs.
    """

    name: Name
    height: PositiveInt | None = None
    width: PositiveInt | None = None
    dtype: Annotated[str | None, BeforeValidator(lambda v: v if v is None else read_dtype(v))] = (
        None
    )
    rgb: bool | None = None
    pixel_size: Annotated[FiniteFloat, Field(gt=0)] | None = None
    separate_image: bool = False

    # Type checkers do not know that validators accept more types than the fields have.
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
            separate_image: bool = False,
        ) -> None: ...

    _name_alone = model_validator(mode="before")(_name_alone)


Coordinate: TypeAlias = str | float | Channel | Position | Camera
Coord = TypeVar("Coord", Channel, Position, Camera)


def as_channels(coords: Iterable[Coordinate]) -> list[Channel]:
    """Return the coords of a channel axis as channels.

    Raises ValueError if a coord is neither a channel nor a name, or a name is not unique.
    """
    channels = _instances(Channel, coords, "channel")
    _check_unique((c.name for c in channels), "Channel names must be unique.")
    return channels


def as_positions(coords: Iterable[Coordinate]) -> list[Position]:
    """Return the coords of a position axis as positions.

    Raises ValueError if a coord is neither a position nor a name, or a name is not unique within its well and grid
    cell.
    """
    positions = _instances(Position, coords, "position")
    _check_unique_in_groups(positions)
    return positions


def as_cameras(coords: Iterable[Coordinate]) -> list[Camera]:
    """Return the coords of a camera axis, at least one of which is a `Camera`, as cameras.

    Raises ValueError if a coord is neither a camera nor a name, or a name is not unique.
    """
    cameras = _instances(Camera, coords, "camera")
    _check_unique((c.name for c in cameras), "Camera names must be unique.")
    return cameras


def _instances(model: type[Coord], coords: Iterable[Coordinate], axis: str) -> list[Coord]:
    """Return coords as instances of one model, created from names where necessary."""
    coords = list(coords)
    has_objects = any(isinstance(c, model) for c in coords)
    instances: list[Coord] = []
    for coord in coords:
        if isinstance(coord, model):
            instances.append(coord)
        elif isinstance(coord, str):
            instances.append(model(name=coord))
        elif has_objects:
            raise ValueError(f"May not mix {model.__name__} objects with other coord types.")
        else:
            raise ValueError(
                f"Coords of a {axis} dimension are names or {model.__name__} objects, got {coord!r}."
            )
    return instances


def duplicates(names: Iterable[str]) -> list[str]:
    """Return the names that occur more than once."""
    return [name for name, times in Counter(names).items() if times > 1]


def _check_unique(names: Iterable[str], message: str) -> None:
    if repeated := duplicates(names):
        raise ValueError(f"{message} Duplicates: {repeated}")


def _check_unique_in_groups(positions: Sequence[Position]) -> None:
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
        _check_unique(names, message)
