"""Settings proposed for a camera and a disk."""

from __future__ import annotations

import pytest

from ome_writers.advice import Camera, Codec, DiskSpeed, advise

FAST = DiskSpeed(".", 2e9, 50_000, 10**12, 1)
SLOW = DiskSpeed(".", 100e6, 200, 10**12, 1)
LZ4 = Codec("blosc-lz4", 1e9, 1.5)
ZSTD = Codec("blosc-zstd", 300e6, 2.0)


def test_fast_disk_needs_no_compression() -> None:
    advice = advise(Camera(1024, 1024, fps=100), FAST, codecs=(LZ4, ZSTD))
    assert (advice.compression, advice.load) == ("none", "easy")


def test_slow_disk_gets_best_compression_that_keeps_up() -> None:
    camera = Camera(1024, 1024, fps=60)  # 126 MB/s
    assert advise(camera, SLOW, codecs=(LZ4, ZSTD)).compression == "blosc-zstd"
    faster = Camera(1024, 1024, fps=200)  # 419 MB/s: more than zstd does on one core
    assert advise(faster, SLOW, codecs=(LZ4, ZSTD), cores=2).compression == "blosc-lz4"
    assert advise(faster, SLOW, codecs=(LZ4, ZSTD), cores=4).compression == "blosc-zstd"


def test_load_is_too_much_if_no_compression_keeps_up() -> None:
    advice = advise(Camera(2048, 2048, fps=1000), SLOW, codecs=(LZ4,))
    assert advice.load == "too much"
    assert advice.share > 1


def test_load_is_too_much_if_disk_fills_up() -> None:
    disk = DiskSpeed(".", 2e9, 50_000, 10**9, 1)
    advice = advise(Camera(1024, 1024, fps=100, seconds=60), disk)
    assert advice.load == "too much"
    assert "full after" in advice.reasons["space"]


@pytest.mark.parametrize(
    ("camera", "frames", "tile"),
    [
        (Camera(64, 64, fps=10), 32, (64, 64)),
        (Camera(1024, 1024, fps=10), 1, (1024, 1024)),
        (Camera(16384, 16384, fps=1), 1, (5462, 5462)),
    ],
)
def test_chunks_are_neither_tiny_nor_huge(
    camera: Camera, frames: int, tile: tuple[int, int]
) -> None:
    advice = advise(camera, FAST)
    assert (advice.chunk_frames, advice.tile) == (frames, tile)


def test_shards_limit_number_of_files() -> None:
    """A short run on a fast disk needs no shards; a long run, or a disk that creates files slowly, does."""
    assert advise(Camera(1024, 1024, fps=10, seconds=10), FAST).shard_chunks is None
    assert advise(Camera(1024, 1024, fps=10, seconds=10_000), FAST).shard_chunks == 256
    assert advise(Camera(1024, 1024, fps=100, seconds=1), SLOW).shard_chunks == 100
