"""`downsample` equals a reference that reduces one cell after the other with exact arithmetic."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from statistics import median
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ome_writers.downsampling as downsampling
from ome_writers.downsampling import Method, downsample, supports_dtype
from support.sweeps import SWEEPS

INTEGERS = ("uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64")
FLOATS = ("float16", "float32", "float64")
SHAPES = [(1, 1), (1, 7), (7, 1), (2, 2), (5, 4), (6, 9), (33, 18)]


def reference(planes: list[np.ndarray], method: str, factors: tuple[int, int]) -> np.ndarray:
    """Reduce cell by cell; NGFF readers place a level where this puts it."""
    planes = [plane for plane in planes if plane.any()] or planes
    (fy, fx), (height, width) = factors, planes[0].shape[:2]
    edge = [(0, -height % fy), (0, -width % fx)] + [(0, 0)] * (planes[0].ndim - 2)
    planes = [np.pad(plane, edge, mode="edge") for plane in planes]
    out = planes[0][::fy, ::fx].copy()
    for y, x, *rest in np.ndindex(*out.shape):
        cells = [p[fy * y : fy * (y + 1), fx * x : fx * (x + 1)] for p in planes]
        samples = [v for cell in cells for v in cell[(..., *rest)].ravel().tolist()]
        out[(y, x, *rest)] = reduce_samples(samples, method, rounded=out.dtype.kind in "iu")
    return out


def reduce_samples(samples: list[Any], method: str, *, rounded: bool) -> Any:
    if method in ("mean", "median") and rounded:
        exact = [Fraction(v) for v in samples]
        value = sum(exact) / len(exact) if method == "mean" else median(exact)
        return round(value)  # half to even
    if method in ("mean", "median"):
        return sum(samples) / len(samples) if method == "mean" else median(samples)
    if method == "mode":
        return Counter(samples).most_common(1)[0][0]  # of equally frequent ones the first
    return {"max": max, "min": min, "decimate": lambda values: values[0]}[method](samples)


def random_plane(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return values over the whole range of integers, of the magnitude of an image for others."""
    kind = np.dtype(dtype).kind
    if kind in "iu":
        info = np.iinfo(dtype)
        few = rng.integers(0, 4, shape).astype(dtype)
        full = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
        return few if rng.random() < 0.3 else full
    if kind == "b":
        return rng.random(shape) < 0.5
    real = rng.integers(0, 4096, shape) / 4  # sums are exact
    return (real + 1j * real[::-1] if kind == "c" else real).astype(dtype)


@settings(max_examples=300 if SWEEPS else 100, deadline=None)
@given(
    method=st.sampled_from(get_args(Method)),
    dtype=st.sampled_from((*INTEGERS, *FLOATS, "bool", "complex64")),
    shape=st.sampled_from(SHAPES),
    samples=st.sampled_from((0, 3)),
    factors=st.sampled_from(((2, 2), (1, 2), (2, 1), (1, 1))),
    depth=st.sampled_from((1, 2)),
    seed=st.integers(0, 2**16),
)
def test_downsample_equals_the_reference(
    method: Any, dtype: str, shape: Any, samples: int, factors: Any, depth: int, seed: int
) -> None:
    if not supports_dtype(method, np.dtype(dtype)):
        return
    rng = np.random.default_rng(seed)
    shape = (*shape, samples) if samples else shape
    planes = [random_plane(rng, dtype, shape) for _ in range(depth)]
    result = downsample(planes, method, factors)
    assert result.dtype == planes[0].dtype
    np.testing.assert_array_equal(result, reference(planes, method, factors))


@pytest.mark.parametrize("method", get_args(Method))
def test_blocks_of_rows_join_without_seams(method: Any, monkeypatch: Any) -> None:
    rng = np.random.default_rng(1)
    plane = rng.integers(0, 9, (101, 64)).astype("uint16")
    whole = downsample([plane], method, (2, 2))
    monkeypatch.setattr(downsampling, "_BLOCK_BYTES", 1)
    np.testing.assert_array_equal(downsample([plane], method, (2, 2)), whole)


def test_a_plane_of_zeros_does_not_darken_the_other_plane_of_a_pair() -> None:
    plane = np.full((4, 4), 100, np.uint16)
    for pair in ([plane, np.zeros_like(plane)], [np.zeros_like(plane), plane]):
        assert (downsample(pair, "mean", (2, 2)) == 100).all()
    assert not downsample([np.zeros_like(plane)] * 2, "mean", (2, 2)).any()


def test_planes_that_are_views_of_a_larger_frame_are_reduced() -> None:
    frame = np.random.default_rng(2).integers(0, 999, (20, 40)).astype("uint16")
    for view in (frame[3:17, 5:30], frame[:, ::-1], np.asfortranarray(frame)):
        expected = reference([view], "mean", (2, 2))
        np.testing.assert_array_equal(downsample([view], "mean", (2, 2)), expected)


def test_mean_keeps_the_mean_of_a_noisy_image() -> None:
    plane = np.random.default_rng(3).poisson(498, (1024, 1024)).astype("uint16")
    mean = plane.mean()
    for _ in range(4):
        plane = downsample([plane], "mean", (2, 2))
        assert abs(plane.mean() - mean) < 0.1


@pytest.mark.parametrize(
    ("method", "dtype"), [("mean", "bool"), ("median", "bool"), ("max", "complex64")]
)
def test_methods_that_a_dtype_does_not_support(method: Any, dtype: str) -> None:
    assert not supports_dtype(method, np.dtype(dtype))
    assert supports_dtype("mode", np.dtype(dtype))
    assert supports_dtype(method, np.dtype("uint16"))
