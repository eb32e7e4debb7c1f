"""Axes and image of a file, or of files, without metadata, whose planes are stored one by one."""

from __future__ import annotations

from collections.abc import Sequence

from ome_writers.dataset import ImageSpec, LevelSpec
from ome_writers.errors import UnsupportedError
from ome_writers.settings import Channel, Dimension, Position

_INDEX_AXES = "tcz"


def axes_of_shape(shape: Sequence[int], path: object, known: str = "") -> tuple[Dimension, ...]:
    """Return the dimensions of a shape that ends with y and x.

    `known` names the others, of t, c and z, with ``?`` for an axis without a name; those without get the last names
    that are not used.

    Raises UnsupportedError if there are more axes than t, c, z, y, x.
    """
    count = len(shape) - 2
    if not 0 <= count <= len(_INDEX_AXES):
        raise UnsupportedError(
            f"{path} has {len(shape)} axes; supported are 2 to {len(_INDEX_AXES) + 2}, and RGB samples."
        )
    named = known.replace("?", "")
    names = [*known] if len(set(named)) == len(named) and known else ["?"] * count
    unused = [name for name in _INDEX_AXES if name not in names]
    unused = unused[len(unused) - names.count("?") :]
    names = [unused.pop(0) if name == "?" else name for name in names]
    return tuple(
        Dimension(name=n, count=extent) for n, extent in zip((*names, "y", "x"), shape, strict=True)
    )


def image_of_planes(
    key: str,
    name: str,
    dimensions: Sequence[Dimension],
    dtype: str,
    *,
    samples: int = 1,
    channels: Sequence[Channel] | None = None,
    position: Position | None = None,
    chunks: tuple[int, ...] | None = None,
    shards: tuple[int, ...] | None = None,
    compression: str = "none",
) -> ImageSpec:
    """Return an image of one level; y and x are the last of `dimensions`.

    By default, `channels` are those of the channel axis, and its planes are stored uncompressed, one by one.
    """
    shape = tuple(dim.count or 1 for dim in dimensions)
    level = LevelSpec(
        key=key,
        shape=shape,
        dtype=dtype,
        chunks=chunks or (*[1] * (len(shape) - 2), *shape[-2:]),
        shards=shards,
        compression=compression,
        scale=tuple(dim.scale for dim in dimensions),
        translation=(0.0,) * len(shape),
        dimensions=tuple(dimensions),
        samples=samples,
    )
    if channels is None:
        coords = [coord for dim in dimensions for coord in dim.coords or ()]
        channels = [coord for coord in coords if isinstance(coord, Channel)]
    return ImageSpec(
        key=key,
        name=name,
        levels=(level,),
        channels=tuple(channels),
        position=position,
        index_axes=tuple(dim.name for dim in dimensions[:-2]),
    )
