"""The resolution levels of an array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ome_writers.dataset import LevelSpec, Reduction
from ome_writers.errors import UnsupportedError
from ome_writers.settings import FormatSettings, Pyramid


def plan_levels(
    pyramid: Pyramid | None, array: LevelSpec, format_: FormatSettings
) -> tuple[LevelSpec, ...]:
    """Return the smaller levels of an array, largest first; `format_` may determine the chunks of their planes.

    Raises UnsupportedError if the method is not defined for the dtype, or there are more levels than the frame can be
    halved.
    """
    if pyramid is None:
        return ()
    from ome_writers.downsampling import supports_dtype  # not loaded without levels

    if not supports_dtype(pyramid.method, array.numpy_dtype):
        raise UnsupportedError(
            f"pyramid: method {pyramid.method!r} is not defined for dtype {array.dtype!r}. Use 'mode' or "
            f"'decimate'."
        )
    reduced = _reduced_axes(pyramid, array)
    levels: list[LevelSpec] = []
    shape, factors = array.shape, [1] * len(array.shape)
    while len(levels) != pyramid.levels:
        if max(shape[-2:]) <= (pyramid.smallest if pyramid.levels == "auto" else 1):
            break
        for axis in reduced:
            if shape[axis] > 1 or axis == array.growing:
                factors[axis] *= 2
        shape = tuple(
            -(-n // 2) if axis in reduced and axis != array.growing else n
            for axis, n in enumerate(shape)
        )
        centered = pyramid.method != "decimate"
        offsets = tuple((f - 1) / 2 if centered else 0.0 for f in factors)
        reduction = Reduction(tuple(factors), offsets, pyramid)
        level = reduced_level(array, shape, reduction.factors, offsets)
        if format_.divides_planes:
            tile = format_.chunk_of_plane(*level.frame_shape, pyramid)
            level = replace(level, chunks=(*level.chunks[:-2], *tile))
        levels.append(replace(level, reduction=reduction))
    if pyramid.levels not in ("auto", len(levels)):
        raise UnsupportedError(
            f"pyramid: a frame of {array.shape[-2]} x {array.shape[-1]} pixels can be halved {len(levels)} times, "
            f"got levels={pyramid.levels}. Reduce levels, or set levels='auto'."
        )
    return tuple(levels)


def _reduced_axes(pyramid: Pyramid, array: LevelSpec) -> list[int]:
    rank = len(array.shape)
    depth = [i for i, d in enumerate(array.dimensions[:-2]) if d.type == "space"]
    return [*(depth if "z" in pyramid.axes else ()), rank - 2, rank - 1]


def reduced_level(
    full: LevelSpec, shape: tuple[int, ...], factors: Sequence[float], offsets: Sequence[float]
) -> LevelSpec:
    """Return a level of the array `full`, with chunks and shards clipped to its shape; see `Reduction`."""
    steps = zip(full.scale, factors, strict=True)
    origins = zip(full.translation, full.scale, offsets, strict=True)
    return replace(
        with_shape(full, shape),
        scale=tuple(None if s is None and f == 1 else f * (s or 1.0) for s, f in steps),
        translation=tuple(t + (s or 1.0) * o for t, s, o in origins),
    )


def with_shape(array: LevelSpec, shape: tuple[int, ...]) -> LevelSpec:
    """Return an array of another shape, with the same chunks and shards, clipped to the shape."""
    bounded = [(n, axis != array.growing) for axis, n in enumerate(shape)]
    chunks = tuple(
        min(c, n) if is_bounded else c
        for c, (n, is_bounded) in zip(array.chunks, bounded, strict=True)
    )
    shards = None
    if array.shards is not None:
        counts = [s // c for s, c in zip(array.shards, array.chunks, strict=True)]
        shards = tuple(
            c * (min(count, -(-n // c)) if is_bounded else count)
            for c, count, (n, is_bounded) in zip(chunks, counts, bounded, strict=True)
        )
    return replace(array, shape=shape, chunks=chunks, shards=shards)
