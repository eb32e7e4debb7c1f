"""The contact sheet of a dataset: of its positions and channels, or of the wells of a plate."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ome_writers import Channel, DatasetSpec, Position
from ome_writers.toolkit import ome_symbol, printable
from ome_writers_tools.cli.contact_sheet import (
    FAINT,
    INK,
    LARGE_PX,
    Sheet,
    SheetRow,
    contact_sheet,
    sheet_times,
)
from ome_writers_tools.cli.thumbnails import blend, displays, thumbnail

if TYPE_CHECKING:
    from ome_writers import StreamView
    from ome_writers_tools.cli.contact_sheet import Label

PlanesReader = Callable[[Sequence[int], int], Iterable[NDArray[Any]]]
"""Returns the planes of positions, in a channel."""

_BATCH_BYTES = 64 * 2**20
_PLATE_PX, _MIN_WELL_PX, _MAX_WELL_PX = 1300, 24, 128


def sheet_of_dataset(spec: DatasetSpec, view: StreamView, *, max_rows: int) -> Sheet:
    """Return the sheet of a dataset and its pixels; along z and every other axis the middle plane is shown."""
    sizes = dict(zip(view.dims, view.shape, strict=True))
    names = {dim.type: dim.name for dim in reversed(spec.dimensions)}
    time, channel = names.get("time", "t"), names.get("channel", "c")
    middle = {dim: size // 2 for dim, size in sizes.items()}
    rank = 3 if view.dims[-1] == "s" else 2

    def read(p: int | list[int], t: int, c: int) -> NDArray[Any]:
        at = {**middle, "p": p, time: t, channel: c}
        return view[tuple(at[dim] for dim in view.dims[:-rank])]

    def read_planes(ps: Sequence[int], c: int) -> Iterator[NDArray[Any]]:
        """Yield planes of the first time point: many at a time, because each access reads the shapes of all images."""
        if "p" not in view.dims:
            yield read(0, 0, c)
            return
        step = max(1, _BATCH_BYTES // (math.prod(view.shape[-rank:]) * view.dtype.itemsize))
        for start in range(0, len(ps), step):
            yield from read([*ps[start : start + step]], 0, c)

    axis = spec.position_axis
    positions = list(spec.dimensions[axis].coords or ()) if axis is not None else [""]
    positions = positions[: sizes.get("p", 1)]
    channels = _channels(spec, sizes.get(channel, 1))
    if rank == 3:
        channels = [Channel(name="RGB", window=(0, 255) if view.dtype == "uint8" else None)]
    if spec.plate is not None and sizes.get(time, 1):
        return _plate_sheet(spec, positions, channels, read_planes, max(view.shape[-rank:][:2]))
    times = sheet_times(sizes.get(time, 1))
    labels = [_position_name(position) for position in positions]
    titles = [f"{time} = {_coordinate(view, time, t)}" for t in times]
    return contact_sheet(labels, times, channels, read, titles=titles, max_rows=max_rows)


def shown_planes(view: StreamView) -> str:
    """Return the planes that a sheet shows along z and other axes: ``"z = 4 um (3 of 5)"``; empty without such axes."""
    texts = []
    for dim, size, dimension in zip(view.dims, view.shape, view.dimensions[:-2], strict=False):
        if dimension.type in ("space", "other") and size > 1:
            texts.append(f"{dim} = {_coordinate(view, dim, size // 2)} ({size // 2 + 1} of {size})")
    return ", ".join(texts)


def _coordinate(view: StreamView, dim: str, index: int) -> str:
    """Return a coordinate with the symbol of its unit, or the index."""
    values, unit = view.coords.get(dim, ()), view.units.get(dim)
    if index >= len(values):
        return str(index)
    value = values[index]
    number = f"{value:.6g}" if isinstance(value, float) else printable(str(value))
    symbol = (ome_symbol(unit) or unit) if unit else ""
    return f"{number} {symbol.replace('µ', 'u')}".rstrip()  # pillow's font does not have a µ


def sufficient_level(spec: DatasetSpec) -> int:
    """Return the smallest resolution level that has at least as many pixels as a large picture."""
    levels = range(min(len(image.levels) for image in spec.images))
    large = [k for k in levels if all(max(i.levels[k].shape[-2:]) >= LARGE_PX for i in spec.images)]
    return max(large, default=0)


def pixel_size(spec: DatasetSpec, level: int = 0) -> tuple[float, str] | None:
    """Return the width of a pixel of the first image and its unit (NGFF name); None if either is unknown."""
    image = spec.images[0]
    size, unit = image.levels[level].scale[-1], image.axes[-1].unit
    return (size, unit) if size and unit else None


def _position_name(position: object) -> str:
    if not isinstance(position, Position):
        return printable(str(position))
    well = f"{position.plate_row}{position.plate_column}/" if position.plate_row else ""
    return printable(well + position.name)


def _plate_sheet(
    spec: DatasetSpec,
    positions: Sequence[Any],
    channels: Sequence[Channel],
    read: PlanesReader,
    side_px: int,
) -> Sheet:
    """Return the composite of the first field of view of each well, at the first time point.

    `side_px` is the longer side of a plane.
    """
    plate = spec.plate
    assert plate is not None
    box = _PLATE_PX // len(plate.column_names)
    box = min(max(box, _MIN_WELL_PX), _MAX_WELL_PX)
    first: dict[tuple[str, str], int] = {}  # position of each well
    for p, position in enumerate(positions):
        first.setdefault((position.plate_row, position.plate_column), p)
    by_channel = [
        [thumbnail(plane, box) for plane in read(list(first.values()), c)]
        for c in range(len(channels))
    ]
    planes = dict(zip(first, map(list, zip(*by_channel, strict=True)), strict=True))
    shown_as = displays(channels, [[at[c] for at in planes.values()] for c in range(len(channels))])
    rows = []
    for row in plate.row_names:
        wells = [planes.get((row, column)) for column in plate.column_names]
        pictures = [blend(well, shown_as) if well else None for well in wells]
        rows.append(SheetRow(printable(row), ("", INK), pictures))
    columns = [(printable(name), FAINT) for name in plate.column_names]
    legend: list[Label] = [(display.name, display.color) for display in shown_as]
    if len(positions) > len(planes):
        legend.append(("first field of view of each well", FAINT))
    return Sheet(rows, columns, legend, box / side_px, margin_px=40)


def _channels(spec: DatasetSpec, count: int) -> list[Channel]:
    """Return `count` channels of a dataset; the window of each covers those of all images."""
    channels = list(spec.images[0].channels)[:count]
    channels += [Channel(name=f"c = {n}") for n in range(len(channels), count)]
    merged = []
    for number, channel in enumerate(channels):
        found = [i.channels[number].window for i in spec.images if number < len(i.channels)]
        windows = [window for window in found if window is not None]
        window = None
        if windows and len(windows) == len(found):
            window = (min(low for low, _ in windows), max(high for _, high in windows))
        merged.append(channel.model_copy(update={"window": window}))
    return merged
