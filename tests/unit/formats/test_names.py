"""Names of any kind as path components."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome_writers.formats.path_names import alphanumeric_component, make_distinct, path_component

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
def test_a_name_becomes_one_safe_component(name: str) -> None:
    """No name leads elsewhere, is reserved, is too long, or ends in what Windows cuts off."""
    safe = path_component(name)
    assert safe
    assert not re.search(r'[\x00-\x1f<>:"/\\|?*]', safe)
    assert safe == safe.strip(". ")
    assert len(safe.encode()) <= 255 - len("_12345") - len("..1234567890-12345678901234567890.tmp")
    assert not re.fullmatch(r"(?i)(con|prn|aux|nul|(com|lpt)[0-9¹²³])(\..*)?", safe)


@pytest.mark.parametrize("name", ["plain", "with space", "Ünïcode", "中文", "a.b", "🔬"])
def test_a_harmless_name_stays(name: str) -> None:
    """Spaces inside, dots inside and letters of any script are left alone."""
    assert path_component(name) == name


@given(ANY)
def test_a_row_has_a_name_that_validators_take(name: str) -> None:
    """A row's or column's name is made of letters and digits."""
    assert re.fullmatch(r"[A-Za-z0-9]+", alphanumeric_component(name, "row"))


@given(st.lists(st.sampled_from(["a", "A", "a_1", "A_2", "é", "e\u0301", "b"]), max_size=12))
def test_names_that_collide_are_made_distinct(names: list[str]) -> None:
    """What one file system takes for the same name gets another one; the first keeps its own."""
    made = make_distinct(names)
    assert len({name.casefold() for name in made}) == len(names)
    assert len(made) == len(names)
    if names:
        assert made[0] == names[0]


def test_a_name_that_was_given_is_not_taken_by_another() -> None:
    """A name made distinct never is one that a later position has by itself."""
    assert make_distinct(["a", "a", "a_1"]) == ["a", "a_2", "a_1"]
