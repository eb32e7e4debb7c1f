"""Settings proposed for a camera and a disk."""

from __future__ import annotations

import pytest

from ome_writers_tools.advice import (
    Camera,
    Codec,
    DiskSpeed,
    Levels,
    advise,
    needs_compression,
    predict,
)

FAST = DiskSpeed(".", 2e9, 50_000, 10**12, 1)
SLOW = DiskSpeed(".", 100e6, 200, 10**12, 1)
LZ4 = Codec("blosc-lz4", 1e9, 1.5)
ZSTD = Codec("blosc-zstd", 300e6, 2.0)


def test_fast_disk_needs_no_compression() -> None:
    advice = advise(Camera(1024, 1024, fps=100), FAST, codecs=(LZ4, ZSTD))
    assert (advice.compression, advice.load) == ("none", "easy")


def test_compression_is_needed_above_60_percent_of_the_disk_speed() -> None:
    """The levels add a third to the bytes."""
    camera, levels = Camera(1000, 1000, fps=29), Levels("mean", 1 / 3, 1e9)  # 58 MB/s
    assert not needs_compression(camera, SLOW)
    assert needs_compression(camera, SLOW, levels)
    assert needs_compression(Camera(1000, 1000, fps=31), SLOW)
    for given in (None, levels):
        proposed = advise(camera, SLOW, codecs=(ZSTD,), levels=given, cores=4).compression
        assert (proposed != "none") is needs_compression(camera, SLOW, given)


def test_slow_disk_gets_best_compression_that_keeps_up() -> None:
    camera = Camera(1024, 1024, fps=60)  # 126 MB/s
    assert advise(camera, SLOW, codecs=(LZ4, ZSTD)).compression == "blosc-zstd"
    faster = Camera(1024, 1024, fps=200)  # 419 MB/s: more than zstd does on one core
    assert advise(faster, SLOW, codecs=(LZ4, ZSTD), cores=2).compression == "blosc-lz4"
    assert advise(faster, SLOW, codecs=(LZ4, ZSTD), cores=4).compression == "blosc-zstd"


@pytest.mark.parametrize(
    ("codec", "cores", "processor_seconds", "expected"),
    [
        (None, 8, 1e-9, 100e6),  # the disk
        (LZ4, 8, 0.0, 149_973_640),  # the disk, times the ratio
        (Codec("zstd", 5e6, 2.0), 2, 0.0, 9_987_523),  # the codec, times the cores
        (Codec("zstd", 5e6, 2.0), 2, 400e-9, 4_998_438),  # as long for writing as for compressing
        (Codec("zstd", 100e6, 2.0), 2, 0.0, 141_421_356),  # both 200 MB/s: each waits for the other
    ],
)
def test_predicted_speed_is_about_that_of_the_slower_part(
    codec: Codec | None, cores: int, processor_seconds: float, expected: float
) -> None:
    disk = DiskSpeed(".", 100e6, 200, 10**12, 1, processor_seconds)
    assert predict(codec, disk, cores) == pytest.approx(expected)


def test_advice_predicts_the_speed_of_the_proposed_compression() -> None:
    camera = Camera(1000, 1000, fps=60)
    advice = advise(camera, SLOW, codecs=(ZSTD,), cores=4)
    assert advice.compression == "blosc-zstd"
    assert advice.predicted == predict(ZSTD, SLOW, 4) == pytest.approx(197_278_785)
    assert advice.reasons["speed"] == "about 197 MB/s at most: 99 frames/s"


def test_load_is_too_much_if_no_compression_keeps_up() -> None:
    advice = advise(Camera(2048, 2048, fps=1000), SLOW, codecs=(LZ4,))
    assert advice.load == "too much"
    assert advice.share > 1


def test_levels_cost_bytes_and_cores() -> None:
    """50 MB/s: with a third more the slow disk needs a compression; the reduction leaves less for it."""
    camera, mean = Camera(1000, 1000, fps=25), Levels("mean", 1 / 3, 500e6)
    assert advise(camera, SLOW, codecs=(ZSTD,)).compression == "none"
    advice = advise(camera, SLOW, codecs=(ZSTD,), levels=mean)
    assert (advice.compression, advice.share) == ("blosc-zstd", pytest.approx(1 / 3))
    assert advice.reasons["pyramid"].startswith(
        "mean: 33% more bytes (16.7 MB/s), and 0.10 of 1 free core(s): one reduces 500 MB/s"
    )
    slow = Levels("mode", 1 / 3, 60e6)
    assert advise(camera, SLOW, codecs=(ZSTD,), levels=slow).compression == "none"


def test_load_is_too_much_if_levels_do_not_keep_up() -> None:
    camera, slow = Camera(1000, 1000, fps=100), Levels("mode", 1 / 3, 60e6)
    assert advise(camera, FAST, levels=slow, cores=8).load == "easy"
    advice = advise(camera, FAST, levels=slow, cores=4)
    assert advice.load == "too much"
    assert advice.reasons["pyramid"].endswith(
        "add the levels afterwards with `ome-writers pyramid`"
    )


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
