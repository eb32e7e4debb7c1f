"""Reduce planes by two along y and x, and pairs of planes along z: the pixels of a resolution level from its parent's.

A level is a function of the pixels of the level above, and of nothing else, so that writing, `repair` and `validate`
agree. Axes of odd extent repeat their last sample. In a pair along z, a plane of zeros counts as not written: the other
plane is reduced alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[Any]

ForEach: TypeAlias = Callable[[Callable[[int], object], Iterable[int]], None]
Method: TypeAlias = Literal["mean", "max", "min", "median", "decimate", "mode"]

_BLOCK_BYTES = 2**19  # of a plane; intermediate results then stay in the cache
_BUFFER_SAMPLES = 1024  # with its default of 8192, numpy copies shorter rows before it adds them
_Packed: TypeAlias = type[np.unsignedinteger[Any]]  # two neighbours along x as one integer
_PACKED: dict[str, tuple[_Packed, int]] = {"u1": (np.uint16, 8), "u2": (np.uint32, 16)}
_MAGIC = 0x4B400000  # the bits of 1.5 * 2**23 in float32; the next integers are the next numbers
_SORTING_NETWORKS: dict[int, tuple[tuple[int, int], ...]] = {  # Knuth 5.3.4; pairs to put in order
    1: (),
    2: ((0, 1),),
    4: ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)),
    8: (
        *((0, 2), (1, 3), (4, 6), (5, 7), (0, 4), (1, 5), (2, 6), (3, 7), (0, 1), (2, 3)),
        *((4, 5), (6, 7), (2, 4), (3, 5), (1, 4), (3, 6), (1, 2), (3, 4), (5, 6)),
    ),
}


def supports_dtype(method: Method, dtype: np.dtype[np.generic]) -> bool:
    """Return whether a method is defined for a dtype: bool has no mean, complex numbers have no order."""
    if dtype.kind == "b":
        return method not in ("mean", "median")
    return dtype.kind != "c" or method in ("mean", "decimate", "mode")


def call_each(function: Callable[[int], object], numbers: Iterable[int]) -> None:
    """Call a function for each number; a `ForEach` of one thread."""
    for number in numbers:
        function(number)


def downsample(
    planes: Sequence[Plane],
    method: Method,
    factors: tuple[int, int],
    for_each: ForEach = call_each,
) -> Plane:
    """Return one plane of the next level from one plane, or from the two of a pair along z.

    Planes are (y, x) or (y, x, samples), and `factors` 1 or 2 along y and x. ``"mean"`` and ``"median"`` of integers
    are rounded half to even: half up would add 0.125 grey values per level. ``"decimate"`` keeps the first sample,
    ``"mode"`` the most frequent one, of equally frequent ones the first. `for_each` may call the function for several
    blocks of rows at the same time.
    """
    written = planes
    if len(planes) > 1:
        written = [plane for plane in planes if plane[0].any() or plane.any()] or planes
    reduce = _METHODS[method]
    fy, fx = factors
    height, width = written[0].shape[:2]
    shape = (-(-height // fy), -(-width // fx), *written[0].shape[2:])
    out = np.empty(shape, written[0].dtype)
    rows = max(1, _BLOCK_BYTES // max(1, fy * written[0][0].nbytes))

    def reduce_block(start: int) -> None:
        block = [
            _with_edge(plane[fy * start : fy * (start + rows)], factors)
            for plane in (written[:1] if method == "decimate" else written)
        ]
        before = np.setbufsize(_BUFFER_SAMPLES)
        try:
            reduce(block, factors, out[start : start + rows])
        finally:
            np.setbufsize(before)

    for_each(reduce_block, range(0, len(out), rows))
    return out


def _with_edge(block: Plane, factors: tuple[int, int]) -> Plane:
    """Return a block whose extents are multiples of the factors; the last row and column are repeated."""
    missing = [-n % f for n, f in zip(block.shape, factors, strict=False)]
    if not any(missing):
        return block
    return np.pad(block, [(0, n) for n in missing] + [(0, 0)] * (block.ndim - 2), mode="edge")


def _neighbours(block: Sequence[Plane], factors: tuple[int, int]) -> list[Plane]:
    """Return the samples of each cell, first to last, as arrays of the shape of the result."""
    fy, fx = factors
    return [plane[y::fy, x::fx] for plane in block for y in range(fy) for x in range(fx)]


def _mean(block: Sequence[Plane], factors: tuple[int, int], out: Plane) -> None:
    kind = out.dtype.str[1:]
    packed = kind in _PACKED and factors == (2, 2) and out.ndim == 2
    if packed and all(plane.flags.c_contiguous for plane in block):
        _round_mean(_packed_sum(block, *_PACKED[kind]), 4 * len(block), out)
    else:
        _mean_of(_neighbours(block, factors), out)


def _packed_sum(block: Sequence[Plane], dtype: _Packed, bits: int) -> Plane:
    """Return the sums of 2 x 2 samples of `bits`."""
    pairs = [plane.view(dtype) for plane in block]
    mask = (1 << bits) - 1
    total: Plane
    if max(plane.max() for plane in block) <= mask // (4 * len(block)):  # sums fit into `bits`
        total = pairs[0][::2] + pairs[0][1::2]
        for pair in pairs[1:]:
            total += pair[::2]
            total += pair[1::2]
        total *= mask + 2  # the upper half becomes the sum of both
        total >>= bits
        return total
    total = pairs[0] & mask
    for pair in pairs[1:]:
        total += pair & mask
    for pair in pairs:
        total += pair >> bits
    return total[::2] + total[1::2]


def _mean_of(samples: Sequence[Plane], out: Plane) -> None:
    """Write the mean of a power of two of samples."""
    count, dtype = len(samples), out.dtype
    if dtype.kind in "fc":
        wide = np.result_type(dtype, np.float32 if dtype.itemsize == 2 else np.float64)
        total = np.zeros(out.shape, wide)
        for sample in samples:
            total += np.multiply(sample, 1 / count, dtype=wide)  # exact, and cannot overflow
        out[...] = total
    elif dtype.itemsize == 8:
        # no wider integer: add the quotients, and divide the sum of the remainders
        bits = count.bit_length() - 1
        total = sum((sample >> bits for sample in samples), np.zeros(out.shape, dtype))
        rest = sum((sample & (count - 1) for sample in samples), np.zeros(out.shape, dtype))
        total += rest >> bits
        rest &= count - 1
        out[...] = total + ((rest + (total & 1) + (count // 2 - 1)) >> bits) if bits else total
    else:
        total = np.zeros(out.shape, f"{dtype.kind}{2 * dtype.itemsize}")
        for sample in samples:
            total += sample
        _round_mean(total, count, out)


def _round_mean(total: Plane, count: int, out: Plane) -> None:
    """Write `total` divided by `count`, a power of two, rounded half to even."""
    if total.itemsize == 4:
        total += _MAGIC
        # The float32 numbers of the size of the result are the multiples of `count`, so that the addition rounds.
        rounded = total.view(np.float32)
        rounded += np.float32(1.5 * 2**23 * (count - 1))
        out[...] = total  # the last bits of the mantissa are the quotient
        return
    bits = count.bit_length() - 1
    if bits:
        odd = total >> bits
        odd &= 1
        total += odd
        total += count // 2 - 1
        total >>= bits
    out[...] = total


def _extreme(choose: Callable[..., Plane]) -> Callable[..., None]:
    def reduce(block: Sequence[Plane], factors: tuple[int, int], out: Plane) -> None:
        plane = block[0] if len(block) == 1 else choose(*block)
        if factors[0] == 2:  # whole rows first: they are contiguous
            plane = choose(plane[::2], plane[1::2])
        if factors[1] == 2:
            choose(plane[:, ::2], plane[:, 1::2], out=out)
        else:
            out[...] = plane

    return reduce


def _median(block: Sequence[Plane], factors: tuple[int, int], out: Plane) -> None:
    samples = _neighbours(block, factors)
    for i, j in _SORTING_NETWORKS[len(samples)]:
        low = np.minimum(samples[i], samples[j])
        samples[i], samples[j] = low, np.maximum(samples[i], samples[j])
    middle = len(samples) // 2
    _mean_of(samples[max(0, middle - 1) : middle + 1], out)


def _mode(block: Sequence[Plane], factors: tuple[int, int], out: Plane) -> None:
    samples = _neighbours(block, factors)
    out[...] = samples[0]
    most = np.zeros(out.shape, np.uint8)
    for i, sample in enumerate(samples[:-1]):
        # earlier ones are either equal and counted, or different
        count = np.zeros(out.shape, np.uint8)
        for other in samples[i + 1 :]:
            count += sample == other
        np.copyto(out, sample, where=count > most)
        np.maximum(most, count, out=most)


def _decimate(block: Sequence[Plane], factors: tuple[int, int], out: Plane) -> None:
    out[...] = _neighbours(block, factors)[0]


_METHODS: dict[str, Callable[[Sequence[Plane], tuple[int, int], Plane], None]] = {
    "mean": _mean,
    "max": _extreme(np.maximum),
    "min": _extreme(np.minimum),
    "median": _median,
    "decimate": _decimate,
    "mode": _mode,
}
