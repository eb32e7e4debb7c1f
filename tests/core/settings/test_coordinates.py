"""Channels, positions and plates."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_extra_types.color import Color

from ome_writers import Channel, Dimension, Plate, Position


@pytest.mark.parametrize(
    "color", ["red", "#ff0000", "F00", (255, 0, 0), (255, 0, 0, 1.0), Color("red"), [255, 0, 0]]
)
def test_color_inputs(color: Any) -> None:
    assert Channel(name="a", color=color) == Channel(name="a", color="red")


@pytest.mark.parametrize("color", ["red", "#12345678", (1, 2, 3, 0.5), (1, 2, 3, 0.123), None])
def test_color_round_trips_through_json(color: Any) -> None:
    channel = Channel(name="a", color=color)
    assert Channel.model_validate_json(channel.model_dump_json()) == channel


def test_named_color_is_serialized_by_name() -> None:
    assert Channel(name="a", color=(255, 0, 0)).model_dump(mode="json")["color"] == "red"


def test_string_becomes_named_object() -> None:
    assert Channel.model_validate("DAPI") == Channel(name="DAPI")
    assert Position.model_validate("A") == Position(name="A")


def test_channel_fields() -> None:
    channel = Channel(name="a", exposure_ms=10, group="Channel", camera="Left", window=(0, 4095))
    assert (channel.exposure_ms, channel.window) == (10.0, (0.0, 4095.0))
    assert (channel.group, channel.camera) == ("Channel", "Left")


def test_names_may_contain_any_character() -> None:
    assert Position(name="a/b\0..\\").name == "a/b\0..\\"


@pytest.mark.parametrize(
    "coords",
    [
        [{"name": "a", "plate_row": "A", "plate_column": c} for c in "12"],
        [{"name": "a", "grid_row": 0, "grid_column": c} for c in (1, 2)],
        [{"name": "a", "grid_row": 0, "grid_column": 1}, {"name": "a"}],
    ],
)
def test_position_names_may_repeat_in_other_wells(coords: list[dict[str, Any]]) -> None:
    assert Dimension(name="p", coords=coords).count == 2


@pytest.mark.parametrize(
    ("wells", "last_row", "columns"),
    [(6, "B", 3), (12, "C", 4), (24, "D", 6), (48, "F", 8), (96, "H", 12), (384, "P", 24)],
)
def test_standard_plates(wells: int, last_row: str, columns: int) -> None:
    """The number of wells determines rows and columns."""
    plate = Plate.from_standard_wells(wells)
    assert len(plate.row_names) * len(plate.column_names) == wells
    assert plate.row_names[-1] == last_row
    assert plate.column_names == [str(i + 1) for i in range(columns)]


def test_row_names_after_z() -> None:
    assert Plate.from_standard_wells(1536).row_names[24:] == [
        "Y", "Z", "AA", "AB", "AC", "AD", "AE", "AF",
    ]  # fmt: skip
    rows = Plate.from_standard_wells((703, 1)).row_names
    assert rows[51:53] == ["AZ", "BA"]
    assert rows[-2:] == ["ZZ", "AAA"]
    assert len(set(rows)) == 703
