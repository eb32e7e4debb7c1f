"""`Schedule`: the frame order of a ragged acquisition, which is not nested loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic_core import core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

    from ome_writers.settings.dimension import Dimension


@dataclass(frozen=True, eq=False)
class Schedule:
    """The acquisition index of each frame.

    Attributes
    ----------
    axes
        Names of the scheduled axes, without y and x. Other axes of the settings are faster and advance in nested loops:
        if they have k indices in total, frame n has the indices of row ``n // k``.
    indices
        Read-only array of integers, shape (rows, len(axes)). If the first axis of the settings is unbounded, the rows
        are one cycle: they repeat, with the first axis continuing after its highest index.

    Examples
    --------
    Two positions; only the second has two channels:

    >>> schedule = Schedule(("p", "c"), [[0, 0], [1, 0], [1, 1]])
    >>> schedule.extents()
    {0: {'c': 1}, 1: {'c': 2}}
    """

    axes: tuple[str, ...]
    indices: np.ndarray[Any, np.dtype[np.signedinteger[Any]]]

    # Type checkers do not know that __post_init__ converts the arguments.
    if TYPE_CHECKING:

        def __init__(self, axes: Sequence[str], indices: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        given: Any = self.axes
        axes = tuple(given)
        if isinstance(given, str) or not all(isinstance(name, str) for name in axes):
            raise ValueError(f"axes of a schedule must be a tuple of names, got {given!r}.")
        if not axes or len(set(axes)) != len(axes):
            raise ValueError(f"axes of a schedule must be distinct names, got {axes}.")
        try:
            indices = np.array(self.indices)
        except ValueError:
            raise ValueError("indices of a schedule must be rows of one length.") from None
        if indices.ndim != 2 or indices.shape[1] != len(axes) or not len(indices):
            raise ValueError(
                f"indices of a schedule must have shape (rows, {len(axes)}) with at least one row "
                f"for the axes {axes}, got {indices.shape}."
            )
        if indices.dtype.kind not in "iu":
            raise ValueError(f"indices of a schedule must be integers, got {indices.dtype}.")
        if int(indices.min()) < 0:
            raise ValueError(f"indices of a schedule must not be negative, got {indices.min()}.")
        # int32 if possible: long acquisitions have one row per frame.
        small = int(indices.max()) <= np.iinfo(np.int32).max
        indices = np.ascontiguousarray(indices, dtype=np.int32 if small else np.int64)
        indices.flags.writeable = False
        object.__setattr__(self, "axes", axes)
        object.__setattr__(self, "indices", indices)

    @classmethod
    def with_cameras(
        cls,
        dimensions: Sequence[Dimension],
        schedule: Schedule | None,
        camera_of_channel: Sequence[int],
        axis: str,
    ) -> Schedule:
        """Return a schedule in which each channel is recorded by one camera of a camera axis.

        Parameters
        ----------
        dimensions
            The dimensions without the camera axis; one has type ``channel``.
        schedule
            Their schedule; None for nested loops.
        camera_of_channel
            Index of the camera that records each channel.
        axis
            Name of the camera axis.
        """
        channel = next(d for d in dimensions if d.type == "channel")
        if schedule is not None and channel.name in schedule.axes:
            axes, rows = schedule.axes, schedule.indices
        else:
            loops = list(dimensions[: list(dimensions).index(channel) + 1])
            # If the first axis is unbounded, the rows are one cycle.
            counts = [d.count or 1 for d in loops]
            axes = tuple(d.name for d in loops)
            rows = np.indices(counts, dtype=np.int32).reshape(len(counts), -1).T
        cameras = np.asarray(camera_of_channel)[rows[:, axes.index(channel.name)]]
        return cls((*axes, axis), np.column_stack([rows, cameras]))

    def __len__(self) -> int:
        return len(self.indices)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Schedule):
            return NotImplemented
        return self.axes == other.axes and np.array_equal(self.indices, other.indices)

    def __hash__(self) -> int:
        return hash((self.axes, self.indices.shape, self.indices.tobytes()))

    def __deepcopy__(self, memo: dict[int, Any]) -> Schedule:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Schedule, (self.axes, self.indices)

    def count(self, axis: str) -> int:
        """Return the extent of `axis`: its highest index + 1."""
        return int(self.indices[:, self.axes.index(axis)].max()) + 1

    def extents(self, axis_of_positions: str = "p") -> dict[int, dict[str, int]]:
        """Return position index to extents of the other axes; without a position axis, all frames have position 0."""
        others = [i for i, name in enumerate(self.axes) if name != axis_of_positions]
        if axis_of_positions in self.axes:
            position = self.indices[:, self.axes.index(axis_of_positions)]
        else:
            position = np.zeros(len(self), dtype=np.int32)
        numbers, inverse = np.unique(position, return_inverse=True)
        extents = np.zeros((len(numbers), len(others)), dtype=np.int64)
        np.maximum.at(extents, inverse.reshape(-1), self.indices[:, others] + 1)
        names = [self.axes[i] for i in others]
        return {
            int(number): dict(zip(names, row, strict=True))
            for number, row in zip(numbers, extents.tolist(), strict=True)
        }

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _read, serialization=core_schema.plain_serializer_function_ser_schema(_write)
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        row = {"type": "array", "items": {"type": "integer", "minimum": 0}}
        return {
            "type": "object",
            "properties": {
                "axes": {"type": "array", "items": {"type": "string"}},
                "indices": {"type": "array", "items": row},
            },
            "required": ["axes", "indices"],
            "additionalProperties": False,
        }


def _read(value: Any) -> Schedule:
    if isinstance(value, Schedule):
        return value
    if isinstance(value, dict) and set(value) == {"axes", "indices"}:
        return Schedule(**value)
    raise ValueError(f"A schedule is a Schedule or {{'axes': ..., 'indices': ...}}, got {value!r}.")


def _write(schedule: Schedule) -> Mapping[str, Any]:
    return {"axes": list(schedule.axes), "indices": schedule.indices.tolist()}
