"""A dimension: what is left out follows from what is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ome_writers import (
    Channel,
    Dimension,
    Position,
    PositionDimension,
    StandardAxis,
    dims_from_standard_axes,
)

TYPES = {"x": "space", "y": "space", "z": "space", "c": "channel", "t": "time"}


@pytest.mark.parametrize(("name", "kind"), TYPES.items())
def test_the_standard_names_have_a_type(name: str, kind: str) -> None:
    """The type follows from a standard name."""
    assert Dimension(name=name).type == kind


def test_a_name_of_ones_own_has_no_type() -> None:
    """A name that is not a standard one says nothing about the type."""
    assert Dimension(name="q", count=3).type is None


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"name": "z", "unit": "ms"}, "time"),
        ({"name": "t", "unit": "um"}, "space"),
        ({"name": "q", "unit": "furlong"}, None),
        ({"name": "c", "unit": "furlong"}, "channel"),
        ({"name": "z", "coords": [Channel(name="a")]}, "channel"),
        ({"name": "c", "coords": ["a", Position(name="b")]}, "position"),
        ({"name": "t", "type": "other", "unit": "um"}, "other"),
    ],
)
def test_coords_and_units_say_more_than_the_name(fields: dict[str, Any], kind: str | None) -> None:
    """The type follows from coords, else from the unit, else from the name."""
    assert Dimension(**fields).type == kind


def test_units_are_stored_by_their_ngff_name() -> None:
    """A unit of space or time is stored as NGFF calls it; others are left alone."""
    assert Dimension(name="x", unit="µm").unit == "micrometer"
    assert Dimension(name="q", type="time", unit="msec").unit == "millisecond"
    assert Dimension(name="q", type="other", unit="um").unit == "um"


def test_count_follows_from_coords() -> None:
    """The count is the number of coords."""
    assert Dimension(name="t", coords=[0, 1.5, 4]).count == 3
    assert Dimension(name="t", coords=np.arange(3) / 2).coords == [0.0, 0.5, 1.0]


def test_names_of_channels_become_channels() -> None:
    """Strings and Channels mix; all become Channels."""
    dim = Dimension(name="c", coords=["DAPI", Channel(name="GFP", color="green")])
    assert dim.coords == [Channel(name="DAPI"), Channel(name="GFP", color="green")]


def test_mappings_become_what_the_axis_is_made_of() -> None:
    """A mapping with a name alone is a Channel or a Position as the axis has it."""
    assert Dimension(name="c", coords=[{"name": "a"}]).coords == [Channel(name="a")]
    assert Dimension(name="p", coords=[{"name": "a"}]).coords == [Position(name="a")]
    other = Dimension(name="q", type="position", coords=[{"name": "a"}])
    assert other.coords == [Position(name="a")]


def test_strings_of_other_axes_stay_strings() -> None:
    """Names along an axis of another type are no objects, and numbers mix with them."""
    assert Dimension(name="q", coords=["a", 1]).coords == ["a", 1.0]


def test_positions_are_numbered_by_their_count() -> None:
    """A count alone makes positions "0", "1", ..."""
    dim = Dimension(name="p", count=3)
    assert dim.coords == [Position(name=name) for name in "012"]


@pytest.mark.parametrize("scale", [0, 0.0, -0.0, None])
def test_a_scale_of_zero_is_not_known(scale: float | None) -> None:
    """Scale 0 becomes None without a warning."""
    assert Dimension(name="x", scale=scale).scale is None


def test_chunks_are_left_alone() -> None:
    """A dimension on its own has no chunk size, and one beyond its count is no error."""
    assert Dimension(name="x", count=5).chunk_size is None
    assert Dimension(name="x", count=5, chunk_size=64).chunk_size == 64


def test_what_follows_follows_again() -> None:
    """What was inferred is inferred anew when its cause is assigned."""
    positions = Dimension(name="p", count=2)
    positions.count = 3
    assert positions.coords == [Position(name=name) for name in "012"]
    channels = Dimension(name="c", coords=["a"])
    channels.coords = ["a", "b"]
    assert channels.count == 2
    axis = Dimension(name="z")
    axis.unit = "ms"
    assert (axis.type, axis.unit) == ("time", "millisecond")
    axis.unit = None
    assert axis.type == "space"


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 5), ("unit", "s"), ("type", "space"), ("coords", [1.0]), ("scale", -1), ("size", 1)],
)
def test_a_refused_assignment_leaves_no_trace(name: str, value: Any) -> None:
    """After an assignment that is refused, the dimension is what it was."""
    dim = Dimension(name="c", type="channel", count=2, coords=["a", "b"], scale=1)
    if name == "unit":
        dim = Dimension(name="x", type="space", count=2, scale=1)
    before, given = dim.model_dump(), set(dim.model_fields_set)
    with pytest.raises(ValueError):
        setattr(dim, name, value)
    assert dim.model_dump() == before
    assert dim.model_fields_set == given


def test_the_old_position_dimension() -> None:
    """PositionDimension warns, is a Dimension, and dumps as the new spelling does."""
    with pytest.warns(DeprecationWarning, match="PositionDimension is deprecated"):
        old = PositionDimension(positions=["a", Position(name="b")])
    new = Dimension(name="p", type="position", coords=["a", "b"])
    assert isinstance(old, Dimension)
    assert old.model_dump() == new.model_dump()


@pytest.mark.parametrize("axis", StandardAxis)
def test_a_standard_axis_makes_its_dimension(axis: StandardAxis) -> None:
    """A standard axis gives its dimension name, type and unit."""
    dim = axis.to_dimension(count=3, chunk_size=2, shard_size_chunks=4, scale=0.5)
    assert (dim.name, dim.type, dim.unit) == (axis.value, axis.dimension_type(), axis.unit())
    assert (dim.count, dim.chunk_size, dim.shard_size_chunks, dim.scale) == (3, 2, 4, 0.5)
    assert f"{axis}" == axis.value


def test_the_units_of_standard_axes() -> None:
    """Space is in micrometers, time in seconds, and the rest has no unit."""
    units = {a.value: a.unit() for a in StandardAxis}
    space = dict.fromkeys("xyz", "micrometer")
    assert units == {**space, "t": "second", "c": None, "p": None}


def test_dimensions_from_standard_axes() -> None:
    """Sizes, names, chunks and shards reach the dimensions, in the order given."""
    dims = dims_from_standard_axes(
        {"t": None, "p": ["a", "b"], "c": ["d"], "z": 3, "y": 10, StandardAxis.X: 20},
        chunk_shapes={"z": 2, StandardAxis.Y: 5},
        shard_shapes={"y": 2},
    )
    assert [d.name for d in dims] == ["t", "p", "c", "z", "y", "x"]
    assert [d.count for d in dims] == [None, 2, 1, 3, 10, 20]
    assert [d.chunk_size for d in dims] == [1, None, 1, 2, 5, 20]
    assert [d.shard_size_chunks for d in dims] == [None, None, None, None, 2, None]
    assert dims[1].coords == [Position(name="a"), Position(name="b")]


def test_sizes_may_be_those_of_numpy() -> None:
    """Sizes that were taken from an array's shape or computed with numpy are sizes."""
    dims = dims_from_standard_axes({"t": np.int64(3), "y": np.uint16(4), "x": 5})
    assert [(d.name, d.count, d.chunk_size) for d in dims] == [
        ("t", 3, 1),
        ("y", 4, 4),
        ("x", 5, 5),
    ]
