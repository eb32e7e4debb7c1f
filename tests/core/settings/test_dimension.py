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
def test_standard_names_imply_type(name: str, kind: str) -> None:
    assert Dimension(name=name).type == kind


def test_other_names_do_not_imply_type() -> None:
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
def test_type_is_inferred_from_coords_and_unit(fields: dict[str, Any], kind: str | None) -> None:
    assert Dimension(**fields).type == kind


def test_units_are_stored_by_their_ngff_name() -> None:
    """A unit of space or time is stored as NGFF calls it; others are left alone."""
    assert Dimension(name="x", unit="µm").unit == "micrometer"
    assert Dimension(name="q", type="time", unit="msec").unit == "millisecond"
    assert Dimension(name="q", type="other", unit="um").unit == "um"


def test_count_is_length_of_coords() -> None:
    assert Dimension(name="t", coords=[0, 1.5, 4]).count == 3
    assert Dimension(name="t", coords=np.arange(3) / 2).coords == [0.0, 0.5, 1.0]


def test_names_of_channels_become_channels() -> None:
    """Strings and Channels mix; all become Channels."""
    dim = Dimension(name="c", coords=["DAPI", Channel(name="GFP", color="green")])
    assert dim.coords == [Channel(name="DAPI"), Channel(name="GFP", color="green")]


def test_mappings_become_coords_of_axis_type() -> None:
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
def test_scale_zero_becomes_none(scale: float | None) -> None:
    assert Dimension(name="x", scale=scale).scale is None


def test_chunk_size_is_not_derived() -> None:
    assert Dimension(name="x", count=5).chunk_size is None
    assert Dimension(name="x", count=5, chunk_size=64).chunk_size == 64


def test_derived_fields_are_updated() -> None:
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
def test_invalid_assignment_leaves_model_unchanged(name: str, value: Any) -> None:
    dim = Dimension(name="c", type="channel", count=2, coords=["a", "b"], scale=1)
    if name == "unit":
        dim = Dimension(name="x", type="space", count=2, scale=1)
    before, given = dim.model_dump(), set(dim.model_fields_set)
    with pytest.raises(ValueError):
        setattr(dim, name, value)
    assert dim.model_dump() == before
    assert dim.model_fields_set == given


def test_position_dimension_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="PositionDimension is deprecated"):
        old = PositionDimension(positions=["a", Position(name="b")])
    new = Dimension(name="p", type="position", coords=["a", "b"])
    assert isinstance(old, Dimension)
    assert old.model_dump() == new.model_dump()


@pytest.mark.parametrize("axis", StandardAxis)
def test_standard_axis_to_dimension(axis: StandardAxis) -> None:
    dim = axis.to_dimension(count=3, chunk_size=2, shard_size_chunks=4, scale=0.5)
    assert (dim.name, dim.type, dim.unit) == (axis.value, axis.dimension_type(), axis.unit())
    assert (dim.count, dim.chunk_size, dim.shard_size_chunks, dim.scale) == (3, 2, 4, 0.5)
    assert f"{axis}" == axis.value


def test_standard_axis_unit() -> None:
    units = {a.value: a.unit() for a in StandardAxis}
    space = dict.fromkeys("xyz", "micrometer")
    assert units == {**space, "t": "second", "c": None, "p": None}


def test_dims_from_standard_axes() -> None:
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


def test_sizes_may_be_numpy_integers() -> None:
    dims = dims_from_standard_axes({"t": np.int64(3), "y": np.uint16(4), "x": 5})
    assert [(d.name, d.count, d.chunk_size) for d in dims] == [
        ("t", 3, 1),
        ("y", 4, 4),
        ("x", 5, 5),
    ]
