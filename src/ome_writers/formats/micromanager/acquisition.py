"""Description of an acquisition of Micro-Manager, from the coordinates and the metadata of its images.

Micro-Manager calls a plane an image, and stores its metadata as one JSON object. This module translates the keys of
Micro-Manager 1.4 and 2.0 and of pycro-manager.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from pydantic_extra_types.color import Color

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.complete_pixels import CompletePixels, Planes
from ome_writers.routing import make_distinct
from ome_writers.settings import Channel, Dimension, Position
from ome_writers.untrusted import MAX_FRAMES, MAX_IMAGES, check_count, check_memory

Json = dict[str, Any]
Coordinates: TypeAlias = Mapping[str, int | str]
K = TypeVar("K")

NAMESPACE = "micromanager"
"""Key of Micro-Manager's metadata, of the acquisition and of each frame."""

_POSITION_AXES = ("position", "row", "column")
_ORDER = {"time": -1, "channel": 1, "z": 2}  # other axes are between
_FRAME_KEYS = {
    "delta_t": (1e-3, ("ElapsedTime-ms",)),
    "exposure_time": (1e-3, ("Exposure-ms", "Exposure")),
    "position_x": (1.0, ("XPositionUm", "XPosition_um_Intended")),
    "position_y": (1.0, ("YPositionUm", "YPosition_um_Intended")),
    "position_z": (1.0, ("ZPositionUm", "ZPosition_um_Intended")),
}
_DATE = re.compile(r"(\d{4})[-/](\d\d)[-/](\d\d)[ T]([\d:.]+)(?: ?([+-]\d\d):?(\d\d))?")


@dataclass(frozen=True)
class Acquisition(Generic[K]):
    """What an acquisition contains, and where its frames are.

    Attributes
    ----------
    spec
        Its description.
    frames
        By image: the key of each frame, by storage index. Indices without a frame are missing.
    """

    spec: DatasetSpec
    frames: Sequence[Mapping[tuple[int, ...], K]]

    def pixels(self, read: Callable[[K], Any]) -> CompletePixels:
        """Return the images; `read` returns the frame with a key."""
        arrays = [Planes(self.spec, n, keys, read) for n, keys in enumerate(self.frames)]
        return CompletePixels(self.spec, arrays)


@dataclass(frozen=True)
class _Axis:
    name: str
    values: Sequence[int | str]

    def index(self, coordinates: Coordinates) -> int:
        value = coordinates.get(self.name)
        return 0 if value is None else self.values.index(value)


def describe(
    path: Path,
    format: str,
    frames: Iterable[tuple[Coordinates, K]],
    summary: Json,
    read_metadata: Callable[[K], Json],
    frame_shape: tuple[int, ...],
    dtype: str,
    *,
    version: str = "",
    channel_names: Sequence[str] = (),
) -> Acquisition[K]:
    """Return the description of an acquisition from the coordinates of its frames.

    The axes "position", "row" and "column" are images. `read_metadata` is called for the first frame of each image.

    Raises UnsupportedError if there are no frames, or two have the same coordinates.
    """
    from ome_writers.formats.plane_files import image_of_planes

    by_image: dict[tuple[int | str | None, ...], list[tuple[Coordinates, K]]] = {}
    for coordinates, key in frames:
        image = tuple(coordinates.get(name) for name in _POSITION_AXES)
        by_image.setdefault(image, []).append((coordinates, key))
    check_count(len(by_image), f"{path}: the number of positions", MAX_IMAGES)
    everything = [frame for of_image in by_image.values() for frame in of_image]
    check_count(len(everything), f"{path}: the number of images", MAX_FRAMES)
    if not everything:
        raise UnsupportedError(f"{path} does not contain an image.")
    check_memory(
        (*frame_shape, 8), f"{path}: an image of {' x '.join(map(str, frame_shape))} pixels"
    )
    names = list(channel_names) or [str(name) for name in summary.get("ChNames") or ()]
    axes = list(_axes([coordinates for coordinates, _ in everything], names))
    positions = sorted(by_image, key=lambda image: [v for v in image if isinstance(v, int)])
    found = [
        {tuple(axis.index(coordinates) for axis in axes): key for coordinates, key in by_image[i]}
        for i in positions
    ]
    count = sum(map(len, found))
    if count < len(everything):
        raise UnsupportedError(
            f"{path}: {len(everything) - count} images have the same coordinates as another."
        )
    first = [read_metadata(next(iter(of_image.values()))) for of_image in found]
    dimensions = [_dimension(axis, names, summary) for axis in axes]
    pixel_size = _number({**summary, **first[0]}, "PixelSizeUm", "PixelSize_um") or None
    unit = "micrometer" if pixel_size else None
    dimensions += [
        Dimension(name=name, count=extent, unit=unit, scale=pixel_size)
        for name, extent in zip("yx", frame_shape, strict=False)
    ]
    stages = _stages(path, positions, first)
    samples = math.prod(frame_shape[2:])
    images = [
        image_of_planes("", stage.name, dimensions, dtype, samples=samples, position=stage)
        for stage in stages
    ]
    several = len(stages) > 1 or stages[0].x_coord is not None
    if several:
        dimensions.insert(0, Dimension(name="p", type="position", coords=stages))
    expected = len(images) * math.prod(len(axis.values) for axis in axes)
    spec = DatasetSpec(
        path=path,
        format=format,
        version=version,
        layout="collection" if several else "image",
        images=tuple(images),
        dimensions=tuple(dimensions),
        status="complete" if count == expected else "cancelled",
        frames_written=count,
        frames_expected=expected,
        started=_started(summary),
        written_by=written_by(summary),
        metadata={NAMESPACE: summary} if summary else {},
    )
    return Acquisition(spec, found)


