"""Limits on chunks, shards, channels and images, checked before a plan is made."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ome_writers.errors import UnsupportedError
from ome_writers.routing.cameras import is_camera_axis
from ome_writers.settings import Dimension
from ome_writers.untrusted import MAX_IMAGES

MAX_CHUNK_BYTES = 2**34
MAX_CHUNKS_PER_SHARD = 2**24  # the shard index has 16 bytes per chunk
MAX_CHANNELS = 2**20  # each has an entry in the metadata
MAX_CHUNKS_PER_PLANE = 2**20


def refuse_many_channels(dimensions: Sequence[Dimension], planes: int) -> None:
    """Raise UnsupportedError for more than `MAX_CHANNELS` channels, counting cameras and `planes` for each channel."""
    counts = (d.count or 1 for d in dimensions if d.type == "channel" or is_camera_axis(d))
    channels = math.prod(counts) * planes
    if channels > MAX_CHANNELS:
        raise UnsupportedError(
            f"An image may have {MAX_CHANNELS:,} channels, and this one would have {channels:,}. Reduce the "
            f"channels or cameras."
        )


def refuse_many_images(acquired: Sequence[Dimension], collected: Sequence[Dimension]) -> None:
    """Raise UnsupportedError for more images than readers accept; the indices of `collected` axes become images."""
    axes = [d for d in acquired if d.type == "position" or d in collected]
    images = math.prod(d.count or 1 for d in axes)
    if images > MAX_IMAGES:
        raise UnsupportedError(
            f"A dataset may have {MAX_IMAGES:,} images, and this one would have {images:,}. Split the "
            f"acquisition, or reduce the axes {[d.name for d in axes]}."
        )


def refuse_large_chunks(
    dtype: np.dtype[Any], frame: Sequence[int], chunks: Sequence[int], shards: Sequence[int]
) -> None:
    """Raise UnsupportedError for chunks of several frames that do not fit into memory, and for too many chunks."""
    nbytes = math.prod(chunks) * dtype.itemsize
    if nbytes > MAX_CHUNK_BYTES and math.prod(chunks[:-2]) > 1:
        raise UnsupportedError(
            f"A chunk of several frames may have {MAX_CHUNK_BYTES:,} bytes, and one of shape {tuple(chunks)} has "
            f"{nbytes:,}. Set a smaller chunk_size."
        )
    tiles = math.prod(math.ceil(n / c) for n, c in zip(frame, chunks[-2:], strict=True))
    if tiles > MAX_CHUNKS_PER_PLANE:
        raise UnsupportedError(
            f"A frame may have {MAX_CHUNKS_PER_PLANE:,} chunks, and one of shape {tuple(frame)} would have "
            f"{tiles:,}. Set a larger chunk_size."
        )
    count = math.prod(s // c for s, c in zip(shards, chunks, strict=True))
    if count > MAX_CHUNKS_PER_SHARD:
        raise UnsupportedError(
            f"A shard may have {MAX_CHUNKS_PER_SHARD:,} chunks, and one of shape {tuple(shards)} has {count:,}. "
            f"Set a smaller shard_size_chunks."
        )
