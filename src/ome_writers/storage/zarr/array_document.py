"""What a Zarr v3 array says of itself; the same for every engine.

Source: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html and the codecs' pages there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ome_writers.routing import ArrayPlan

__all__ = ["BLOSC", "GZIP_LEVEL", "ZSTD_LEVEL", "array_document"]

# Codec and level. For camera frames, level 3 of Blosc's zstd takes 2 to 8 times as long as level 1, at the same ratio.
BLOSC = {"blosc-zstd": ("zstd", 1), "blosc-lz4": ("lz4", 5)}
ZSTD_LEVEL = 3
GZIP_LEVEL = 5


def array_document(plan: ArrayPlan, shape: Sequence[int]) -> dict[str, Any]:
    """Return the content of an array's ``zarr.json``.

    Parameters
    ----------
    plan
        The array.
    shape
        What it shows now, in pixels; the growing axis may be longer than planned.
    """
    codecs = _codecs(plan)
    if plan.shards is not None:
        codecs = [
            {
                "name": "sharding_indexed",
                "configuration": {
                    "chunk_shape": list(plan.chunks),
                    "codecs": codecs,
                    "index_codecs": [_BYTES, {"name": "crc32c"}],
                    # "start" is in the specification too, but readers in the browser look at the end only
                    "index_location": "end",
                },
            }
        ]
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": list(shape),
        "data_type": plan.dtype.name,
        "chunk_grid": {
            "name": "regular",
            "configuration": {"chunk_shape": list(plan.shards or plan.chunks)},
        },
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": _fill_value(plan.dtype.kind),
        "codecs": codecs,
        "attributes": {},
        "dimension_names": [d.name for d in plan.dimensions],
    }


_BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def _codecs(plan: ArrayPlan) -> list[dict[str, Any]]:
    if plan.compression in BLOSC:
        name, level = BLOSC[plan.compression]
        blosc = {
            "cname": name,
            "clevel": level,
            "shuffle": "shuffle",
            "typesize": plan.dtype.itemsize,
            "blocksize": 0,
        }
        return [_BYTES, {"name": "blosc", "configuration": blosc}]
    if plan.compression == "zstd":
        zstd = {"level": ZSTD_LEVEL, "checksum": False}
        return [_BYTES, {"name": "zstd", "configuration": zstd}]
    if plan.compression == "gzip":
        return [_BYTES, {"name": "gzip", "configuration": {"level": GZIP_LEVEL}}]
    return [_BYTES]


def _fill_value(kind: str) -> Any:
    if kind == "c":
        return [0.0, 0.0]
    return {"b": False, "f": 0.0}.get(kind, 0)
