"""A small acquisition in each layout, whose frames and labels are known by their number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers import AcquisitionSettings, Dimension, Plate, Position

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

T, C, Z, Y, X = 4, 2, 3, 32, 24
LAYOUTS = ("image", "collection", "plate")
SUFFIXES = (".ome.zarr", ".ome.tiff")


def dimensions(layout: str, *, unbounded: bool = False) -> list[Dimension]:
    wells = [{"plate_row": "A", "plate_column": str(n)} for n in (1, 2)]
    positions = [
        Position(
            name=f"f{n}", x_coord=10.0 * n, y_coord=1.0, **(wells[n] if layout == "plate" else {})
        )
        for n in range(2)
    ]
    sizes: dict[str, int | None] = {"t": None if unbounded else T, "c": C, "z": Z, "y": Y, "x": X}
    axes = [Dimension(name=n, count=count, **_scale(n)) for n, count in sizes.items()]
    return (
        axes
        if layout == "image"
        else [Dimension(name="p", type="position", coords=positions), *axes]
    )


def _scale(name: str) -> dict[str, Any]:
    return {"scale": 0.5, "unit": "micrometer"} if name in "zyx" else {}


def settings(path: Path, layout: str = "image", **fields: Any) -> AcquisitionSettings:
    plate = Plate(row_names=["A"], column_names=["1", "2"]) if layout == "plate" else None
    axes = fields.pop("dimensions", None) or dimensions(layout)
    return AcquisitionSettings(
        root_path=path, dimensions=axes, dtype="uint16", plate=plate, **fields
    )


def frame(number: int) -> NDArray[np.uint16]:
    return np.random.default_rng(number).integers(1, 2**12, (Y, X), np.uint16)


def mask(number: int) -> NDArray[np.uint32]:
    """Return labels that identify the frame."""
    return (frame(number) > 2**11) * np.uint32(100_000 + number)


def stack(count: int) -> NDArray[np.uint16]:
    """Return the frames of an acquisition of which the first `count` were appended."""
    frames = [frame(n) if n < count else np.zeros((Y, X), np.uint16) for n in range(T * C * Z)]
    return np.stack(frames).reshape(T, C, Z, Y, X)


def derived_path(path: Path, kind: str, name: str, image: str = "") -> Path:
    if path.suffix == ".tiff":
        return path.with_name(f"{path.name.partition('.')[0]}_{name}.ome.tiff")
    return path / image / kind / name
