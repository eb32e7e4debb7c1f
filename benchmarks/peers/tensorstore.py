"""TensorStore, driver `zarr3`: writes of whole chunks or shards, awaited at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import tensorstore as ts

from benchmarks.peers.chunk_buffer import ChunkBuffer, Region
from benchmarks.verification import zarr_frame
from benchmarks.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from benchmarks.workload import Workload

_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return a writer of one array."""
    path = folder / "array.zarr"
    store = ts.open(_spec(workload, path), create=True).result()
    pending: list[Any] = []

    def write(region: Region, block: NDArray[np.uint16]) -> None:
        target = store[region]
        pending.append(target.write(block, can_reference_source_data_indefinitely=True))

    def write_frame(frame: NDArray[np.uint16]) -> None:
        future = store[len(pending)].write(frame)
        future.copy.result()
        pending.append(future)

    def close() -> None:
        for future in pending:
            future.result()

    chunk_buffer = ChunkBuffer(workload, write)
    single = chunk_buffer.single and len(workload.axes) == 1
    append = write_frame if single else chunk_buffer.append
    return Writer(append, close, lambda n: zarr_frame(path, workload.storage_index(n)))


def _spec(workload: Workload, path: Path) -> dict[str, Any]:
    axes = workload.storage_axes
    tile = workload.tile or (workload.height, workload.width)
    chunk = [*(min(axis.chunk, axis.count) for axis in axes), *tile]
    codecs: list[dict[str, Any]] = [_BYTES, *_compressor(workload)]
    grid = chunk
    if workload.sharded:
        grid = [*(axis.chunk * (axis.shard or 1) for axis in axes), workload.height, workload.width]
        sharding = {
            "chunk_shape": chunk,
            "codecs": codecs,
            "index_codecs": [_BYTES, {"name": "crc32c"}],
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": sharding}]
    return {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(path)},
        # Disable the fsync of each file: no other competitor calls it.
        "context": {"file_io_sync": False},
        "metadata": {
            "shape": [*(axis.count for axis in axes), workload.height, workload.width],
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": grid}},
            "data_type": "uint16",
            "codecs": codecs,
        },
    }


def _compressor(workload: Workload) -> list[dict[str, Any]]:
    blosc = {"shuffle": "shuffle", "typesize": 2, "blocksize": 0}
    return {
        None: [],
        "blosc-lz4": [{"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5, **blosc}}],
        "blosc-zstd": [{"name": "blosc", "configuration": {"cname": "zstd", "clevel": 1, **blosc}}],
        **{
            f"blosc-{name}-bitshuffle": [
                {
                    "name": "blosc",
                    "configuration": {
                        **blosc,
                        "cname": name,
                        "clevel": level,
                        "shuffle": "bitshuffle",
                    },
                }
            ]
            for name, level in (("lz4", 5), ("zstd", 1))
        },
        "zstd": [{"name": "zstd", "configuration": {"level": 3}}],
    }[workload.compression]
