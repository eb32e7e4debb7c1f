"""Conversion of ``.npy`` files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import SettingsError, UnsupportedError, convert
from ome_writers_tools.cli import main

PIXELS = np.random.default_rng(7).integers(0, 255, (2, 3, 4, 16, 20)).astype("uint16")


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u2", ">f4"])
@pytest.mark.parametrize("ndim", [2, 3, 4, 5])
def test_axes_are_the_last_of_tczyx(tmp_path: Path, ndim: int, dtype: str, order: str) -> None:
    pixels = np.array(PIXELS[(0,) * (5 - ndim)], dtype, order=order)
    np.save(tmp_path / "old.npy", pixels)
    done = convert(tmp_path / "old.npy", tmp_path / "new.ome.zarr", verify=True)
    view = omew.open(done.destination)
    assert "".join(view.dims) == "tczyx"[-ndim:]
    assert np.array_equal(np.asarray(view), pixels)


def test_given_axes_and_rgb(tmp_path: Path) -> None:
    np.save(tmp_path / "stack.npy", PIXELS[0, 0])
    assert (
        main(["convert", f"{tmp_path}/stack.npy", f"{tmp_path}/t.ome.zarr", "--axes", "tyx"]) == 0
    )
    view = omew.open(tmp_path / "t.ome.zarr")
    assert view.dims == ("t", "y", "x")
    assert np.array_equal(np.asarray(view), PIXELS[0, 0])
    rgb = np.moveaxis(PIXELS[0], 0, -1).astype("uint8")
    np.save(tmp_path / "rgb.npy", rgb)
    assert np.array_equal(np.asarray(omew.open(tmp_path / "rgb.npy")), rgb)
    done = convert(tmp_path / "rgb.npy", tmp_path / "rgb.ome.zarr", verify=True)
    assert np.array_equal(np.asarray(omew.open(done.destination)), rgb)
    for wrong in ("yx", "tzyx", "yxt", "pyx"):
        with pytest.raises(SettingsError, match=r"has the axes 'zyx'"):
            convert(tmp_path / "stack.npy", tmp_path / "wrong.ome.zarr", axes=wrong)


def test_unreadable_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "old.npy"
    for array in (np.zeros(5), np.zeros((1,) * 7), np.array([[{}, 1]], object)):
        np.save(path, array)
        with pytest.raises(UnsupportedError, match=r"old\.npy"):
            convert(path, tmp_path / "new.ome.zarr")
    np.save(path, PIXELS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UnsupportedError, match=r"old\.npy"):
        convert(path, tmp_path / "new.ome.zarr")
