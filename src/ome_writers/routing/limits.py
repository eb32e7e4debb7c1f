"""What is larger than any memory or document is refused before anything is planned."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.routing.cameras import is_camera_axis
from ome_writers.untrusted import MAX_IMAGES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from ome_writers.settings import Dimension

__all__ = ["refuse_immense", "refuse_many_channels", "refuse_many_images"]

MOST_CHUNK_BYTES = 2**34
MOST_CHUNKS = 2**24  # a shard: its index alone takes 16 bytes for each
MOST_CHANNELS = 2**20  # each has its entry in the documents
MAX_CHUNKS_PER_PLANE = 2**20


def refuse_many_channels(dimensions: Sequence[Dimension], planes: int) -> None:
    """Refuse channels, cameras among them and `planes` for each, that no document can list."""
    counts = (d.count or 1 for d in dimensions if d.type == "channel" or is_camera_axis(d))
    channels = math.prod(counts) * planes
    if channels > MOST_CHANNELS:
        raise UnsupportedError(
            f"An image may have {MOST_CHANNELS} channels, and this one would have {channels}."
        )


def refuse_many_images(acquired: Sequence[Dimension], collected: Sequence[Dimension]) -> None:
    """Refuse more images than any reader here lists; `collected` axes become images."""
    axes = [d for d in acquired if d.type == "position" or d in collected]
    images = math.prod(d.count or 1 for d in axes)
    if images > MAX_IMAGES:
        raise UnsupportedError(
            f"A dataset may have {MAX_IMAGES:,} images, and this one would have {images:,}. Split the "
            f"acquisition, or reduce the axes {[d.name for d in axes]}."
        )


def refuse_immense(
    dtype: np.dtype[Any], frame: Sequence[int], chunks: Sequence[int], shards: Sequence[int]
) -> None:
    """Refuse chunks and shards that are put together from many frames and fit no memory, and too many of them."""
    nbytes = math.prod(chunks) * dtype.itemsize
    if nbytes > MOST_CHUNK_BYTES and math.prod(chunks[:-2]) > 1:
        raise UnsupportedError(
            f"A chunk over several frames may have {MOST_CHUNK_BYTES} bytes, and one of shape {tuple(chunks)} has "
            f"{nbytes}. Set a smaller chunk_size."
        )
    tiles = math.prod(math.ceil(n / c) for n, c in zip(frame, chunks[-2:], strict=True))
    if tiles > MAX_CHUNKS_PER_PLANE:
        raise UnsupportedError(
            f"A frame may be cut into {MAX_CHUNKS_PER_PLANE:,} chunks, and one of shape {tuple(frame)} would be "
            f"cut into {tiles:,}. Set a larger chunk_size."
        )
    count = math.prod(s // c for s, c in zip(shards, chunks, strict=True))
    if count > MOST_CHUNKS:
        raise UnsupportedError(
            f"A shard may have {MOST_CHUNKS} chunks, and one of shape {tuple(shards)} has {count}. Set a smaller "
            f"shard_size_chunks."
        )
