"""Path components from user-given names."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome_writers.formats.path_names import (
    alphanumeric_component,
    invalid_on_windows,
    path_component,
)
from ome_writers.routing import make_distinct

ANY = st.text(max_size=400) | st.sampled_from(
    [
        "..",
        ".",
        "",
        " ",
        "a/b",
        "..\\x",
        "NUL",
        "com1.txt",
        "LPT¹",
        "a\0b",
        "trail. ",
        "🔬" * 300,
        "C:x",
        "__a",
    ]
)


@given(ANY)
def test_path_component_is_safe(name: str) -> None:
    """Not outside the folder, reserved, too long, or ending in characters that Windows removes."""
    safe = path_component(name)
    assert safe
    assert not re.search(r'[\x00-\x1f<>:"/\\|?*]', safe)
    assert safe == safe.strip(". ")
    assert len(safe.encode()) <= 255 - len("_12345") - len("..1234567890-12345678901234567890.tmp")
    assert not re.fullmatch(r"(?i)(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", safe)


@pytest.mark.parametrize("name", ["plain", "with space", "Ünïcode", "中文", "a.b", "🔬"])
def test_path_component_keeps_safe_names(name: str) -> None:
    assert path_component(name) == name


@given(ANY)
def test_alphanumeric_component_has_only_letters_and_digits(name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]+", alphanumeric_component(name, "row"))


@given(st.lists(st.sampled_from(["a", "A", "a_1", "A_2", "é", "e\u0301", "b"]), max_size=12))
def test_make_distinct_on_case_insensitive_file_systems(names: list[str]) -> None:
    """The first of colliding names stays."""
    made = make_distinct(names)
    assert len({name.casefold() for name in made}) == len(names)
    assert len(made) == len(names)
    if names:
        assert made[0] == names[0]


def test_make_distinct_avoids_later_names() -> None:
    assert make_distinct(["a", "a", "a_1"]) == ["a", "a_2", "a_1"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("C:/data/CON.ome.zarr", "'CON.ome.zarr' is the name of a device"),
        ("C:/data/nul.ome.tiff", "'nul.ome.tiff' is the name of a device"),
        ("C:/lpt1/run.ome.tiff", "'lpt1' is the name of a device"),
        ("C:/data/a:b.ome.tiff", "'a:b.ome.tiff' contains ':'"),
        ("C:/data/what?.ome.zarr", "'what?.ome.zarr' contains '?'"),
        ("C:/data/tab\t.ome.zarr", "contains '\\t'"),
        ("C:/data./run.ome.zarr", "'data.' ends with a dot or a space"),
        ("C:/data/run ", "'run ' ends with a dot or a space"),
        (
            "//server/share/" + "x" * 230,
            "paths of up to 265 characters, and long paths are not enabled",
        ),
    ],
)
def test_path_that_windows_cannot_store(path: str, reason: str) -> None:
    assert reason in invalid_on_windows(path, longest_key=20)


@pytest.mark.parametrize(
    "path",
    [
        "C:/data/run.ome.zarr",
        "//server/share/run.ome.zarr",
        "C:/data/../run.ome.zarr",
        "C:\\data\\console.ome.tiff",
        "C:/data/é 🔬 #%&'+,;=@[]{}~.ome.zarr",
        "C:/" + "x" * 236,
    ],
)
def test_path_that_windows_can_store(path: str) -> None:
    """Drives and network shares."""
    assert invalid_on_windows(path, longest_key=20) == ""


def test_length_is_not_limited_if_long_paths_are_enabled() -> None:
    assert invalid_on_windows("C:/" + "x" * 400) == ""
