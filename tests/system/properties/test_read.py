"""Parsing what was written gives the description that it was written from."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ome_writers as omew
from ome_writers import Channel, Dimension, Plate, Position
from ome_writers.formats import Outcome, lay_out
from ome_writers.formats.plan_spec import spec_of_plan
from support.sweeps import SWEEPS

if TYPE_CHECKING:
    from ome_writers.dataset import DatasetSpec

SUFFIXES = (".ome.zarr", ".ome.tiff")
NAMES = st.text("abcXYZ 019µ-", min_size=1, max_size=8).map(str.strip).filter(bool)
SCALES = st.none() | st.floats(1e-3, 1e3)
COORDINATES = st.none() | st.floats(-1e4, 1e4)


@st.composite
def channels(draw: Any) -> Channel:
    """Draw a channel with its optical properties."""
    return Channel(
        name=draw(NAMES),
        color=draw(st.none() | st.sampled_from(["#ff0000", "#00ff7f", "#0a0b0c"])),
        emission_wavelength_nm=draw(st.none() | st.integers(300, 900)),
        exposure_ms=draw(st.none() | st.floats(0.1, 100)),
    )


@st.composite
def positions(draw: Any, count: int, *, plate: bool) -> list[Position]:
    """Draw `count` positions: on the stage, or the fields of wells."""
    found = []
    for i in range(count):
        well = {"plate_row": "AB"[i % 2], "plate_column": str(1 + i // 2)} if plate else {}
        coordinates = {f"{axis}_coord": draw(COORDINATES) for axis in "xyz"}
        found.append(Position(name=f"field{i}", **coordinates, **well))
    return found


@st.composite
def acquisitions(draw: Any) -> dict[str, Any]:
    """Draw settings of every layout: axes in any order, units, scales, channels, positions, plates, RGB."""
    dimensions, plate = [], None
    for axis in draw(st.permutations("tcz"))[: draw(st.integers(0, 3))]:
        if axis == "c":
            coords = draw(st.lists(channels(), min_size=1, max_size=3, unique_by=lambda c: c.name))
            dimensions.append(Dimension(name="c", coords=coords))
        else:
            unit = "second" if axis == "t" else draw(st.sampled_from(["micrometer", "nanometer"]))
            scale = draw(SCALES)
            dimensions.append(
                Dimension(name=axis, count=draw(st.integers(1, 3)), scale=scale, unit=unit)
            )
    if draw(st.booleans()):
        on_plate = draw(st.booleans())
        coords = draw(positions(draw(st.integers(1, 3)), plate=on_plate))
        at = draw(st.integers(0, len(dimensions)))
        dimensions.insert(at, Dimension(name="p", type="position", coords=coords))
        plate = Plate.from_standard_wells(6) if on_plate else None
    dimensions += [
        Dimension(name=axis, count=8, scale=draw(SCALES), unit="micrometer") for axis in "yx"
    ]
    rgb = draw(st.booleans()) and not any(d.type == "channel" for d in dimensions)
    return {"dimensions": dimensions, "plate": plate, "rgb": rgb}


def written(
    folder: str, suffix: str, acquisition: dict[str, Any]
) -> tuple[DatasetSpec, DatasetSpec]:
    """Write an acquisition; return what is parsed from its files, and what its plan describes."""
    settings = omew.AcquisitionSettings(
        root_path=Path(folder) / f"run{suffix}", dtype="uint8", **acquisition
    )
    with omew.create_stream(settings) as stream:
        for number in range(stream.plan.frames or 0):
            stream.append(np.full(stream.plan.frame_shape, number, "uint8"))
    plan = stream.plan
    outcome = Outcome("complete", plan.frames or 0)
    spec = spec_of_plan(*lay_out(plan), outcome)
    return omew.read(settings.output_path), spec


def comparable(spec: DatasetSpec) -> DatasetSpec:
    """Return a description without time stamps and sampled display windows."""
    images = tuple(
        replace(
            image, channels=tuple(c.model_copy(update={"window": None}) for c in image.channels)
        )
        for image in spec.images
    )
    return replace(spec, images=images, started=None, updated=None)


@pytest.mark.timeout(1200)  # the profile "thorough" writes 2,000 datasets
@pytest.mark.parametrize("suffix", SUFFIXES)
@settings(max_examples=settings.default.max_examples // (1 if SWEEPS else 2))
@given(acquisition=acquisitions())
def test_parse_inverts_write(suffix: str, acquisition: dict[str, Any]) -> None:
    """For generated settings in each format, `read` returns the description of the plan."""
    with tempfile.TemporaryDirectory() as folder:
        parsed, planned = written(folder, suffix, acquisition)
    assert comparable(parsed) == comparable(planned)
