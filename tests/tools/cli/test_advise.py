"""``ome-writers advise``: measurements, and settings that can be used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ome_writers import AcquisitionSettings, create_stream
from ome_writers_tools.advice import Camera, measure_codecs, measure_disk, measure_levels
from ome_writers_tools.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def short_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Speeds need not be exact here."""
    monkeypatch.setattr("ome_writers_tools.advice.measurements._CORE_SECONDS", 0.02)
    monkeypatch.setattr("ome_writers_tools.advice.measurements._CODEC_BYTES", 2**22)
    monkeypatch.setattr("ome_writers_tools.advice.measurements._MIN_STREAM_BYTES", 2**24)


def test_measure_disk_removes_its_files(tmp_path: Path) -> None:
    speed = measure_disk(tmp_path, 0.05)
    assert speed.bytes_per_second > 0
    assert speed.files_per_second > 0
    assert speed.written >= 2**20
    assert not list(tmp_path.iterdir())


def test_codecs_are_measured_on_realistic_frame() -> None:
    names = {
        codec.name: codec
        for codec in measure_codecs(Camera(256, 256), ["blosc-lz4", "blosc-zstd", "none"])
    }
    assert set(names) == {"blosc-lz4", "blosc-zstd"}
    assert 1 < names["blosc-zstd"].ratio < 10


def test_levels_are_measured() -> None:
    levels = measure_levels(Camera(1000, 600), "mean")
    assert levels.size == (500 * 300 + 250 * 150) / (1000 * 600)
    assert levels.bytes_per_second > 0


def test_settings_with_levels_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = ["advise", "--frame", "400x300", "--fps", "1", "--duration", "2"]
    assert main([*arguments, "--seconds", "0.05", "--pyramid", "max", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "25% more bytes" in document["advice"]["reasons"]["pyramid"]
    names: dict[str, Any] = {}
    exec(document["settings"], names)
    assert names["settings"].pyramid.method == "max"
    create_stream(names["settings"]).close()


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
    assert main(["advise", "--fps", "5", *arguments]) == status
    assert message in capsys.readouterr().err


def test_compressions_are_measured_if_the_disk_is_too_slow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise, no compression is proposed."""
    monkeypatch.chdir(tmp_path)
    arguments = ["advise", "--frame", "8192x8192", "--fps", "1e6", "--seconds", "0.05", "--json"]
    assert main(arguments) == 1
    streams = capsys.readouterr()
    assert "times the write speed" in streams.err
    reason = json.loads(streams.out)["advice"]["reasons"]["compression"]
    assert "no compression keeps up" in reason
    assert all(f"; {name}: " in reason for name in ("blosc-lz4", "blosc-zstd"))
