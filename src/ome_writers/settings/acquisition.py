"""`AcquisitionSettings`: dimensions, dtype, format and output of one acquisition."""

# Longer than 300 lines: the one model of all settings; a third of the file is its documentation and types.
from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypedDict, cast

from numpy.typing import DTypeLike
from pydantic import (
    BeforeValidator,
    Field,
    FiniteFloat,
    PositiveInt,
    SerializeAsAny,
    TypeAdapter,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticKnownError
from pydantic_core.core_schema import no_info_plain_validator_function

from ome_writers.codecs import COMPRESSIONS, Compression
from ome_writers.errors import SettingsError
from ome_writers.settings.coordinates import Position
from ome_writers.settings.dimension import (
    Dimension,
    check_dimensions,
    check_order,
    permutation_of,
    storage_order_of,
)
from ome_writers.settings.dtypes import read_dtype
from ome_writers.settings.engines import engines_of, find_engine
from ome_writers.settings.experiment import Experiment
from ome_writers.settings.formats import Format, read_format
from ome_writers.settings.instrument import Instrument
from ome_writers.settings.model import Model
from ome_writers.settings.paths import read_root_path
from ome_writers.settings.plate import Plate
from ome_writers.settings.pyramid import Pyramid, PyramidMethod, check_pyramid
from ome_writers.settings.schedule import Schedule

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ome_writers.settings.camera_noise import CameraNoise
    from ome_writers.settings.formats import FormatSettings
    from ome_writers.settings.mirror import Mirror


DTypeStr: TypeAlias = Annotated[str, BeforeValidator(read_dtype)]
_FORMAT: TypeAdapter[Format] = TypeAdapter(Format)


class _OfTable:
    """Accepts the names of the table of compressions, which may have more rows than the literal."""

    @classmethod
    def __get_pydantic_core_schema__(cls, *_: Any) -> CoreSchema:
        return no_info_plain_validator_function(cls._read)

    @classmethod
    def __get_pydantic_json_schema__(cls, *_: Any) -> dict[str, Any]:
        return {"enum": list(COMPRESSIONS), "type": "string"}

    @staticmethod
    def _read(value: Any) -> str:
        if isinstance(value, str) and value in COMPRESSIONS:
            return value
        *names, last = map(repr, COMPRESSIONS)
        raise PydanticKnownError("literal_error", {"expected": f"{', '.join(names)} or {last}"})


def _read_mirror(value: Any) -> Any:
    from ome_writers.settings.mirror import read_mirror

    return read_mirror(value)


def _read_noise(value: Any) -> Any:
    from ome_writers.settings.camera_noise import read_noise_model

    return read_noise_model(value)


class SettingsFields(TypedDict, total=False):
    """Types that the fields of `AcquisitionSettings` accept before validation."""

    root_path: str | os.PathLike[str]
    dimensions: Sequence[Dimension | Mapping[str, Any]]
    dtype: DTypeLike
    format: FormatSettings | str | Mapping[str, Any]
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
    instrument: Instrument | Mapping[str, Any] | None
    acquisition_date: datetime | str | None
    pyramid: Pyramid | PyramidMethod | Mapping[str, Any] | bool | None
    mirror: Mirror | str | os.PathLike[str] | Mapping[str, Any] | None
    experiment: Experiment | Mapping[str, Any] | None
    quantize: CameraNoise | Mapping[str, float] | None


class AcquisitionSettings(Model):
    """What to acquire, and where and how to write it.

    Attributes
    ----------
    root_path
        Output path, a local path or a ``file://`` URL; its suffix selects the format. Empty for scratch.
    dimensions
        The axes in acquisition order, slowest first; the last two are y and x of a frame.
    dtype
        Name of the frames' dtype; accepts anything that `numpy.dtype` accepts.
    format
        A format, the name of a format or backend, or ``"auto"``.
    compression
        Name of a compression of the format and the backend, such as ``"blosc-zstd"`` for OME-Zarr or ``"deflate"``
        for OME-TIFF; ``ome-writers convert --help`` lists them. None: uncompressed.
    storage_order
        ``"ome"`` (the order that the format specifies), ``"acquisition"``, or the names of all dimensions. NGFF
        requires t, then c and other axes, then z, y, x: validators and some readers refuse an OME-Zarr in another
        order.
    plate
        The plate whose wells the positions belong to.
    overwrite
        Whether an earlier output of this library may be replaced.
    schedule
        The order of the frames, if it is not nested loops over the dimensions.
    buffer_bytes
        Maximum memory for frames that are not written yet.
    durability
        What data older than `flush_interval` survives: a crash of the process (``"process"``), or also power loss
        (``"disk"``).
    flush_interval
        In seconds: how soon another process can read a frame. Useful down to 0.01, at the cost of some milliseconds of
        processor time per flush; see ``docs/explanation/durability.md``.
    on_incomplete
        How to finish an incomplete acquisition: ``"trim"`` cuts the slowest axis to the extent reached, ``"keep"``
        keeps the planned shape.
    rgb
        Whether frames are (y, x, 3). None: inferred from the first frame if its dtype is uint8 or uint16.
    direct_io
        Bypass the operating system's page cache, if engine and file system support it. Refused with a compression or
        checksums.
    instrument
        The microscope, its cameras and its objective.
    acquisition_date
        When the acquisition began; by default, when the output is created.
    pyramid
        Resolution levels to write with each frame: a `Pyramid`, its method, or True for the mean. None: only full
        resolution.
    mirror
        URL of an object store, or path of a folder on a network share, to copy the dataset to while it is written, such
        as ``"s3://bucket/run.ome.zarr"`` or ``"/mnt/share/run.ome.zarr"``; see `ome_writers.mirror`. It must not
        contain credentials, and is not stored. For a disk smaller than the recording: ``Mirror(url, evict=True)``.
    experiment
        License, authors, specimen and method. They are stored in the dataset, and `close` writes them as an RO-Crate,
        ``ro-crate-metadata.json``.
    quantize
        The noise of the camera, a `CameraNoise`, to round pixels by: lossy, for smaller files. None: lossless.
    """

    root_path: Annotated[str, BeforeValidator(read_root_path)] = ""
    dimensions: tuple[Dimension, ...] = ()
    dtype: DTypeStr = ""
    # the union lacks formats of other packages
    format: SerializeAsAny[Format] = cast("Format", "auto")
    compression: Annotated[Compression, _OfTable] | None = None
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
    instrument: Instrument | None = None
    acquisition_date: datetime | None = None
    pyramid: Pyramid | None = None
    mirror: Annotated[Any, BeforeValidator(_read_mirror)] | None = None
    experiment: Experiment | None = None
    quantize: Annotated[Any, BeforeValidator(_read_noise)] | None = None

    # Type checkers do not know that validators accept more types than the fields have.
    if TYPE_CHECKING:

        def __init__(self, **fields: Unpack[SettingsFields]) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _auto_is_not_given(cls, values: Any) -> Any:
        """Drop ``format="auto"``, so that later assignments to `root_path` update the format."""
        if isinstance(values, Mapping) and values.get("format") == "auto":
            return {name: value for name, value in values.items() if name != "format"}
        return values

    @field_validator("format", mode="before")
    @classmethod
    def _read_format(cls, value: Any, info: ValidationInfo) -> Any:
        return read_format(value, info.data.get("root_path", ""))

    @field_validator("pyramid", mode="before")
    @classmethod
    def _no_pyramid(cls, value: Any) -> Any:
        return None if value is False else value

    # The plate is checked when plate or dimensions change, not in `_check_consistency`: it may warn, and should only
    # warn once.
    @field_validator("dimensions", mode="after")
    @classmethod
    def _check_dimensions(
        cls, dimensions: tuple[Dimension, ...], info: ValidationInfo
    ) -> tuple[Dimension, ...]:
        if not dimensions:
            return ()
        dimensions = check_dimensions(dimensions)
        if plate := info.data.get("plate"):
            from ome_writers.settings.positions_and_schedule import check_plate

            check_plate(plate, dimensions)
        return dimensions

    @field_validator("plate", mode="after")
    @classmethod
    def _check_plate(cls, plate: Plate | None, info: ValidationInfo) -> Plate | None:
        if plate is not None and (dimensions := info.data.get("dimensions")):
            from ome_writers.settings.positions_and_schedule import check_plate

            check_plate(plate, dimensions)
        return plate

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.compression is not None:
            _check_compression(self.format, self.compression)
        if self.pyramid is not None:
            check_pyramid(self.pyramid, self.format)
        if self.dimensions:
            self._check_axes()
        return self

    def _check_axes(self) -> None:
        """Check the fields that refer to dimensions by name."""
        if not isinstance(self.storage_order, str):
            check_order(self.storage_order, [d.name for d in self.dimensions])
        if self.schedule is not None:
            from ome_writers.settings.positions_and_schedule import check_schedule

            check_schedule(self.schedule, self.dimensions)

    def _update_derived(self, name: str) -> None:
        """Update an inferred format after an assignment to `root_path`."""
        if name == "root_path" and "format" not in self.model_fields_set:
            fields = read_format("auto", self.root_path)
            self._derive(format=_FORMAT.validate_python(fields))
            _check_compression(self.format, self.compression)
            check_pyramid(self.pyramid, self.format)

    def _repr_html_(self) -> str:
        from ome_writers.settings.representation import html_settings

        return html_settings(self)

    def validate_stream_ready(self) -> None:
        """Raise SettingsError (a ValueError) if the settings are incomplete.

        This also detects changes inside of a dimension that conflict with other fields.
        """
        examples = {
            "dimensions": 'dimensions=dims_from_standard_axes({"t": 10, "y": 512, "x": 512})',
            "dtype": 'the dtype of the frames, such as dtype="uint16"',
        }
        for name, example in examples.items():
            if not getattr(self, name):
                raise SettingsError(
                    f"settings.{name} must be set before creating a stream: add {example}."
                )
        try:
            check_dimensions(self.dimensions)
            self._check_axes()
        except ValueError as error:
            raise SettingsError(str(error)) from error
        if not self.root_path and self.format.needs_path:
            raise SettingsError(
                f"root_path is required for {self.format.name} format: set settings.root_path before "
                "creating a stream (only format='scratch' does not need it)."
            )

    @property
    def companion_fields(self) -> tuple[str, ...]:
        """The names of the fields that are set and served by a companion of the stream."""
        return tuple(n for n in ("mirror", "experiment") if getattr(self, n) is not None)

    def _known_dimensions(self, name: str) -> tuple[Dimension, ...]:
        if not self.dimensions:
            raise SettingsError(f"Cannot access {name!r}: dimensions has not been set yet.")
        return self.dimensions

    @property
    def output_path(self) -> str:
        """The path of the output."""
        self._known_dimensions("output_path")
        return self.format.get_output_path(self.root_path, num_positions=len(self.positions))

    @property
    def shape(self) -> tuple[int | None, ...]:
        """The count of each dimension; None if unbounded."""
        return tuple(d.count for d in self._known_dimensions("shape"))

    @property
    def is_unbounded(self) -> bool:
        """Whether the first dimension is unbounded."""
        return self._known_dimensions("is_unbounded")[0].count is None

    @property
    def num_frames(self) -> int | None:
        """Total number of frames; None if unbounded."""
        dimensions = self._known_dimensions("num_frames")[:-2]
        if self.is_unbounded:
            return None
        scheduled = self.schedule.axes if self.schedule is not None else ()
        loops = math.prod(d.count or 1 for d in dimensions if d.name not in scheduled)
        return loops if self.schedule is None else len(self.schedule) * loops

    @property
    def position_dimension_index(self) -> int | None:
        """Index of the position dimension in `dimensions`, or None."""
        dimensions = self._known_dimensions("position_dimension_index")
        return next((i for i, d in enumerate(dimensions) if d.type == "position"), None)

    @property
    def positions(self) -> tuple[Position, ...]:
        """The stage positions; a single one named "0" without a position dimension."""
        dimensions = self._known_dimensions("positions")
        index = self.position_dimension_index
        if index is None:
            return (Position(name="0"),)
        coords = dimensions[index].coords or ()
        return tuple(coord for coord in coords if isinstance(coord, Position))

    @property
    def frame_dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions of a frame: y and x."""
        return self._known_dimensions("frame_dimensions")[-2:]

    @property
    def index_dimensions(self) -> tuple[Dimension, ...]:
        """`dimensions` without the position dimension, y and x."""
        dimensions = self._known_dimensions("index_dimensions")[:-2]
        return tuple(d for d in dimensions if d.type != "position")

    @property
    def array_dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions of one position's array, in acquisition order."""
        dimensions = self._known_dimensions("array_dimensions")
        return tuple(d for d in dimensions if d.type != "position")

    @property
    def storage_index_dimensions(self) -> tuple[Dimension, ...]:
        """`index_dimensions` in storage order."""
        self._known_dimensions("storage_index_dimensions")
        return storage_order_of(self.index_dimensions, self.storage_order, self.format.axis_order)

    @property
    def storage_index_permutation(self) -> tuple[int, ...] | None:
        """Index in `index_dimensions` of each storage index dimension; None if the orders are equal."""
        self._known_dimensions("storage_index_permutation")
        return permutation_of(self.index_dimensions, self.storage_index_dimensions)

    @property
    def array_storage_dimensions(self) -> tuple[Dimension, ...]:
        """The dimensions of one position's array, in storage order."""
        self._known_dimensions("array_storage_dimensions")
        return (*self.storage_index_dimensions, *self.frame_dimensions)


def _check_compression(format_: Format, compression: str | None) -> None:
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
