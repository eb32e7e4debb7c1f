"""Array metadata of any writer: layout of chunks and shards, chunk keys, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.omezarr.node_metadata import parse_array_metadata

BYTES = {"name": "bytes", "configuration": {"endian": "little"}}


def metadata(**changed: Any) -> dict[str, Any]:
    return {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4, 8, 8],
        "data_type": "uint16",
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [4, 8, 8]}},
        "chunk_key_encoding": {"name": "default"},
        "fill_value": 0,
        "codecs": [BYTES],
        **changed,
    }


def sharding(**changed: Any) -> dict[str, Any]:
    configuration = {"chunk_shape": [1, 8, 4], "codecs": [BYTES], "index_codecs": [BYTES]}
    return {"name": "sharding_indexed", "configuration": {**configuration, **changed}}


def test_array_without_shards() -> None:
    array = parse_array_metadata(metadata(dimension_names=["t", None, "x"]), "a")
    assert (array.shape, array.chunks, array.shards) == ((4, 8, 8), (4, 8, 8), None)
    assert array.chunks_per_shard == (1, 1, 1)
    assert (array.v2_keys, array.separator) == (False, "/")
    assert array.dimension_names == ("t", None, "x")


def test_shards() -> None:
    zstd = {"name": "zstd", "configuration": {"level": 1, "checksum": False}}
    codec = sharding(codecs=[BYTES, zstd], index_location="start")
    array = parse_array_metadata(metadata(codecs=[codec, {"name": "crc32c"}]), "a")
    assert (array.chunks, array.shards, array.chunks_per_shard) == ((1, 8, 4), (4, 8, 8), (4, 1, 2))
    assert [codec["name"] for codec in array.codecs] == ["bytes", "zstd"]
    assert [codec["name"] for codec in array.shard_codecs] == ["crc32c"]
    assert array.index_codecs == ("bytes",)
    assert array.index_at_start


def test_separator_of_v2_keys_is_a_dot_by_default() -> None:
    array = parse_array_metadata(metadata(chunk_key_encoding={"name": "v2"}), "a")
    assert (array.v2_keys, array.separator) == (True, ".")


INVALID: dict[str, tuple[dict[str, Any], str]] = {
    "group": ({"shape": None}, "must be a list of integers"),
    "no codec": ({"codecs": []}, "IndexError"),
    "codec without name": ({"codecs": [BYTES, {}]}, "KeyError: 'name'"),
    "codec is a number": ({"codecs": [3]}, "TypeError"),
    "separator": (
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "/../"}}},
        "separator of chunk keys must be",
    ),
    "inner chunks": ({"codecs": [sharding(chunk_shape=[8, 8, 8])]}, "smaller than its inner"),
    "rank of inner chunks": ({"codecs": [sharding(chunk_shape=[8, 8])]}, "must have 3 axes"),
    "chunks per shard": (
        {
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2**30, 8, 8]}},
            "codecs": [sharding()],
        },
        "number of chunks in a shard",
    ),
}


@pytest.mark.parametrize("name", INVALID)
def test_invalid_metadata(name: str) -> None:
    changed, message = INVALID[name]
    with pytest.raises(InvalidFileError, match=message):
        parse_array_metadata(metadata(**changed), "a")


def test_irregular_chunk_grid_is_not_supported() -> None:
    grid = {"name": "rectilinear", "configuration": {}}
    with pytest.raises(UnsupportedError, match="a: the chunk grid 'rectilinear'"):
        parse_array_metadata(metadata(chunk_grid=grid), "a")
