"""Views of arrays that are not from a stream."""

from __future__ import annotations

import numpy as np
import pytest

from ome_writers import StreamView


def arrays(count: int = 3) -> list[np.ndarray]:
    """Return arrays (2, 3, 4, 5) whose values are all different."""
    return [np.arange(120).reshape(2, 3, 4, 5) + 1000 * n for n in range(count)]


def test_images_are_stacked_along_first_axis() -> None:
    view = StreamView(arrays())
    assert view.shape == (3, 2, 3, 4, 5)
    assert view.dims == ("d0", "d1", "d2", "d3", "d4")
    assert view.coords["d0"] == range(3)
    assert np.array_equal(view, np.stack(arrays()))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_position_axis(axis: int) -> None:
    names = ["t", "c", "y", "x"]
    names.insert(axis, "p")
    view = StreamView(arrays(), position_axis=axis, dimension_labels=names)
    assert view.dims == tuple(names)
    assert np.array_equal(view, np.stack(arrays(), axis=axis))


def test_single_array_without_position_axis() -> None:
    (array,) = arrays(1)
    view = StreamView([array], position_axis=None, dimension_labels=("t", "c", "y", "x"))
    assert np.array_equal(view, array)
    assert view.dtype == array.dtype
    assert len(view) == 2


@pytest.mark.parametrize("permutation", [(1, 2, 0), (2, 0, 1), (1, 2, 0, 3, 4)])
def test_acquisition_order_perm(permutation: tuple[int, ...]) -> None:
    """Axis i of the view is axis acquisition_order_perm[i] of the arrays."""
    array = np.arange(720).reshape(2, 3, 4, 5, 6)
    view = StreamView([array], position_axis=None, acquisition_order_perm=permutation)
    assert np.array_equal(view, array.transpose(*permutation[:3], 3, 4))


def test_smaller_arrays_read_as_zero_outside() -> None:
    large, small = np.ones((3, 4, 5)), np.ones((2, 4, 5))
    view = StreamView([large, small])
    assert view.shape == (2, 3, 4, 5)
    assert view[1, :, 0, 0].tolist() == [1, 1, 0]


def test_invalid_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="needs at least one array"):
        StreamView([])
    with pytest.raises(ValueError, match="must have the same axes"):
        StreamView([np.zeros((2, 3, 4)), np.zeros((3, 4))])
    with pytest.raises(ValueError, match="dimension_labels must name 5 axes"):
        StreamView(arrays(), dimension_labels=("t", "y", "x"))
    with pytest.raises(ValueError, match="must be a permutation of"):
        StreamView(arrays(), acquisition_order_perm=(0, 0))
