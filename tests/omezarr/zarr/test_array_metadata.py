"""Array metadata, read by other libraries."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import Dimension
from ome_writers.codecs import COMPRESSIONS, ZARR_COMPRESSIONS
from ome_writers.dataset import LevelSpec
from ome_writers.routing import resolve
from ome_writers.storage.zarr import render_array_metadata
from support.acquisitions import acquisition

DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
]
CODECS = [name for name in COMPRESSIONS if name in ZARR_COMPRESSIONS]
SHAPE = (5, 2, 8, 6)


def planned(dtype: str, compression: str = "none", *, sharded: bool = False) -> LevelSpec:
    """Return the plan of an array of shape (5, 2, 8, 6) in chunks of (1, 1, 4, 6), shards of (3, 1, 8, 6)."""
    dims = [
        Dimension(name="t", count=5, shard_size_chunks=3 if sharded else None),
        Dimension(name="c", count=2),
        Dimension(name="y", count=8, chunk_size=4, shard_size_chunks=2 if sharded else None),
        Dimension(name="x", count=6),
    ]
    array = resolve(acquisition("single", dimensions=dims, dtype=dtype)).images[0].array
    return dataclasses.replace(array, compression=compression)


def on_disk(folder: Path, plan: LevelSpec) -> dict[str, Any]:
    """Put the document of an array on disk; return it as others read it."""
    text = json.dumps(render_array_metadata(plan, plan.shape), allow_nan=False)
    (folder / "zarr.json").write_text(text)
    document: dict[str, Any] = json.loads(text)
    return document


def values(dtype: str) -> np.ndarray:
    """Return pixels of all kinds, infinity and NaN among them."""
    random = np.random.default_rng(7)
    pixels = random.integers(0, 200, SHAPE).astype(dtype)
    if np.dtype(dtype).kind in "fc":
        pixels[0, 0, 0, :2] = np.nan, np.inf
    return pixels


CASES = [
    *((dtype, "none", False) for dtype in DTYPES),
    *((dtype, "blosc-zstd", True) for dtype in DTYPES),
    *(("uint16", codec, codec == "none") for codec in CODECS),
    *(("float32", codec, True) for codec in CODECS),
]


@pytest.mark.parametrize(("dtype", "compression", "sharded"), CASES)
def test_tensorstore_and_zarr_python_read_every_array(
    dtype: str, compression: str, sharded: bool, tmp_path: Path
) -> None:
    """zarr-python reads what tensorstore writes; both read zeros before."""
    tensorstore = pytest.importorskip("tensorstore")
    plan = planned(dtype, compression, sharded=sharded)
    on_disk(tmp_path, plan)
    kvstore = {"driver": "file", "path": str(tmp_path)}
    array = tensorstore.open({"driver": "zarr3", "kvstore": kvstore}).result()
    assert array.dtype.numpy_dtype == np.dtype(dtype)
    assert not array.read().result().any()
    array[:4].write(values(dtype)[:4]).result()
    wanted = values(dtype)
    wanted[4] = 0
    np.testing.assert_array_equal(array.read().result(), wanted)
    if sys.version_info >= (3, 11):
        zarr = pytest.importorskip("zarr")
        with zarr.config.set(
            {"codec_pipeline.path": "zarr.core.codec_pipeline.BatchedCodecPipeline"}
        ):
            np.testing.assert_array_equal(zarr.open_array(tmp_path, mode="r")[:], wanted)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="zarr-python 3 needs Python 3.11")
@pytest.mark.parametrize("sharded", [False, True])
@pytest.mark.parametrize("compression", CODECS)
def test_zarrs_reads_every_codec(compression: str, sharded: bool, tmp_path: Path) -> None:
    """Written by tensorstore, with and without shards."""
    tensorstore = pytest.importorskip("tensorstore")
    zarr = pytest.importorskip("zarr")
    pytest.importorskip("zarrs")
    on_disk(tmp_path, planned("uint16", compression, sharded=sharded))
    kvstore = {"driver": "file", "path": str(tmp_path)}
    tensorstore.open({"driver": "zarr3", "kvstore": kvstore}).result().write(
        values("uint16")
    ).result()
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        array = zarr.open_array(tmp_path, mode="r")
        np.testing.assert_array_equal(array[:], values("uint16"))


@pytest.mark.parametrize(
    ("compression", "codec"),
    [
        (
            "blosc-zstd",
            {"cname": "zstd", "clevel": 1, "shuffle": "shuffle", "typesize": 2, "blocksize": 0},
        ),
        (
            "blosc-lz4",
            {"cname": "lz4", "clevel": 5, "shuffle": "shuffle", "typesize": 2, "blocksize": 0},
        ),
        ("zstd", {"level": 3, "checksum": False}),
        ("gzip", {"level": 5}),
    ],
)
def test_codec_levels_and_shuffle(compression: str, codec: dict[str, Any], tmp_path: Path) -> None:
    document = on_disk(tmp_path, planned("uint16", compression))
    little = {"name": "bytes", "configuration": {"endian": "little"}}
    name = compression.split("-")[0]
    assert document["codecs"] == [little, {"name": name, "configuration": codec}]


def test_shard_index_is_at_the_end_with_checksum(tmp_path: Path) -> None:
    document = on_disk(tmp_path, planned("uint16", "zstd", sharded=True))
    assert document["chunk_grid"]["configuration"]["chunk_shape"] == [3, 1, 8, 6]
    [sharding] = document["codecs"]
    assert sharding["name"] == "sharding_indexed"
    assert sharding["configuration"]["chunk_shape"] == [1, 1, 4, 6]
    assert sharding["configuration"]["index_location"] == "end"
    assert [c["name"] for c in sharding["configuration"]["index_codecs"]] == ["bytes", "crc32c"]


def test_dimension_names_and_growing_shape(tmp_path: Path) -> None:
    document = render_array_metadata(planned("uint16"), (9, 2, 8, 6))
    assert document["dimension_names"] == ["t", "c", "y", "x"]
    assert document["shape"] == [9, 2, 8, 6]
    assert document["chunk_key_encoding"] == {
        "name": "default",
        "configuration": {"separator": "/"},
    }
