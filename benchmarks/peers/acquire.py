"""acquire-zarr: frames appended in order to one array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import acquire_zarr as aqz
import numpy as np

from benchmarks.verification import zarr_frame
from benchmarks.writer import Writer

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.workload import Workload

_KINDS = {
    "t": aqz.DimensionType.TIME,
    "c": aqz.DimensionType.CHANNEL,
    "z": aqz.DimensionType.SPACE,
}

# Not yet in the library's type stubs.
_ZSTD: Any = getattr(aqz.Compressor, "ZSTD", None)
_ZSTD_CODEC: Any = getattr(aqz.CompressionCodec, "ZSTD", None)


def open_writer(workload: Workload, folder: Path, variant: str | None = None) -> Writer:
    """Return a writer of one array, with its levels if there are any."""
    store = folder / "array.zarr"
    path = store / "0" if workload.pyramid else store
    array = aqz.ArraySettings(dimensions=_dimensions(workload), data_type=np.uint16)
    compression = _compression(workload)
    if compression is not None:
        array.compression = compression
    if workload.stored is not None:
        array.storage_dimension_order = [*workload.stored, "y", "x"]
    if workload.pyramid:
        array.downsampling_method = aqz.DownsamplingMethod.MEAN
    stream = aqz.ZarrStream(
        aqz.StreamSettings(store_path=str(store), arrays=[array], overwrite=True)
    )
    return Writer(
        stream.append, stream.close, lambda n: zarr_frame(path, workload.storage_index(n))
    )


def _dimensions(workload: Workload) -> list[Any]:
    tile = workload.tile or (workload.height, workload.width)
    dimensions = [
        aqz.Dimension(
            name=axis.name,
            kind=_KINDS[axis.name],
            array_size_px=axis.count
            if number
            else 0,  # 0: the axis along which frames are appended
            chunk_size_px=min(axis.chunk, axis.count),
            shard_size_chunks=axis.shard or 1,
        )
        for number, axis in enumerate(workload.axes)
    ]
    for name, size, chunk in zip("yx", (workload.height, workload.width), tile, strict=True):
        dimensions.append(
            aqz.Dimension(
                name=name,
                kind=aqz.DimensionType.SPACE,
                array_size_px=size,
                chunk_size_px=chunk,
                shard_size_chunks=-(-size // chunk) if workload.sharded else 1,
            )
        )
    return dimensions


def _compression(workload: Workload) -> Any:
    if workload.compression is None:
        return None
    blosc = aqz.Compressor.BLOSC1
    compressor, codec, level, shuffle = {
        "blosc-lz4": (blosc, aqz.CompressionCodec.BLOSC_LZ4, 5, 1),
        "blosc-zstd": (blosc, aqz.CompressionCodec.BLOSC_ZSTD, 3, 1),
        "blosc-lz4-bitshuffle": (blosc, aqz.CompressionCodec.BLOSC_LZ4, 5, 2),
        "blosc-zstd-bitshuffle": (blosc, aqz.CompressionCodec.BLOSC_ZSTD, 1, 2),
        "zstd": (_ZSTD, _ZSTD_CODEC, 3, 0),
    }[workload.compression]
    return aqz.CompressionSettings(compressor=compressor, codec=codec, level=level, shuffle=shuffle)
