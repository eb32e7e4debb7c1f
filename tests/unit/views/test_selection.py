"""Indices of a view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome_writers.views.indexing import one_key_an_axis, pick

ends = st.none() | st.integers(-12, 12)
steps = st.none() | st.integers(-4, 4).filter(bool)


@given(ends, ends, steps, st.integers(0, 8))
def test_a_slice_within_is_that_of_numpy(start: Any, stop: Any, step: Any, size: int) -> None:
    """Where all that is planned was reached, slices select what they select of a numpy array."""
    picked = pick(slice(start, stop, step), size, size, strict=False, name="t")
    assert isinstance(picked, range)
    assert list(picked) == list(range(size))[start:stop:step]


@pytest.mark.parametrize(
    ("key", "reached", "planned", "places"),
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
def test_a_slice_may_end_beyond_what_was_reached(
    key: slice, reached: int, planned: int | None, places: list[int]
) -> None:
    """A slice goes on to its stop up to what is planned; without an end only when it starts beyond."""
    for strict in (False, True):
        assert list(pick(key, reached, planned, strict=strict, name="t")) == places  # type: ignore[arg-type]  # a range


def test_integers_count_from_what_was_reached() -> None:
    """A negative integer counts from what was reached, not from what is planned."""
    assert pick(-1, 3, 9, strict=False, name="t") == 2
    with pytest.raises(IndexError, match="index -4 is out of bounds for axis 't'"):
        pick(-4, 3, 9, strict=False, name="t")


def test_strict_refuses_an_integer_that_was_not_reached() -> None:
    """With strict an integer outside of the shape raises; without, it only may not pass what is planned."""
    assert pick(3, 3, 9, strict=False, name="t") == 3
    assert pick(99, 3, None, strict=False, name="t") == 99
    with pytest.raises(IndexError, match="index 3 is out of bounds for axis 't' with size 3"):
        pick(3, 3, 9, strict=True, name="t")
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 't' with size 9"):
        pick(9, 3, 9, strict=False, name="t")


def test_an_ellipsis_fills_up() -> None:
    """An Ellipsis stands for all axes that are not named, also for none."""
    everything = slice(None, None, None)
    assert one_key_an_axis((1, ..., 2), 4) == [1, everything, everything, 2]
    assert one_key_an_axis((1, ..., 2), 2) == [1, 2]
    assert one_key_an_axis(np.int64(3), 2) == [3, everything]


@pytest.mark.parametrize(
    ("key", "error", "message"),
    [
        ((0, 0, 0), IndexError, "too many indices: the view has 2 axes, but 3 were indexed"),
        ((..., ...), IndexError, "an index can only have a single ellipsis"),
        (None, TypeError, "takes integers, slices and Ellipsis as indices, got None"),
        ([0, 1], TypeError, "takes integers, slices and Ellipsis"),
        (True, TypeError, "takes integers, slices and Ellipsis as indices, got True"),
        (1.0, TypeError, "takes integers, slices and Ellipsis"),
    ],
)
def test_other_keys_are_refused(key: Any, error: type[Exception], message: str) -> None:
    """Keys that a view does not understand are named in the error."""
    with pytest.raises(error, match=message):
        one_key_an_axis(key, 2)
