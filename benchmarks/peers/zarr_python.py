"""zarr-python 3 with its own codec pipeline or that of zarrs (variant `zarrs`): assignment of whole chunks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from benchmarks.peers.chunk_buffer import ChunkBuffer, Region
from benchmarks.verification import zarr_frame
from benchmarks.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.workload import Workload


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return a writer of one array; the codec pipeline is set for the whole process."""
    if variant == "zarrs":
        import zarrs  # noqa: F401  -- an ImportError instead of a silent fallback

        zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"})
    path = folder / "array.zarr"
    axes = workload.storage_axes
    tile = workload.tile or (workload.height, workload.width)
    shards = None
    if workload.sharded:
        shards = (*(a.chunk * (a.shard or 1) for a in axes), workload.height, workload.width)
    array = zarr.create_array(
        store=str(path),
        shape=(*(axis.count for axis in axes), workload.height, workload.width),
        chunks=(*(min(axis.chunk, axis.count) for axis in axes), *tile),
        shards=shards,
        dtype="uint16",
        compressors=_compressor(workload),
    )

    def write(region: Region, block: NDArray[np.uint16]) -> None:
        array[region] = block

    written = 0

    def write_frame(frame: NDArray[np.uint16]) -> None:
        nonlocal written
        array[written] = frame
        written += 1

    chunk_buffer = ChunkBuffer(workload, write)
    single = chunk_buffer.single and len(workload.axes) == 1
    append = write_frame if single else chunk_buffer.append
    return Writer(append, lambda: None, lambda n: zarr_frame(path, workload.storage_index(n)))


def _compressor(workload: Workload) -> Any:
    return {
        None: None,
        "blosc-lz4": BloscCodec(cname="lz4", clevel=5, shuffle="shuffle"),
        "blosc-zstd": BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
        "blosc-lz4-bitshuffle": BloscCodec(cname="lz4", clevel=5, shuffle="bitshuffle"),
        "blosc-zstd-bitshuffle": BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle"),
        "zstd": ZstdCodec(level=3),
    }[workload.compression]
