"""Axes in addition to t, c, z and p, with any name, in every format."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    Dimension,
    Plate,
    Position,
    create_stream,
    read_frame_metadata,
    validate,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers import CoordUpdate

STANDARD = [
    Dimension(name="t", count=2, unit="second"),
    Dimension(name="c", coords=["DAPI", "FITC"], type="channel"),
    Dimension(name="z", count=2, unit="micrometer", scale=1.5),
]
FRAME = [Dimension(name="y", count=4), Dimension(name="x", count=6)]
FURTHER = {
    "angle": (Dimension(name="angle", coords=[0, 120, 240], unit="degree"), "angle 120"),
    "phase": (Dimension(name="phase", count=3), "phase1"),
    "lifetime": (Dimension(name="lifetime", count=4, unit="ns", scale=0.5), "lifetime1"),
    "illumination": (Dimension(name="illumination", coords=["left", "right"]), "right"),
    "other": (Dimension(name="sweep", count=2, type="other"), "sweep1"),
}


def acquire(settings: AcquisitionSettings) -> tuple[Any, list[CoordUpdate], list[str]]:
    """Append frames that contain their number; return the view, the events and the names of the images."""
    updates: list[CoordUpdate] = []
    with create_stream(settings) as stream:
        view = stream.view()
        stream.on("coords_changed", updates.append)
        for number in range(settings.num_frames or 0):
            stream.append(np.full((4, 6), number, "uint16"), frame_metadata={"number": number})
    return view, updates, [image.name for image in stream.plan.images]


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff", ""])
@pytest.mark.parametrize("name", FURTHER)
def test_sixth_axis_of_any_name_becomes_images(tmp_path: Path, name: str, suffix: str) -> None:
    """With t, c, z, y and x, each value of a further axis is a separate image; views and events have the axis."""
    axis, second = FURTHER[name]
    settings = AcquisitionSettings(
        root_path=tmp_path / f"run{suffix}",
        dimensions=[*STANDARD[:2], axis, STANDARD[2], *FRAME],
        dtype="uint16",
        format="auto" if suffix else "scratch",
    )
    view, updates, images = acquire(settings)
    count = axis.count
    assert len(images) == count
    assert images[1] == second
    assert view.dims == ("t", "c", axis.name, "z", "y", "x")
    assert view.shape == (2, 2, count, 2, 4, 6)
    expected = axis.coords or [(axis.scale or 1) * i for i in range(count)]
    assert list(view.coords[axis.name]) == expected
    assert np.array_equal(view[..., 0, 0].ravel(), np.arange(8 * count))
    last = {"t": 1, "c": 1, axis.name: count - 1, "z": 1}
    assert {k: v for k, v in updates[-1].current_indices.items() if k not in "yx"} == last
    assert len(updates[-1].max_coords[axis.name]) == count
    if suffix:
        assert validate(settings.output_path).valid
        metadata = read_frame_metadata(settings.output_path)
        assert sorted(one["number"] for one in metadata) == list(range(8 * count))
    if suffix == ".ome.zarr":
        assert np.array_equal(ome_writers.open(settings.output_path), view)


def test_third_party_readers_open_images_of_a_further_axis(tmp_path: Path) -> None:
    """zarr-python and tifffile read each angle as a separate five-dimensional image."""
    zarr = pytest.importorskip("zarr", reason="the independent reader of OME-Zarr")
    tifffile = pytest.importorskip("tifffile", reason="the independent reader of OME-TIFF")
    angle = FURTHER["angle"][0]
    expected = np.arange(24).reshape(2, 2, 3, 2)  # t, c, angle, z
    for suffix in (".ome.zarr", ".ome.tiff"):
        settings = AcquisitionSettings(
            root_path=tmp_path / f"run{suffix}",
            dimensions=[*STANDARD[:2], angle, STANDARD[2], *FRAME],
            dtype="uint16",
        )
        acquire(settings)
    group = zarr.open_group(tmp_path / "run.ome.zarr", mode="r")
    with tifffile.TiffFile(tmp_path / "run.ome.tiff") as file:
        assert [series.name for series in file.series] == ["angle 0", "angle 120", "angle 240"]
        for angle in range(3):
            stored = group[f"{angle}/0"][..., 0, 0]
            series = file.series[angle]
            order = [series.axes.index(letter) for letter in "TCZYX"]
            assert np.array_equal(stored, expected[:, :, angle])
            assert np.array_equal(series.asarray().transpose(order)[..., 0, 0], stored)


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_further_axes_with_plate_and_unbounded_time(tmp_path: Path, suffix: str) -> None:
    """Two further axes, a plate and an unbounded time axis are stored together."""
    wells = [Position(name="f", plate_row=row, plate_column="1") for row in "AB"]
    settings = AcquisitionSettings(
        root_path=tmp_path / f"run{suffix}",
        dimensions=[
            Dimension(name="t"),
            Dimension(name="p", type="position", coords=wells),
            *(FURTHER[name][0] for name in ("angle", "illumination")),
            *STANDARD[1:],
            *FRAME,
        ],
        dtype="uint16",
        plate=Plate(row_names=["A", "B"], column_names=["1"]),
    )
    indices = list(itertools.product(range(2), range(2), range(3), range(2), range(2), range(2)))
    with create_stream(settings) as stream:
        view = stream.view()
        for number in range(len(indices)):
            stream.append(np.full((4, 6), number, "uint16"))
    assert len(stream.plan.images) == 12
    assert view.shape == (2, 2, 3, 2, 2, 2, 4, 6)
    for number, index in enumerate(indices):
        assert view[index][0, 0] == number
    assert validate(settings.output_path).valid


def test_lifetime_axis_in_nanoseconds_has_type_other() -> None:
    """Next to t, also in settings created from dumped ones."""
    lifetime = FURTHER["lifetime"][0]
    assert lifetime.type == "time"
    for dimensions in ([*STANDARD, lifetime, *FRAME], [lifetime, *STANDARD, *FRAME]):
        settings = AcquisitionSettings(dimensions=dimensions, dtype="uint16")
        types = {d.name: d.type for d in settings.dimensions}
        assert (types["lifetime"], types["t"]) == ("other", "time")
        again = AcquisitionSettings.model_validate(settings.model_dump())
        assert again == settings
        assert again.dimensions[dimensions.index(lifetime)].unit == "nanosecond"
    alone = AcquisitionSettings(dimensions=[lifetime, *FRAME], dtype="uint16")
    assert alone.dimensions[0].type == "time"
