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


def test_measure_disk_removes_its_files(tmp_path: Path) -> None:
    speed = measure_disk(tmp_path, 0.05)
    assert speed.bytes_per_second > 0
    assert speed.files_per_second > 0
    assert speed.written >= 2**20
    assert not list(tmp_path.iterdir())


def test_codecs_are_measured_on_realistic_frame() -> None:
    names = {codec.name: codec for codec in measure_codecs(Camera(256, 256))}
    assert set(names) == {"blosc-lz4", "blosc-zstd"}
    assert 1 < names["blosc-zstd"].ratio < 10


@pytest.mark.parametrize("format", ["ome-zarr", "ome-tiff"])
def test_printed_settings_run(
    format: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert "settings in Python:" in printed
    assert "MB/s" in printed


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--frame", "64"], 2, "is not HEIGHTxWIDTH"),
        (["--frame", "64x64", "--dtype", "pixel"], 2, "'pixel' is not a numpy dtype"),
        (["--frame", "64x64", "--disk", "nowhere"], 1, "nowhere is not a directory"),
        (["--frame", "64x64", "--dtype", "int64", "--format", "ome-tiff"], 1, "int64"),
        (["--frame", "8192x8192", "--fps", "1e6", "--seconds", "0.05"], 1, "times the write speed"),
    ],
)
def test_error_names_invalid_value(
    arguments: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    fps = [] if "--fps" in arguments else ["--fps", "5"]
    assert main(["advise", *fps, *arguments]) == status
    assert message in capsys.readouterr().err
