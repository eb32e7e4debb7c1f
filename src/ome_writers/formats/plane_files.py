"""The image of a file, or of files, whose planes are stored uncompressed, one by one."""

from __future__ import annotations

from collections.abc import Sequence

from ome_writers.dataset import ImageSpec, LevelSpec
from ome_writers.settings import Channel, Dimension, Position


def image_of_planes(
    key: str,
    name: str,
    dimensions: Sequence[Dimension],
    dtype: str,
    *,
    samples: int = 1,
    channels: Sequence[Channel] | None = None,
    position: Position | None = None,
) -> ImageSpec:
    """Return an image whose planes are stored uncompressed, one by one; y and x are the last of `dimensions`.

    `channels` are by default those of the channel axis.
    """
    shape = tuple(dim.count or 1 for dim in dimensions)
    level = LevelSpec(
        key=key,
        shape=shape,
        dtype=dtype,
        chunks=(*[1] * (len(shape) - 2), *shape[-2:]),
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
