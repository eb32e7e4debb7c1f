"""Whatever settings are legal, they survive being dumped, and their order is a permutation."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ome_writers import AcquisitionSettings, Channel, Dimension, Position, Schedule

names = st.text(min_size=1, max_size=8)
numbers = st.floats(allow_nan=False, allow_infinity=False)
sizes = st.none() | st.integers(1, 2**40)
colors = (
    st.sampled_from(["red", "#0f0", "hsl(240, 100%, 50%)", "#12345678"])
    | st.tuples(*[st.integers(0, 255)] * 3)
    | st.tuples(*[st.integers(0, 255)] * 3, st.floats(0, 1))
)
channels = st.builds(
    Channel,
    name=names,
    color=st.none() | colors,
    emission_wavelength_nm=sizes,
    exposure_ms=st.none() | st.floats(0, 1e6),
    window=st.none() | st.tuples(st.floats(-1e9, 0), st.floats(1, 1e9)),
    camera=st.none() | st.text(),
)


@st.composite
def places(draw: st.DrawFn) -> Position:
    """Draw a position, in a well or a grid cell or neither."""
    well = draw(st.none() | st.tuples(names, names))
    cell = draw(st.none() | st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
    return Position(
        name=draw(names),
        plate_row=well and well[0],
        plate_column=well and well[1],
        grid_row=cell[0] if cell else None,
        grid_column=cell[1] if cell else None,
        x_coord=draw(st.none() | numbers),
    )


def same_place(position: Position) -> tuple[Any, ...]:
    """Return what tells positions apart."""
    p = position
    return (p.name, p.plate_row, p.plate_column, p.grid_row, p.grid_column)


@st.composite
def dimensions(draw: st.DrawFn, name: str, *, bounded: bool = True) -> Dimension:
    """Draw a dimension of this name."""
    fields: dict[str, Any] = {
        "name": name,
        "chunk_size": draw(sizes),
        "shard_size_chunks": draw(sizes),
        "scale": draw(st.none() | st.floats(1e-9, 1e9)),
        "translation": draw(st.none() | numbers),
    }
    if name == "c" and draw(st.booleans()):
        fields["coords"] = draw(
            st.lists(channels, min_size=1, max_size=4, unique_by=lambda c: c.name)
        )
    elif name == "p" and draw(st.booleans()):
        fields["coords"] = draw(st.lists(places(), min_size=1, max_size=4, unique_by=same_place))
    elif name == "t" and draw(st.booleans()):
        fields["coords"] = draw(st.lists(numbers | names, min_size=1, max_size=4))
        fields["unit"] = draw(st.sampled_from([None, "ms", "min", "second"]))
    elif bounded or draw(st.booleans()):
        fields["count"] = draw(st.integers(1, 5))
    if len(name) > 1:
        fields["type"] = "other"
    return Dimension(**fields)


@st.composite
def acquisitions(draw: st.DrawFn) -> AcquisitionSettings:
    """Draw settings that are complete."""
    order = draw(st.permutations(["t", "c", "z", "p", "cam", "angle"]))
    order = order[: draw(st.integers(0, len(order)))]
    dims = [
        draw(dimensions(name, bounded=i > 0 or name == "p")) for i, name in enumerate(order)
    ] + [Dimension(name="y", count=8, scale=0.5, unit="um"), Dimension(name="x", count=4)]
    all_names = [d.name for d in dims]
    path = draw(st.sampled_from(["a.zarr", "a.OME.TIF", "", "somewhere"]))
    schedule = None
    if order and draw(st.booleans()):
        shape = [d.count or 9 for d in dims[:-2]]
        rows = draw(st.lists(st.integers(0, math.prod(shape) - 1), min_size=1, max_size=9))
        schedule = Schedule(tuple(order), np.stack(np.unravel_index(rows, shape), axis=1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for paths without a known suffix
        return AcquisitionSettings(
            root_path=path,
            dimensions=dims,
            dtype=draw(st.sampled_from(["uint8", ">u2", "f4", ""])),
            storage_order=draw(
                st.sampled_from(["ome", "acquisition"])
                | st.permutations(all_names[:-2]).map(lambda first: [*first, "y", "x"])
            ),
            compression=draw(st.sampled_from([None, "none", "zstd"])),
            overwrite=draw(st.booleans()),
            schedule=schedule,
            flush_interval=draw(st.floats(1e-3, 1e3)),
        )


@given(acquisitions())
def test_settings_round_trip_through_model_dump(settings: AcquisitionSettings) -> None:
    assert AcquisitionSettings.model_validate(settings.model_dump()) == settings
    text = json.dumps(settings.model_dump(mode="json"), allow_nan=False)
    assert AcquisitionSettings.model_validate_json(text) == settings


@given(acquisitions())
def test_model_dump_with_dimension_objects_validates(settings: AcquisitionSettings) -> None:
    mixed = {**settings.model_dump(), "dimensions": list(settings.dimensions)}
    assert AcquisitionSettings.model_validate(mixed) == settings


@given(acquisitions())
def test_settings_validate_to_themselves(settings: AcquisitionSettings) -> None:
    """Validating settings again changes nothing, nor does assigning a field its own value."""
    assert AcquisitionSettings.model_validate(settings) == settings
    twin = settings.model_copy(deep=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # for paths without a known suffix
        for name in type(settings).model_fields:
            setattr(twin, name, getattr(settings, name))
    assert twin == settings


@given(acquisitions())
def test_storage_order_permutes_the_index(settings: AcquisitionSettings) -> None:
    """Storage axes are the acquisition axes, permuted."""
    acquired, kept = settings.index_dimensions, settings.storage_index_dimensions
    permutation = settings.storage_index_permutation
    if permutation is None:
        assert kept == acquired
    else:
        assert sorted(permutation) == list(range(len(acquired)))
        assert tuple(acquired[i] for i in permutation) == kept
    assert settings.array_storage_dimensions[-2:] == settings.frame_dimensions


@given(acquisitions())
def test_num_frames(settings: AcquisitionSettings) -> None:
    if settings.shape[0] is None:
        assert settings.num_frames is None
    elif settings.schedule is not None:
        assert settings.num_frames == len(settings.schedule)
    else:
        assert settings.num_frames == math.prod(n or 1 for n in settings.shape[:-2])
