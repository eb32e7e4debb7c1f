"""Small acquisitions in each layout of OME-Zarr, and their parsed metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import AcquisitionSettings, Channel, Dimension, Plate, Position, create_stream

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LAYOUTS = ["single", "collection", "plate"]
IMAGES = {
    "single": [""],
    "collection": ["0", "1"],
    "plate": ["A/1/0", "A/1/1", "B/2/right"],
}
"""Paths of the image groups, by layout."""


def positions(layout: str) -> list[Position]:
    """Return the positions of a layout, grid cells among the fields of a plate."""
    left = Position(name="left", x_coord=10.0, y_coord=-20.0, z_coord=30.0)
    if layout == "collection":
        return [left, Position(name="right/..")]
    cells = [
        Position(name="left", plate_row="A", plate_column="1", grid_row=0, grid_column=column)
        for column in (0, 1)
    ]
    return [*cells, Position(name="right", plate_row="B", plate_column="2")]


def acquisition(
    layout: str, root_path: str | Path = "out.ome.zarr", **more: Any
) -> AcquisitionSettings:
    """Return settings for 4 x 6 frames of uint16: 3 times, the positions of the layout, 2 channels."""
    position = [] if layout == "single" else [Dimension(name="p", coords=positions(layout))]
    plate = Plate(name="cells", row_names=["A", "B"], column_names=["1", "2"])
    dimensions = [
        Dimension(name="t", count=3, unit="second", scale=2.0),
        *position,
        Dimension(name="c", coords=[Channel(name="DAPI", color="blue", exposure_ms=20), "BF"]),
        Dimension(name="y", count=4, unit="micrometer", scale=0.5, translation=1.0),
        Dimension(name="x", count=6, unit="micrometer", scale=0.5),
    ]
    facts = {"plate": plate if layout == "plate" else None, "dtype": "uint16", **more}
    return AcquisitionSettings(root_path=root_path, **{"dimensions": dimensions, **facts})


def write(path: Path, layout: str = "image", **fields: Any) -> Path:
    """Write a dataset whose frames, in order, contain 1, 2, ... and have frame metadata; return its path."""
    with create_stream(acquisition(layout, path).model_copy(update=fields)) as stream:
        shape = stream.plan.images[0].frame_shape
        for t in range(1000):
            try:
                stream.append(
                    np.full(shape, t + 1, stream.settings.dtype), frame_metadata={"number": t}
                )
            except IndexError:
                break
    return path


def contents(rendered: Iterable[tuple[str, bytes]]) -> dict[str, Any]:
    """Return rendered metadata by key: strictly parsed JSON, or text."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return {
        key: json.loads(content, parse_constant=refuse)
        if key.endswith(".json")
        else content.decode()
        for key, content in rendered
    }
