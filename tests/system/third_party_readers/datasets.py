"""Small datasets of each layout and axis order, and third-party readers for them."""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Channel, Dimension, Plate, Position, create_stream

tensorstore = pytest.importorskip("tensorstore", reason="the reader for all Python versions")
yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")

needs_zarr_python = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="zarr-python 3 needs Python 3.11"
)
ENGINES = [
    pytest.param("direct"),
    pytest.param("tensorstore"),
    pytest.param("zarrs-python", marks=needs_zarr_python),
    pytest.param("zarr-python", marks=needs_zarr_python),
]
ORDERS = {"tczyx": "tpcz", "tzcyx": "tzcp", "pctzyx": "pctz"}
LAYOUTS = ["single", "collection", "plate", "unbounded"]
SIZES = {"t": 3, "p": 3, "c": 2, "z": 2}
Y, X = 8, 6

POSITIONS = [
    Position(name="left", x_coord=100.0, y_coord=-20.5, z_coord=3.0),
    Position(name="right", x_coord=250.0, y_coord=0.0, z_coord=4.0),
    Position(name="third", x_coord=0.0, y_coord=7.0, z_coord=5.0),
]
FIELDS = [
    Position(name="fov0", plate_row="A", plate_column="1", x_coord=100.0),
    Position(name="fov1", plate_row="A", plate_column="1", x_coord=250.0),
    Position(name="fov0", plate_row="B", plate_column="3", x_coord=0.0),
]
FIELD_PATHS = ["A/1/fov0", "A/1/fov1", "B/3/fov0"]
PLATE = Plate(name="screen", row_names=["A", "B"], column_names=["1", "2", "3"])


@dataclass(frozen=True)
class Written:
    """A dataset and its expected content.

    Attributes
    ----------
    root
        Its path.
    images
        Path of each image group to its expected pixels, shape (t, c, z, y, x).
    """

    root: Path
    images: dict[str, np.ndarray]


def axis(name: str, count: int | None, positions: list[Position]) -> Dimension:
    """Return a dimension with realistic metadata."""
    if name == "p":
        return Dimension(name="p", type="position", coords=positions)
    if name == "c":
        if count is None:
            return Dimension(name="c", count=None, type="channel")
        return Dimension(name="c", coords=[Channel(name="DAPI", color="blue"), Channel(name="BF")])
    fields: dict[str, Any] = {
        "t": {"unit": "second", "scale": 2.5},
        "z": {"unit": "micrometer", "scale": 0.5, "translation": -1.0, "chunk_size": 2},
    }[name]
    return Dimension(name=name, count=count, **fields)


def plane_axes() -> list[Dimension]:
    """Return y and x with pixels of 0.25 µm."""
    return [
        Dimension(name="y", count=Y, unit="micrometer", scale=0.25),
        Dimension(name="x", count=X, unit="micrometer", scale=0.25, translation=10.0),
    ]


def frame(number: int) -> np.ndarray:
    """Return a frame that differs from all others in each pixel."""
    return (np.arange(Y * X, dtype="uint16") + 1 + 100 * number).reshape(Y, X)


def write(root: Path, layout: str, order: str, engine: str) -> Written:
    """Write distinct frames; the expected images follow from nested loops over the axes."""
    names = list(ORDERS[order])
    if layout == "single" or (layout == "unbounded" and names[0] == "p"):
        names.remove("p")  # positions are never unbounded, so another axis has to be the first
    positions = FIELDS if layout == "plate" else POSITIONS
    counts = {name: SIZES[name] for name in names}
    unbounded = names[0] if layout == "unbounded" else None
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[
            *(axis(n, None if n == unbounded else counts[n], positions) for n in names),
            *plane_axes(),
        ],
        dtype="uint16",
        format=engine,
        plate=PLATE if layout == "plate" else None,
    )
    paths = [""]
    if "p" in names:
        paths = FIELD_PATHS if layout == "plate" else [str(p) for p in range(SIZES["p"])]
    shape = (SIZES["t"], SIZES["c"], SIZES["z"], Y, X)
    images = {path: np.zeros(shape, "uint16") for path in paths}
    with create_stream(settings) as stream:
        for number, indices in enumerate(itertools.product(*(range(c) for c in counts.values()))):
            index = dict(zip(names, indices, strict=True))
            stream.append(frame(number))
            images[paths[index.get("p", 0)]][index["t"], index["c"], index["z"]] = frame(number)
    return Written(root, images)


def attributes(root: Path, group: str = "") -> dict[str, Any]:
    """Return a group's attributes."""
    return read_strict_json(root / group / "zarr.json")["attributes"]


def read_strict_json(path: Path) -> dict[str, Any]:
    """Read JSON; fail on NaN, infinity and duplicate keys."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{path}: {constant} is not JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), f"{path}: duplicate key in {pairs}"
        return dict(pairs)

    text = path.read_text(encoding="utf-8")
    return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)


def read_with_tensorstore(array: Path) -> np.ndarray:
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(array)}}
    return np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result())


def read_with_zarr_python(array: Path) -> np.ndarray:
    import zarr

    return np.asarray(zarr.open_array(array, mode="r")[...])


def validate_with_ome_zarr_models(root: Path, groups: list[str]) -> None:
    from ome_zarr_models import open_ome_zarr

    for group in groups:
        open_ome_zarr(root / group, version="0.5")


def collection(root: Path, positions: list[Any], **more: Any) -> Written:
    """Write two time points of each position, in acquisition order t, p."""
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[
            Dimension(name="t", count=2),
            Dimension(name="p", type="position", coords=positions),
            *plane_axes(),
        ],
        dtype="uint16",
        **more,
    )
    count = len(positions)
    with create_stream(settings) as stream:
        for number in range(2 * count):
            stream.append(frame(number))
    pixels = [np.stack([frame(p), frame(count + p)]) for p in range(count)]
    return Written(root, {str(p): image for p, image in enumerate(pixels)})


def multiscale(root: Path, group: str) -> dict[str, Any]:
    """Return the only multiscale of an image."""
    (only,) = attributes(root, group)["ome"]["multiscales"]
    return only
