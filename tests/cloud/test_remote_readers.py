"""Third-party readers and ours read the dataset in the store, while it is mirrored and afterwards."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import Dimension, create_stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from cloud.object_servers import SeaweedFS


def zarr_with_s3fs(prefix: str, endpoint: str) -> NDArray[Any]:
    zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 is not installed")
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    options = {"client_kwargs": {"endpoint_url": endpoint}, "skip_instance_cache": True}
    group = zarr.open_group(f"s3://bucket/{prefix}", mode="r", storage_options=options)
    return np.asarray(group["0"][:])


def tensorstore(prefix: str, endpoint: str) -> NDArray[Any]:
    ts = pytest.importorskip("tensorstore", reason="tensorstore is not installed")
    store = {"driver": "s3", "bucket": "bucket", "path": f"{prefix}/0/", "endpoint": endpoint}
    store["aws_region"] = "us-east-1"
    return np.asarray(ts.open({"driver": "zarr3", "kvstore": store}).result().read().result())


def ome_zarr_py(prefix: str, endpoint: str) -> NDArray[Any]:
    pytest.importorskip("ome_zarr", reason="ome-zarr-py is not installed")
    import fsspec
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    fsspec.filesystem("s3").invalidate_cache()  # the endpoint is in the environment
    location = parse_url(f"s3://bucket/{prefix}")
    assert location is not None
    (node,) = Reader(location)()
    return np.asarray(node.data[0])


def ours(prefix: str, endpoint: str) -> NDArray[Any]:
    return np.asarray(ome_writers.open(f"s3://bucket/{prefix}"))


def _frames_written(url: str) -> int:
    try:
        return ome_writers.read(url).frames_written or 0
    except FileNotFoundError:  # not mirrored yet
        return 0


@pytest.mark.parametrize("read", [zarr_with_s3fs, tensorstore, ome_zarr_py, ours])
@pytest.mark.filterwarnings("default")  # of other libraries and their event loops
def test_reader(
    read: Callable[[str, str], NDArray[Any]], server: SeaweedFS, tmp_path: Path
) -> None:
    prefix = f"readers/{read.__name__}"
    dimensions = [
        Dimension(name="t", count=None, type="time", chunk_size=1, shard_size_chunks=10),
        Dimension(name="y", count=64, chunk_size=32),
        Dimension(name="x", count=64, chunk_size=32),
    ]
    with create_stream(
        root_path=tmp_path / "a.ome.zarr",
        dimensions=dimensions,
        dtype="uint16",
        mirror=f"s3://bucket/{prefix}",
    ) as stream:
        for t in range(25):
            stream.append(np.full((64, 64), t + 1, "uint16"))
        stream.flush()
        deadline = time.monotonic() + 60
        while _frames_written(f"s3://bucket/{prefix}") < 25:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        growing = read(prefix, server.endpoint)
        assert growing.shape == (25, 64, 64)
        assert (growing == np.arange(1, 26)[:, None, None]).all()
        for t in range(25, 40):
            stream.append(np.full((64, 64), t + 1, "uint16"))
    final = read(prefix, server.endpoint)
    assert final.shape == (40, 64, 64)
    assert (final == np.arange(1, 41)[:, None, None]).all()
    gc.collect()  # sessions that other libraries leave open warn here, and not in the next test
