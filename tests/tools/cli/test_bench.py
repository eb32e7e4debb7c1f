"""``ome-writers bench`` measures each engine and removes its files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ome_writers.storage import ENGINES
from ome_writers_tools.advice import Camera, measure_engine
from ome_writers_tools.cli import main

if TYPE_CHECKING:
    from pathlib import Path

QUICK = ["bench", "--frame", "32x48", "--seconds", "0.02"]


@pytest.mark.sweep
def test_every_engine_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has a row for each installed engine; the others are listed with the missing library."""
    assert main([*QUICK, "--disk", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    for name in (row.name for row in ENGINES.values() if row.format != "scratch"):
        missing = ENGINES[name].missing_requirement()
        assert f"{name} was not measured: {missing}" in out if missing else f"\n  {name} " in out
    assert not list(tmp_path.iterdir())


def test_json_rates_include_close(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--disk", str(tmp_path), "--engine", "direct", "--dtype", "uint8", "--json"]
    assert main([*QUICK, *options, "--compression", "blosc-zstd", "--durability", "disk"]) == 0
    (speed,) = json.loads(capsys.readouterr().out)["engines"]
    assert speed["frames"] >= 4
    assert speed["frames_per_second"] == pytest.approx(speed["frames"] / speed["seconds"])
    assert speed["bytes_per_second"] == pytest.approx(32 * 48 * speed["frames_per_second"])
    assert 0 < speed["longest_append"] <= speed["seconds"]
    assert speed["bytes_on_disk"] > 0


def test_exit_status_1_if_no_engine_keeps_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--disk", str(tmp_path), "--engine", "direct"]
    assert main([*QUICK, *options, "--fps", "1e9"]) == 1
    error = capsys.readouterr().err
    assert "no backend keeps up with 1e+09 frames/s here; the fastest, direct, reaches" in error
    assert main([*QUICK, *options, "--fps", "0.001"]) == 0
    assert "yes" in capsys.readouterr().out


def test_unsupported_compression_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--disk", str(tmp_path), "--engine", "direct", "--compression", "lzw"]
    assert main([*QUICK, *options]) == 1
    streams = capsys.readouterr()
    assert "direct was not measured: Compression 'lzw' is not supported" in streams.out
    assert "no backend could be measured" in streams.err
    speed = measure_engine("tifffile", Camera(8, 8, "int64"), tmp_path, seconds=0.01)
    assert "int32 or float64" in str(speed.refusal)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--frame", "big"], 2, "is not HEIGHTxWIDTH"),
        (["--fps", "-1"], 2, "not a positive number"),
        (["--engine", "floppy"], 2, "invalid choice"),
        (["--dtype", "water"], 2, "'water' is not a numpy dtype"),
        (["--disk", "nowhere"], 1, "nowhere is not a directory"),
    ],
)
def test_invalid_option_is_named_and_nothing_written(
    arguments: list[str],
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *arguments]) == status
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
