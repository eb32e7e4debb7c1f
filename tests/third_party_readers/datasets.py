"""Small datasets of each layout and order, and other people's readers that open them."""

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

tensorstore = pytest.importorskip("tensorstore", reason="the independent reader of every Python")
yaozarrs = pytest.importorskip("yaozarrs", reason="a validator of OME-Zarr")

needs_zarr_python = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="zarr-python 3 needs Python 3.11"
)
ENGINES = [
    "direct",
    "tensorstore",
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
    """A dataset that was written, and what it should hold.

    Attributes
    ----------
    root
        Where it lies.
    images
        Path of each image's group to its pixels, shape (t, c, z, y, x).
    """

    root: Path
    images: dict[str, np.ndarray]


def axis(name: str, count: int | None, positions: list[Position]) -> Dimension:
    """Return an axis as a microscope would describe it."""
    if name == "p":
        return Dimension(name="p", type="position", coords=positions)
    if name == "c":
        if count is None:
            return Dimension(name="c", count=None, type="channel")
        return Dimension(name="c", coords=[Channel(name="DAPI", color="blue"), Channel(name="BF")])
    facts: dict[str, Any] = {
        "t": {"unit": "second", "scale": 2.5},
        "z": {"unit": "micrometer", "scale": 0.5, "translation": -1.0, "chunk_size": 2},
    }[name]
    return Dimension(name=name, count=count, **facts)


def plane_axes() -> list[Dimension]:
    """Return y and x with pixels of a quarter of a micrometer."""
    return [
        Dimension(name="y", count=Y, unit="micrometer", scale=0.25),
        Dimension(name="x", count=X, unit="micrometer", scale=0.25, translation=10.0),
    ]


def frame(number: int) -> np.ndarray:
    """Return a frame that differs from every other one in each pixel."""
    return (np.arange(Y * X, dtype="uint16") + 1 + 100 * number).reshape(Y, X)


def write(root: Path, layout: str, order: str, engine: str) -> Written:
    """Write distinct frames, and put each where nested loops over the axes say it belongs."""
    names = list(ORDERS[order])
    if layout == "single" or (layout == "unbounded" and names[0] == "p"):
        names.remove("p")  # positions have an end, so another axis has to be the outermost
    positions = FIELDS if layout == "plate" else POSITIONS
    counts = {name: SIZES[name] for name in names}
    endless = names[0] if layout == "unbounded" else None
    settings = AcquisitionSettings(
        root_path=root,
        dimensions=[
            *(axis(n, None if n == endless else counts[n], positions) for n in names),
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
        for number, place in enumerate(itertools.product(*(range(c) for c in counts.values()))):
            at = dict(zip(names, place, strict=True))
            stream.append(frame(number))
            images[paths[at.get("p", 0)]][at["t"], at["c"], at["z"]] = frame(number)
    return Written(root, images)


def document(root: Path, group: str = "") -> dict[str, Any]:
    """Return a group's attributes."""
    return strict(root / group / "zarr.json")["attributes"]


def strict(path: Path) -> dict[str, Any]:
    """Read JSON as its standard has it: no NaN, no infinity, no key twice."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{path}: {constant} is no JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len(dict(pairs)) == len(pairs), f"{path}: a key twice in {pairs}"
        return dict(pairs)

    text = path.read_text(encoding="utf-8")
    return json.loads(text, parse_constant=refuse, object_pairs_hook=unique)


def through_tensorstore(array: Path) -> np.ndarray:
    """Return an array as tensorstore reads it."""
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(array)}}
    return np.asarray(tensorstore.open(spec, open=True, read=True).result().read().result())


def through_zarr_python(array: Path) -> np.ndarray:
    """Return an array as zarr-python reads it."""
    import zarr

    return np.asarray(zarr.open_array(array, mode="r")[...])


def accepted_by_ome_zarr_models(root: Path, groups: list[str]) -> None:
    """Have ome-zarr-models open each group; it raises where a document or an array is wrong."""
    from ome_zarr_models import open_ome_zarr

    for group in groups:
        open_ome_zarr(root / group, version="0.5")


def collection(root: Path, positions: list[Any], **more: Any) -> Written:
    """Write two time points of each position, in order t, p."""
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
    """Return the one multiscale of an image."""
    (found,) = document(root, group)["ome"]["multiscales"]
    return found