def frame_metadata(metadata: Json, index: Sequence[int]) -> Json:
    """Return the metadata of a frame as `read_frame_metadata` returns it: in seconds and micrometers."""
    frame: Json = {"storage_index": list(index)}
    for name, (factor, keys) in _FRAME_KEYS.items():
        if (value := _number(metadata, *keys)) is not None:
            frame[name] = value * factor
    return {**frame, NAMESPACE: metadata} if metadata else frame


def _axes(coordinates: Sequence[Coordinates], channels: Sequence[str]) -> Iterator[_Axis]:
    """Yield the axes with more than one index, and a channel that has a name; in storage order."""
    found = dict.fromkeys(name for each in coordinates for name in each)
    names = sorted(
        (name for name in found if name not in _POSITION_AXES), key=lambda n: _ORDER.get(n, 0)
    )
    for name in names:
        values = dict.fromkeys(each[name] for each in coordinates if name in each)
        numbers = [value for value in values if isinstance(value, int)]
        if len(numbers) == len(values):
            axis = _Axis(name, range(min(numbers), max(numbers) + 1))
        else:
            rank = {channel: i for i, channel in enumerate(channels)}
            known = sorted(values, key=lambda value: rank.get(str(value), len(rank)))
            axis = _Axis(name, tuple(known))
        if len(axis.values) > 1 or (name == "channel" and (channels or not numbers)):
            yield axis


def _dimension(axis: _Axis, channels: Sequence[str], summary: Json) -> Dimension:
    count = len(axis.values)
    if axis.name == "channel":
        return Dimension(name="c", count=count, coords=_channels(axis, channels, summary))
    if axis.name == "time":
        interval = max(0.0, _number(summary, "Interval_ms", "WaitInterval") or 0.0) / 1000
        return Dimension(name="t", count=count, unit="second" if interval else None, scale=interval)
    if axis.name == "z":
        step = abs(_number(summary, "z-step_um") or 0.0)
        return Dimension(name="z", count=count, unit="micrometer" if step else None, scale=step)
    return Dimension(name=axis.name, count=count, type="other")


def _channels(axis: _Axis, names: Sequence[str], summary: Json) -> list[Channel]:
    """Return channels with the colors and display ranges of the summary, if it has one of each for every channel."""
    labels = [
        value if isinstance(value, str) else names[i] if i < len(names) else f"Channel {value}"
        for i, value in enumerate(axis.values)
    ]
    values = [summary.get(key) for key in ("ChColors", "ChContrastMin", "ChContrastMax")]
    colors, lows, highs = (
        value if isinstance(value, list) and len(value) == len(labels) else [None] * len(labels)
        for value in values
    )
    found = []
    for label, color, low, high in zip(make_distinct(labels), colors, lows, highs, strict=True):
        limits = (
            (low, high) if isinstance(low, int) and isinstance(high, int) and low < high else None
        )
        found.append(Channel(name=label or "Default", color=channel_color(color), window=limits))
    return found


def channel_color(value: object) -> Color | None:
    """Return a color of Micro-Manager, a signed 32-bit integer of ARGB."""
    if not isinstance(value, int):
        return None
    red, green, blue = (value % 2**24).to_bytes(3, "big")
    return Color((red, green, blue))


def written_by(summary: Json) -> str | None:
    version = summary.get("MicroManagerVersion")
    return f"Micro-Manager {version}" if version else None


def _stages(
    path: Path, positions: Sequence[tuple[int | str | None, ...]], metadata: Sequence[Json]
) -> list[Position]:
    """Return the stage position of each image; tiles have a row and column of the grid."""
    names = [
        str(each.get("PositionName") or _position_name(position) or path.name)
        for position, each in zip(positions, metadata, strict=True)
    ]
    found = []
    for name, (_, *cell), each in zip(make_distinct(names), positions, metadata, strict=True):
        grid = [value for value in cell if isinstance(value, int)]
        row, column = grid if len(grid) == len(cell) else (None, None)
        x, y = (_number(each, *_FRAME_KEYS[key][1]) for key in ("position_x", "position_y"))
        found.append(Position(name=name, x_coord=x, y_coord=y, grid_row=row, grid_column=column))
    return found


def _position_name(position: tuple[int | str | None, ...]) -> str:
    stage, row, column = position
    parts = [] if stage is None else [f"Pos{stage}" if isinstance(stage, int) else stage]
    return "_".join([*parts, *(str(v) for v in (row, column) if v is not None)])


def _number(metadata: Mapping[str, Any], *keys: str) -> float | None:
    """Return the first finite number."""
    for key in keys:
        value = metadata.get(key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            return float(value)
    return None


def _started(summary: Json) -> str | None:
    """Return when the acquisition began, in ISO 8601."""
    text = next(
        (str(summary[k]) for k in ("StartTime", "Time", "DateAndTime") if summary.get(k)), ""
    )
    match = _DATE.match(text)
    if match is None:
        return None
    year, month, day, time, hours, minutes = match.groups()
    return f"{year}-{month}-{day}T{time}" + (f"{hours}:{minutes}" if hours else "")
