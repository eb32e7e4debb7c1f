"""Pixels rounded by the noise of the camera: the noise that is added, the mean, and what the metadata say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers
from ome_writers import (
    AcquisitionSettings,
    CameraNoise,
    Dimension,
    Pyramid,
    SettingsError,
    UnsupportedError,
    convert,
    create_stream,
    validate,
)
from ome_writers.storage.quantization import quantization_table
from ome_writers_tools.cli import main

NOISE = CameraNoise(offset=100, gain=4, read_noise=1.6, step=0.5)


def camera(electrons: Any, frames: int) -> np.ndarray:
    """Return frames with shot noise and read noise."""
    draw = np.random.default_rng(0)
    shape = (frames, *np.shape(electrons))
    noisy = draw.poisson(electrons, shape) + draw.normal(0, NOISE.read_noise, shape)
    return np.clip(np.rint(NOISE.offset + NOISE.gain * noisy), 0, 65535).astype("uint16")


def write(path: Path, frames: np.ndarray, **more: Any) -> Path:
    settings = AcquisitionSettings(
        root_path=path,
        dimensions=[
            Dimension(name=name, count=count)
            for name, count in zip("tyx", frames.shape, strict=True)
        ],
        dtype=frames.dtype,
        **more,
    )
    with create_stream(settings) as stream:
        for frame in frames:
            stream.append(frame)
    return path


@pytest.mark.parametrize("step", [0.25, 0.5, 1.0])
@pytest.mark.parametrize("electrons", [50, 300, 3000, 12000])
def test_photon_transfer(step: float, electrons: float) -> None:
    """The added variance is step ** 2 / 12 of that of the noise, and the mean of 1,000 frames stays."""
    frames = camera(np.full((20, 20), electrons), 1000)
    table = quantization_table(NOISE.model_copy(update={"step": step}), frames.dtype)
    stored = table[frames]
    sigma = NOISE.gain * np.sqrt(electrons + NOISE.read_noise**2)
    change = stored.astype(float) - frames
    assert np.var(change) / sigma**2 == pytest.approx(step**2 / 12, rel=0.1)
    assert abs(change.mean()) < 0.02 * sigma
    assert np.abs(change.mean(axis=0)).max() < 0.02 * sigma + 5 * change.std() / np.sqrt(1000)


def test_table_is_monotonic_and_keeps_saturation() -> None:
    for dtype in ("uint8", "uint16"):
        table = quantization_table(NOISE, np.dtype(dtype))
        assert (np.diff(table.astype(int)) >= 0).all()
        assert table[-1] == np.iinfo(dtype).max
        assert table.dtype == dtype
    fine = CameraNoise(offset=0, gain=0.01, step=0.1)  # less than a count apart
    assert np.array_equal(quantization_table(fine, np.dtype("uint8")), np.arange(256))


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_stream_quantizes_and_says_so(
    tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = camera(np.full((64, 64), 200), 3)
    levels = {"pyramid": Pyramid(levels=1)}
    path = write(tmp_path / f"a{suffix}", frames, quantize=NOISE, **levels)
    assert np.array_equal(
        ome_writers.open(path)[:], quantization_table(NOISE, frames.dtype)[frames]
    )
    assert validate(path).valid
    spec = ome_writers.read(path)
    assert spec.settings is not None
    assert spec.settings.quantize == NOISE
    stored = spec.metadata["quantization"]
    assert (stored["lossy"], stored["gain"], stored["step"]) == (True, 4, 0.5)
    assert main(["info", str(path)]) == 0
    assert "quantized in steps of 0.5 of the camera noise" in capsys.readouterr().out
    text = path.read_bytes() if path.is_file() else (path / "zarr.json").read_bytes()
    assert b"quantization" in text


@pytest.mark.parametrize("suffix", [".ome.zarr", ".ome.tiff"])
def test_resumed_stream_quantizes(tmp_path: Path, suffix: str) -> None:
    """By the settings in the dataset."""
    frames = camera(np.full((16, 16), 200), 4)
    dimensions = [Dimension(name=n, count=c) for n, c in zip("tyx", frames.shape, strict=True)]
    path = tmp_path / f"a{suffix}"
    with create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", quantize=NOISE
    ) as stream:
        stream.append(frames[0])
    with ome_writers.resume(path) as stream:
        for frame, index in zip(frames[1:], stream.remaining(), strict=True):
            stream.append(frame, index=index)
    stored = quantization_table(NOISE, frames.dtype)[frames]
    assert np.array_equal(ome_writers.open(path)[:], stored)
    assert ome_writers.read(path).metadata["quantization"]["step"] == 0.5


def test_quantized_pixels_are_not_changed_by_the_same_noise(tmp_path: Path) -> None:
    frames = camera(np.full((32, 32), 200), 2)
    once = convert(write(tmp_path / "a.ome.zarr", frames), tmp_path / "b.ome.zarr", quantize=NOISE)
    twice = convert(once.destination, tmp_path / "c.ome.zarr", quantize=NOISE)
    assert np.array_equal(
        ome_writers.open(twice.destination)[:], ome_writers.open(once.destination)[:]
    )
    table = quantization_table(NOISE, np.dtype("uint16"))
    assert np.array_equal(table[table], table)


def test_convert_quantizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = camera(np.full((64, 64), 200), 2)
    source = write(tmp_path / "a.ome.zarr", frames)
    target = tmp_path / "b.ome.tiff"
    noise = "offset=100,gain=4,read_noise=1.6"
    assert main(["convert", str(source), str(target), "--quantize", noise]) == 0
    stored = quantization_table(NOISE, frames.dtype)[frames]
    assert np.array_equal(ome_writers.open(target)[:], stored)
    capsys.readouterr()
    assert main(["info", str(target), "--json"]) == 0
    assert "quantized" in json.loads(capsys.readouterr().out)["lossy"]
    assert ome_writers.read(source).metadata.get("quantization") is None
    with pytest.raises(SettingsError, match="Leave out verify"):
        convert(source, tmp_path / "c.ome.zarr", quantize=NOISE, verify=True)


def test_other_dtypes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    with pytest.raises(UnsupportedError, match="uint8 and uint16, got float32"):
        write(path, np.zeros((1, 8, 8), "float32"), quantize=NOISE)
    assert not path.exists()
    assert AcquisitionSettings().quantize is None


def test_advise_estimates_gain_and_offset(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The read noise moves the offset by ``gain * read_noise ** 2``, so that the variance is the same."""
    y, x = np.mgrid[:256, :256]
    electrons = 20 + 2000 * np.exp(-((x - 128) ** 2 + (y - 128) ** 2) / 5000)
    path = write(tmp_path / "still.ome.zarr", camera(electrons, 2))
    assert main(["advise", "--noise", str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["gain"] == pytest.approx(NOISE.gain, rel=0.05)
    assert found["offset"] == pytest.approx(NOISE.offset - NOISE.gain * NOISE.read_noise**2, abs=8)
    assert main(["advise", "--noise", str(path)]) == 0
    assert "--quantize offset=" in capsys.readouterr().out
    flat = write(tmp_path / "flat.ome.zarr", np.zeros((2, 64, 64), "uint16"))
    assert main(["advise", "--noise", str(flat)]) == 1
    assert "two frames of a scene" in capsys.readouterr().err
    assert main(["advise", "--fps", "5"]) == 2
    assert "required: --frame" in capsys.readouterr().err
