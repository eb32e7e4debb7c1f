"""``ome-writers advise`` measures a disk and proposes settings that work."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ome_writers import AcquisitionSettings, create_stream
from ome_writers.advice import Camera, Codec, DiskSpeed, advise, measure_codecs, measure_disk
from ome_writers.cli import main

if TYPE_CHECKING:
    from pathlib import Path

FAST = DiskSpeed(".", 2e9, 50_000, 10**12, 1)
SLOW = DiskSpeed(".", 100e6, 200, 10**12, 1)
LZ4 = Codec("blosc-lz4", 1e9, 1.5)
ZSTD = Codec("blosc-zstd", 300e6, 2.0)


def test_a_disk_that_is_fast_enough_needs_no_compression() -> None:
    """Below the safe share of the disk's speed nothing is compressed."""
    advice = advise(Camera(1024, 1024, fps=100), FAST, codecs=(LZ4, ZSTD))
    assert (advice.compression, advice.load) == ("none", "easy")


def test_a_slow_disk_gets_the_best_compression_that_keeps_up() -> None:
    """Of the compressions that keep up with the camera on the cores that are free, the tightest is taken."""
    camera = Camera(1024, 1024, fps=60)  # 126 MB/s
    assert advise(camera, SLOW, codecs=(LZ4, ZSTD)).compression == "blosc-zstd"
    faster = Camera(1024, 1024, fps=200)  # 419 MB/s: more than zstd does on one core
    assert advise(faster, SLOW, codecs=(LZ4, ZSTD), cores=2).compression == "blosc-lz4"
    assert advise(faster, SLOW, codecs=(LZ4, ZSTD), cores=4).compression == "blosc-zstd"


def test_what_no_compression_helps_is_too_much() -> None:
    """A camera that delivers more than disk and codecs take is told so."""
    advice = advise(Camera(2048, 2048, fps=1000), SLOW, codecs=(LZ4,))
    assert advice.load == "too much"
    assert advice.share > 1


def test_a_disk_that_fills_up_is_too_much() -> None:
    """An acquisition that is larger than the free space is refused with the time until the disk is full."""
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
    """Small frames share a chunk, a usual one is a chunk, a huge one is cut into tiles."""
    advice = advise(camera, FAST)
    assert (advice.chunk_frames, advice.tile) == (frames, tile)


def test_shards_when_there_would_be_too_many_files() -> None:
    """A short run on a quick disk needs no shards; a long one, or a disk that makes few files, does."""
    assert advise(Camera(1024, 1024, fps=10, seconds=10), FAST).shard_chunks is None
    assert advise(Camera(1024, 1024, fps=10, seconds=10_000), FAST).shard_chunks == 256
    assert advise(Camera(1024, 1024, fps=100, seconds=1), SLOW).shard_chunks == 100


def test_measuring_leaves_nothing_behind(tmp_path: Path) -> None:
    """The disk is measured with files that are gone afterwards."""
    found = measure_disk(tmp_path, 0.05)
    assert found.bytes_per_second > 0
    assert found.files_per_second > 0
    assert found.written >= 2**20
    assert not list(tmp_path.iterdir())


def test_codecs_are_measured_on_a_picture_that_compresses() -> None:
    """A camera-like frame shrinks, but not to nothing."""
    names = {codec.name: codec for codec in measure_codecs(Camera(256, 256))}
    assert set(names) == {"blosc-lz4", "blosc-zstd"}
    assert 1 < names["blosc-zstd"].ratio < 10


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff"])
def test_the_settings_can_be_pasted(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed to paste runs, and a stream opens with it."""
    monkeypatch.chdir(tmp_path)
    arguments = ["advise", "--frame", "48x64", "--fps", "5", "--duration", "2", "--seconds", "0.05"]
    assert main([*arguments, "--format", format, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    names: dict[str, Any] = {}
    exec(document["settings"], names)
    settings: AcquisitionSettings = names["settings"]
    assert settings.format.name == format
    assert settings.num_frames == 10
    create_stream(settings).close()
    assert main([*arguments, "--format", format]) == 0
    printed = capsys.readouterr().out
    assert "to paste:" in printed
    assert "MB/s" in printed


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["--frame", "64"], 2, "no HEIGHTxWIDTH"),
        (["--frame", "64x64", "--dtype", "pixel"], 2, "numpy knows no 'pixel'"),
        (["--frame", "64x64", "--disk", "nowhere"], 1, "nowhere is no folder"),
        (["--frame", "64x64", "--dtype", "int64", "--format", "ome-tiff"], 1, "int64"),
        (["--frame", "8192x8192", "--fps", "1e6", "--seconds", "0.05"], 1, "times what this disk"),
    ],
)
def test_errors_are_one_sentence(
    arguments: list[str],
    status: int,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What cannot be answered is said with the value that was wrong, and the status tells."""
    monkeypatch.chdir(tmp_path)
    fps = [] if "--fps" in arguments else ["--fps", "5"]
    assert main(["advise", *fps, *arguments]) == status
    assert says in capsys.readouterr().err
