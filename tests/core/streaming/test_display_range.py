"""Which frames the display windows are sampled from, and the windows of all images and channels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    Dimension,
    Plate,
    Position,
    create_stream,
    dims_from_standard_axes,
)

YX = dims_from_standard_axes({"y": 64, "x": 64})


def windows(path: Path) -> list[dict[str, float]]:
    ome = json.loads((path / "zarr.json").read_bytes())["attributes"]["ome"]
    return [channel["window"] for channel in ome["omero"]["channels"]]


def ranges(path: Path) -> list[tuple[float, float]]:
    return [(window["start"], window["end"]) for window in windows(path)]


def pixels(t: int) -> np.ndarray[Any, Any]:
    return (1000 + 1000 * t + np.arange(4096).reshape(64, 64) % 400).astype("uint16")


@pytest.mark.parametrize("order", ["tpc", "ptc", "tcp", "cpt"])
@pytest.mark.parametrize("explicit", [False, True])
def test_windows_of_each_position_and_channel_cover_all_times(
    order: str, explicit: bool, tmp_path: Path
) -> None:
    sizes = {"t": 3, "p": ["a", "b"], "c": ["DAPI", "FITC"]}
    dimensions = [*dims_from_standard_axes({name: sizes[name] for name in order}), *YX]
    path = tmp_path / "x.ome.zarr"
    settings = AcquisitionSettings(root_path=path, dimensions=dimensions, dtype="uint16")
    counts = [len(sizes[n]) if isinstance(sizes[n], list) else 3 for n in order]  # type: ignore[arg-type]
    with create_stream(settings) as stream:
        for index in np.ndindex(*counts):
            by_name = dict(zip(order, index, strict=True))
            stream.append(pixels(by_name["t"]), index=by_name if explicit else None)
    for position in "01":
        assert windows(path / position) == [
            {"min": 0, "max": 65535, "start": 1000, "end": 3399}
        ] * 2  # fmt: skip


def test_first_frame_of_every_position_is_sampled(tmp_path: Path) -> None:
    """Also beyond the batch of addresses that is computed at once, and after skipped frames."""
    path = tmp_path / "x.ome.zarr"
    positions = Dimension(name="p", coords=[Position(name=f"f{i}") for i in range(600)])
    times = Dimension(name="t", count=2)
    yx = dims_from_standard_axes({"y": 2, "x": 2})
    settings = AcquisitionSettings(
        root_path=path, dimensions=[positions, times, *yx], dtype="int16"
    )
    with create_stream(settings) as stream:
        for number in range(600):
            stream.append(np.full((2, 2), number, "int16"))
            if number == 1:
                stream.skip()
            else:
                stream.append(np.full((2, 2), number + 1, "int16"))
    for number in (0, 1, 2, 511, 512, 513, 599):
        assert windows(path / str(number)) == [
            {"min": -32768, "max": 32767, "start": number, "end": number + 1}
        ]


def test_plate_has_one_window_per_channel(tmp_path: Path) -> None:
    """Viewers show all fields of a plate with the window of its first one."""
    path = tmp_path / "x.ome.zarr"
    wells = [Position(name="f", plate_row="A", plate_column=str(column)) for column in range(1, 4)]
    dimensions = [
        *dims_from_standard_axes({"t": 4}),
        Dimension(name="p", coords=wells),
        *dims_from_standard_axes({"c": ["DAPI", "FITC"]}),
        *YX,
    ]
    plate = Plate(row_names=["A"], column_names=["1", "2", "3"])
    settings = AcquisitionSettings(
        root_path=path, dimensions=dimensions, dtype="uint16", plate=plate, flush_interval=3600
    )
    with create_stream(settings) as stream:
        for well in range(3):
            stream.append(np.full((64, 64), 10 + 1000 * well, "uint16"))
            stream.append(np.full((64, 64), 5 + well, "uint16"))
        stream.flush()
        for well in "123":
            assert ranges(path / "A" / well / "f") == [(10, 2010), (5, 7)]
        for value in (1, 2, 3, 4, 5, 60000):
            stream.append(np.full((64, 64), value, "uint16"))
    for well in "123":
        assert ranges(path / "A" / well / "f") == [(1, 2010), (2, 60000)]
