"""Array metadata of any writer, ``zarr.json`` or the ``.zarray`` of Zarr v2: shape, chunks, shards and codecs.

Sources: https://zarr-specs.readthedocs.io/en/latest/v3/core/index.html, the page of the sharding codec, and
https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.untrusted import check_chunk_shape, check_count, check_shape

Json = dict[str, Any]

_MAX_CHUNKS_PER_SHARD = 2**24  # 16 bytes each in the index


@dataclass(frozen=True)
class ArrayMetadata:
    """Metadata of one array."""

    # shape of the array and of a chunk; with shards, of an inner chunk
    shape: tuple[int, ...]
    chunks: tuple[int, ...]
    shards: tuple[int, ...] | None  # shape of a shard; None without sharding
    # as in the file, unchecked
    data_type: Any
    fill_value: Any
    # name and configuration of each codec of a chunk, in the order of encoding
    codecs: tuple[Json, ...]
    shard_codecs: tuple[Json, ...] = ()  # codecs of a whole shard, after the sharding codec
    # names of the codecs of the shard index; empty without sharding
    index_codecs: tuple[str, ...] = ()
    index_at_start: bool = False  # whether the index is at the start of a shard
    v2_keys: bool = False  # whether the chunk keys have no `c` in front
    separator: str = "/"  # `"/"` or `"."`, between the numbers of a chunk key
    # names of the axes; None if the metadata has none
    dimension_names: tuple[str | None, ...] | None = None

    @property
    def chunks_per_shard(self) -> tuple[int, ...]:
        """Number of inner chunks along each axis of a shard; 1 each without sharding."""
        outer = self.shards or self.chunks
        return tuple(o // c for o, c in zip(outer, self.chunks, strict=True))


def array_metadata_file(folder: Path) -> Path:
    """Return the path of the ``zarr.json`` of an array, or of its ``.zarray`` if it is of Zarr v2."""
    file, old = folder / "zarr.json", folder / ".zarray"
    return old if not file.is_file() and old.is_file() else file


def parse_array_metadata(metadata: Json, name: object) -> ArrayMetadata:
    """Return the parsed content of a ``zarr.json`` or ``.zarray``; `name` begins the error messages.

    Raises UnsupportedError if the chunk grid is not regular, and InvalidFileError if it is not the metadata of an
    array, or contains invalid numbers.
    """
    try:
        return _parse(_as_v3(metadata) if metadata.get("zarr_format") == 2 else metadata, name)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise InvalidFileError(f"{name} is not valid array metadata: {what}.") from error


def _parse(metadata: Json, name: object) -> ArrayMetadata:
    if metadata.get("node_type") != "array":
        raise InvalidFileError(f"{name} is not an array: node_type {metadata.get('node_type')!r}.")
    shape = check_shape(metadata["shape"], name)
    grid = metadata["chunk_grid"]
    if grid["name"] != "regular":
        raise UnsupportedError(f"{name}: the chunk grid {grid['name']!r} is not supported.")
    outer = check_chunk_shape(
        grid["configuration"]["chunk_shape"], f"{name}: a chunk", axes=len(shape)
    )
    encoding = metadata["chunk_key_encoding"]
    v2_keys = encoding["name"] == "v2"
    separator = encoding.get("configuration", {}).get("separator", "." if v2_keys else "/")
    if separator not in (".", "/"):
        raise InvalidFileError(
            f"{name}: the separator of chunk keys must be '.' or '/', got {separator!r}."
        )
    names = metadata.get("dimension_names")
    array = ArrayMetadata(
        shape=shape,
        chunks=outer,
        shards=None,
        data_type=metadata["data_type"],
        fill_value=metadata["fill_value"],
        codecs=_checked_codecs(metadata["codecs"]),
        v2_keys=v2_keys,
        separator=separator,
        dimension_names=None if names is None else tuple(names),
    )
    return _with_shards(array, name) if array.codecs[0]["name"] == "sharding_indexed" else array


def _as_v3(metadata: Json) -> Json:
    """Return the content of a ``.zarray`` in the words of Zarr v3. Filters and Fortran order become codecs."""
    dtype, fill_value = metadata["dtype"], metadata["fill_value"]
    known = isinstance(dtype, str) and re.fullmatch(r"[<>|][biufc][0-9]{1,2}", dtype)
    codecs: list[Any] = [{"name": each["id"]} for each in metadata["filters"] or ()]
    if metadata["order"] != "C":
        codecs.append({"name": "transpose"})
    endian = "big" if known and dtype[0] == ">" else "little"
    codecs.append({"name": "bytes", "configuration": {"endian": endian}})
    if metadata["compressor"]:
        name = metadata["compressor"]["id"]
        codecs.append({"name": name, "configuration": metadata["compressor"]})
    separator = metadata.get("dimension_separator", ".")
    return {
        "node_type": "array",
        "shape": metadata["shape"],
        "data_type": np.dtype(dtype).name if known else dtype,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": metadata["chunks"]}},
        "chunk_key_encoding": {"name": "v2", "configuration": {"separator": separator}},
        "fill_value": 0 if fill_value is None else fill_value,
        "codecs": codecs,
    }


def _with_shards(array: ArrayMetadata, name: object) -> ArrayMetadata:
    """Return the metadata of an array whose first codec is the sharding codec, with its chunks and shards."""
    sharding, *shard_codecs = array.codecs
    configuration = sharding["configuration"]
    inner = check_chunk_shape(
        configuration["chunk_shape"], f"{name}: an inner chunk", axes=len(array.shape)
    )
    sharded = replace(
        array,
        chunks=inner,
        shards=array.chunks,
        codecs=_checked_codecs(configuration["codecs"]),
        shard_codecs=tuple(shard_codecs),
        index_codecs=tuple(codec["name"] for codec in configuration["index_codecs"]),
        index_at_start=configuration.get("index_location", "end") == "start",
    )
    count = math.prod(sharded.chunks_per_shard)
    check_count(count, f"{name}: the number of chunks in a shard", _MAX_CHUNKS_PER_SHARD)
    if not count:
        raise InvalidFileError(f"{name}: a shard is smaller than its inner chunks.")
    return sharded


def _checked_codecs(codecs: Any) -> tuple[Json, ...]:
    """Return the codecs; raise if there is none, or one does not have a name."""
    for codec in codecs:
        _ = codec["name"], codec.get("configuration", {}).get("")
    return (codecs[0], *codecs[1:])
