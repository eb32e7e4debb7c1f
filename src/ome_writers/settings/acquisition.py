"""All that a user wants of one acquisition."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, cast

from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    PositiveInt,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)

from ome_writers.errors import SettingsError
from ome_writers.settings import consistency, storage_order
from ome_writers.settings.consistency import Compression
from ome_writers.settings.coordinates import Position
from ome_writers.settings.dimension import Dimension
from ome_writers.settings.dtypes import read_dtype
from ome_writers.settings.formats import (
    Format,
    ScratchFormat,
    read_format,
)
from ome_writers.settings.model import Model
from ome_writers.settings.paths import read_root_path
from ome_writers.settings.plate import Plate
from ome_writers.settings.schedule import Schedule

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from numpy.typing import DTypeLike
    from typing_extensions import Self, TypedDict, Unpack

__all__ = ["AcquisitionSettings", "DTypeStr"]


DTypeStr: TypeAlias = Annotated[str, BeforeValidator(read_dtype)]
_FORMAT: TypeAdapter[Format] = TypeAdapter(Format)


if TYPE_CHECKING:

    class SettingsFields(TypedDict, total=False):
        """What the fields of `AcquisitionSettings` accept, which is more than what is read back."""

        root_path: str | os.PathLike[str]
        dimensions: Sequence[Dimension | Mapping[str, Any]]
        dtype: DTypeLike
        format: Format | str | Mapping[str, Any]
        compression: Compression | None
        storage_order: Literal["acquisition", "ome"] | Sequence[str]
        plate: Plate | Mapping[str, Any] | None
        overwrite: bool
        schedule: Schedule | Mapping[str, Any] | None
        buffer_bytes: int
        durability: Literal["process", "disk"]
        flush_interval: float
        on_incomplete: Literal["trim", "keep"]
        rgb: bool | None
        direct_io: bool


class AcquisitionSettings(Model):
    """What is acquired, and where and how it is to be written.

    Attributes
    ----------
    root_path
        Where the output goes, a local path or a ``file://`` URL; its suffix says the format. Empty for scratch.
    dimensions
        The axes in acquisition order, slowest first; the last two are those of a frame.
    dtype
        Name of the frames' dtype; anything that `numpy.dtype` takes is accepted.
    format
        A format, its name or a backend's name, or ``"auto"``.
    compression
        ``blosc-zstd``, ``blosc-lz4``, ``zstd``, ``gzip`` or ``none`` for OME-Zarr; ``lzw``, ``deflate``,
        ``zstd`` or ``none`` for OME-TIFF. None leaves it uncompressed.
    storage_order
        ``"ome"`` as the format likes it, ``"acquisition"``, or the names of all dimensions.
    plate
        The plate that the positions are wells of.
    overwrite
        Whether an earlier output of this library may be replaced.
    schedule
        The order of the frames, where it is not nested loops over the dimensions.
    buffer_bytes
        How much may wait in memory to be written.
    durability
        What data older than `flush_interval` survives: the end of the process (``"process"``), or
        of power, too (``"disk"``).
    flush_interval
        Seconds.
    on_incomplete
        What becomes of places that were not reached at the end: ``"trim"`` cuts the slowest axis,
        ``"keep"`` leaves them.
    rgb
        Whether frames are (y, x, 3). None: as the first frame is, where a colour has 8 or 16 bits; a client that
        knows a camera's width and height only gets its colours right so.
    direct_io
        Write past the operating system's cache, where engine and file system can.
    """

    root_path: Annotated[str, BeforeValidator(read_root_path)] = ""
    dimensions: tuple[Dimension, ...] = ()
    dtype: DTypeStr = ""
    format: Format = cast("Format", "auto")
    compression: Compression | None = None
    storage_order: Literal["acquisition", "ome"] | list[str] = "ome"
    plate: Plate | None = None
    overwrite: bool = False
    schedule: Schedule | None = None
    buffer_bytes: PositiveInt = 256 * 1024**2
    durability: Literal["process", "disk"] = "process"
    flush_interval: Annotated[FiniteFloat, Field(gt=0)] = 1.0
    on_incomplete: Literal["trim", "keep"] = "trim"
    rgb: bool | None = None
    direct_io: bool = False

    # Type checkers do not see that the validators take more than what is read back.
    if TYPE_CHECKING:

        def __init__(self, **fields: Unpack[SettingsFields]) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _auto_is_not_given(cls, values: Any) -> Any:
        """Leave out ``format="auto"``, so that the format follows `root_path` from then on."""
        if isinstance(values, Mapping) and values.get("format") == "auto":
            return {name: value for name, value in values.items() if name != "format"}
        return values

    @field_validator("format", mode="before")
    @classmethod
    def _read_format(cls, value: Any, info: ValidationInfo) -> Any:
        return read_format(value, info.data.get("root_path", ""))

    # The plate is checked where it or the dimensions change, and not with the rest below, because
    # it may warn, and one warning a fact is enough.
    @field_validator("dimensions", mode="after")
    @classmethod
    def _check_dimensions(
        cls, dimensions: tuple[Dimension, ...], info: ValidationInfo
    ) -> tuple[Dimension, ...]:
        if not dimensions:
            return ()
        dimensions = consistency.check_dimensions(dimensions)
        if plate := info.data.get("plate"):
            consistency.check_plate(plate, dimensions)
        return dimensions

    @field_validator("plate", mode="after")
    @classmethod
    def _check_plate(cls, plate: Plate | None, info: ValidationInfo) -> Plate | None:
        if plate is not None and (dimensions := info.data.get("dimensions")):
            consistency.check_plate(plate, dimensions)
        return plate

    @model_validator(mode="after")
    def _agree(self) -> Self:
        consistency.check_compression(self.format.name, self.format.backend, self.compression)
        if self.dimensions:
            self._check_axes()
        return self

    def _check_axes(self) -> None:
        """Refuse what names the dimensions otherwise than they are."""
        if not isinstance(self.storage_order, str):
            storage_order.check_order(self.storage_order, [d.name for d in self.dimensions])
        if self.schedule is not None:
            consistency.check_schedule(self.schedule, self.dimensions)

    def _follow(self, name: str) -> None:
        """Infer anew a format that was not given, where `root_path` was assigned."""
        if name == "root_path" and "format" not in self.model_fields_set:
            fields = read_format("auto", self.root_path)
            self._derive(format=_FORMAT.validate_python(fields))
            consistency.check_compression(self.format.name, self.format.backend, self.compression)

    def validate_stream_ready(self) -> None:
        """Raise SettingsError (a ValueError) if something is missing that a stream needs.

        What was changed inside of a dimension, and agrees no longer with the rest, is refused here, too.
        """
        for name in ("dimensions", "dtype"):
            if not getattr(self, name):
                raise SettingsError(f"settings.{name} must be set before creating a stream")
        try:
            consistency.check_dimensions(self.dimensions)
            self._check_axes()
        except ValueError as error:
            raise SettingsError(str(error)) from error
        if not self.root_path and not isinstance(self.format, ScratchFormat):
            raise SettingsError(
                f"root_path is required for {self.format.name} format: set settings.root_path before "
                "creating a stream (only format='scratch' does not need it)."
            )

    def _known_dimensions(self, name: str) -> tuple[Dimension, ...]:
        if not self.dimensions:
            raise SettingsError(f"Cannot access {name!r}: dimensions has not been set yet.")
        return self.dimensions

    @property
    def output_path(self) -> str:
        """The path that is written."""
        self._known_dimensions("output_path")
        return self.format.get_output_path(self.root_path, num_positions=len(self.positions))

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The count of each dimension; None where there is no end."""
        return tuple(d.count for d in self._known_dimensions("shape"))

    @property
    def is_unbounded(self) -> bool:
        """Whether the first dimension has no end."""
        return self._known_dimensions("is_unbounded")[0].count is None

    @property
    def num_frames(self) -> int | None:
        """How many frames are acquired; None if there is no end."""
        dimensions = self._known_dimensions("num_frames")[:-2]
        if self.is_unbounded:
            return None
        scheduled = self.schedule.axes if self.schedule is not None else ()
        loops = math.prod(d.count or 1 for d in dimensions if d.name not in scheduled)
        return loops if self.schedule is None else len(self.schedule) * loops

    @property
    def position_dimension_index(self) -> int | None:
        """Where the position dimension stands in `dimensions`; None if there is none."""
        dimensions = self._known_dimensions("position_dimension_index")
        return next((i for i, d in enumerate(dimensions) if d.type == "position"), None)

    @property
    def positions(self) -> tuple[Position, ...]:
        """The positions; one called "0" where there is no position dimension."""
        dimensions = self._known_dimensions("positions")
        index = self.position_dimension_index
        if index is None:
            return (Position(name="0"),)
        coords = dimensions[index].coords or ()
        return tuple(coord for coord in coords if isinstance(coord, Position))

    @property
    def frame_dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions of a frame: the last two."""
        return self._known_dimensions("frame_dimensions")[-2:]

    @property
    def index_dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions that frames are counted along: without positions and the frame's own."""
        dimensions = self._known_dimensions("index_dimensions")[:-2]
        return tuple(d for d in dimensions if d.type != "position")

    @property
    def array_dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions of one position's array, in acquisition order."""
        dimensions = self._known_dimensions("array_dimensions")
        return tuple(d for d in dimensions if d.type != "position")

    @property
    def storage_index_dimensions(self) -> tuple[Dimension, ...]:
        """`index_dimensions` in the order they are stored."""
        self._known_dimensions("storage_index_dimensions")
        return storage_order.stored(self.index_dimensions, self.storage_order, self.format.name)

    @property
    def storage_index_permutation(self) -> tuple[int, ...] | None:
        """For each stored index dimension its place in `index_dimensions`; None when equal."""
        self._known_dimensions("storage_index_permutation")
        return storage_order.permutation(self.index_dimensions, self.storage_index_dimensions)

    @property
    def array_storage_dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions of one position's array, in the order they are stored."""
        self._known_dimensions("array_storage_dimensions")
        return (*self.storage_index_dimensions, *self.frame_dimensions)
