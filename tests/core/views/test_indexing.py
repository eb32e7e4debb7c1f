"""Basic indexing of views."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome_writers.views.indexing import normalize_index, select_indices

ends = st.none() | st.integers(-12, 12)
steps = st.none() | st.integers(-4, 4).filter(bool)


@given(ends, ends, steps, st.integers(0, 8))
def test_slice_inside_shape_selects_like_numpy(start: Any, stop: Any, step: Any, size: int) -> None:
    selected = select_indices(slice(start, stop, step), size, size, strict=False, name="t")
    assert isinstance(selected, range)
    assert list(selected) == list(range(size))[start:stop:step]


@pytest.mark.parametrize(
    ("key", "reached", "planned", "indices"),
    [
        (slice(4, 5), 2, 6, [4]),
        (slice(0, 5), 2, 6, [0, 1, 2, 3, 4]),
        (slice(0, 9), 2, 6, [0, 1, 2, 3, 4, 5]),
        (slice(7, 8), 2, 6, []),
        (slice(None), 2, 6, [0, 1]),
        (slice(-1, None), 2, 6, [1]),
        (slice(1, 6, 2), 2, 6, [1, 3, 5]),
        (slice(4, 5), 2, None, [4]),
        (slice(0, 9), 2, None, [0, 1]),
        (slice(None, None, -1), 2, 6, [1, 0]),
        (slice(0, 1), 0, 6, [0]),
    ],
)
def test_slice_may_stop_after_extent_reached(
    key: slice, reached: int, planned: int | None, indices: list[int]
) -> None:
    """Up to the planned extent; on an unbounded axis only if it also starts after the extent reached."""
    for strict in (False, True):
        assert list(select_indices(key, reached, planned, strict=strict, name="t")) == indices  # type: ignore[arg-type]  # a range


def test_negative_integer_is_relative_to_extent_reached() -> None:
    assert select_indices(-1, 3, 9, strict=False, name="t") == 2
    with pytest.raises(IndexError, match="index -4 is out of bounds for axis 't'"):
        select_indices(-4, 3, 9, strict=False, name="t")


def test_strict_refuses_integer_outside_of_extent_reached() -> None:
    assert select_indices(3, 3, 9, strict=False, name="t") == 3
    assert select_indices(99, 3, None, strict=False, name="t") == 99
    with pytest.raises(IndexError, match="index 3 is out of bounds for axis 't' with size 3"):
        select_indices(3, 3, 9, strict=True, name="t")
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 't' with size 9"):
        select_indices(9, 3, 9, strict=False, name="t")


def test_ellipsis_expands_to_missing_axes() -> None:
    full = slice(None, None, None)
    assert normalize_index((1, ..., 2), 4) == [1, full, full, 2]
    assert normalize_index((1, ..., 2), 2) == [1, 2]
    assert normalize_index(np.int64(3), 2) == [3, full]


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ((0, 0, 0), IndexError, "too many indices: the view has 2 axes, but 3 were indexed"),
        ((..., ...), IndexError, "an index can only have a single ellipsis"),
        (None, TypeError, "supports integers, slices, .* as indices, got None"),
        ([True, False], TypeError, "as indices, got True"),
        ([slice(1)], TypeError, "as indices, got \\[slice"),
        (True, TypeError, "as indices, got True"),
        (1.0, TypeError, "supports integers, slices, Ellipsis"),
    ],
)
def test_other_indices_are_refused(key: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        normalize_index(key, 2)


def test_list_selects_along_its_axis() -> None:
    assert normalize_index((0, [2, -1]), 4) == [0, [2, -1], slice(None), slice(None)]
    assert normalize_index(np.array([1, 0]), 2) == [[1, 0], slice(None)]
    assert select_indices([2, -1], 4, 6, strict=False, name="c") == [2, 3]
    with pytest.raises(IndexError, match="index 7 is out of bounds for axis 'c' with size 6"):
        select_indices([0, 7], 4, 6, strict=False, name="c")
    with pytest.raises(IndexError, match="can only have a single list"):
        normalize_index(([0], [1]), 4)


def test_name_stands_for_its_index() -> None:
    names = {"t": range(3), "c": ["DAPI", "FITC"], "p": ["a", "DAPI"]}
    assert normalize_index((0, "FITC"), 5, lambda: names)[:2] == [0, 1]
    assert normalize_index("FITC", 5, lambda: names)[:3] == [slice(None), 1, slice(None)]
    assert normalize_index((..., ["a"], 0, 0), 5, lambda: names) == [*[slice(None)] * 2, [0], 0, 0]
    with pytest.raises(IndexError, match="'DAPI' is a name along the axes 'c' and 'p'"):
        normalize_index("DAPI", 5, lambda: names)
    with pytest.raises(IndexError, match=r"names are DAPI, FITC\. Did you mean 'FITC'"):
        normalize_index((0, "FITCH"), 5, lambda: names)
    with pytest.raises(IndexError, match="'FITC' is not a name along axis 't'; it has none"):
        normalize_index(("FITC", 0), 5, lambda: names)
