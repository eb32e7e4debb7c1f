"""`add_pyramid`: the same levels in place as those that are written while streaming."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers as omew
from ome_writers import Dimension, OutputExistsError, Position, Pyramid, UnsupportedError
from ome_writers.formats.omezarr import pyramid as pyramid_module
from ome_writers.repair import repair
from ome_writers_tools.cli import main

if TYPE_CHECKING:
    from pathlib import Path

POSITIONS = [Position(name="a", x_coord=5.0, y_coord=3.0), Position(name="b")]
DIMENSIONS = [
    Dimension(name="t", count=3, chunk_size=2),
    Dimension(name="p", type="position", coords=POSITIONS),
    Dimension(name="z", count=5, scale=2.0, unit="micrometer"),
    Dimension(name="y", count=50, scale=0.5, unit="micrometer"),
    Dimension(name="x", count=37, scale=0.5, unit="micrometer"),
]


def write(path: Path, version: str = "0.5", pyramid: Any = None, frames: int = 27) -> None:
    """Write noise; with 27 of 30 frames the acquisition is cancelled inside a z-stack, in a pair."""
    rng = np.random.default_rng(0)
    with omew.create_stream(
        root_path=path,
        dimensions=DIMENSIONS,
        dtype="uint16",
        format={"name": "ome-zarr", "version": version},
        pyramid=pyramid,
    ) as stream:
        for _ in range(frames):
            stream.append(rng.integers(1, 9999, (50, 37)).astype("uint16"))


def group(path: Path) -> Any:
    return json.loads((path / "zarr.json").read_text(encoding="utf-8"))["attributes"]["ome"]


@pytest.mark.parametrize(
    ("version", "axes"),
    [
        ("0.5", ("z", "y", "x")),
        ("0.6", ("y", "x")),
        pytest.param("0.5", ("y", "x"), marks=pytest.mark.sweep),
        pytest.param("0.6", ("z", "y", "x"), marks=pytest.mark.sweep),
    ],
)
def test_levels_and_metadata_are_those_of_streaming(
    tmp_path: Path, version: str, axes: Any
) -> None:
    pyramid = Pyramid(levels=2, axes=axes)
    later, live = tmp_path / "later.ome.zarr", tmp_path / "live.ome.zarr"
    write(later, version)
    write(live, version, pyramid)
    planes: list[tuple[int, int]] = []
    added = omew.add_pyramid(later, pyramid, on_plane=lambda *counts: planes.append(counts))
    assert added == ["0", "1"]
    assert planes == [(n, 30) for n in range(1, 31)]
    for level in range(3):
        ours, theirs = (np.asarray(omew.open(path, level=level)) for path in (later, live))
        np.testing.assert_array_equal(ours, theirs)
    for image in ("0", "1"):
        assert group(later / image)["multiscales"] == group(live / image)["multiscales"]
    settings = omew.read(later).settings
    assert settings is not None
    assert settings.pyramid == pyramid
    assert not [finding for check in omew.validate(later).checks for finding in check.findings]
    assert not repair(later).findings
    assert omew.add_pyramid(later, pyramid) == []


def test_interrupted_run_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    write(path)

    def interrupt(done: int, _: int) -> None:
        if done == 20:  # in the second image
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        omew.add_pyramid(path, Pyramid(levels=1), on_plane=interrupt)
    assert [len(image.levels) for image in omew.read(path).images] == [2, 1]
    assert omew.add_pyramid(path, Pyramid(levels=1)) == ["1"]
    assert [len(image.levels) for image in omew.read(path).images] == [2, 2]
    assert not list(path.rglob(".ome-writers*"))
    assert not [finding for check in omew.validate(path).checks for finding in check.findings]


def test_killed_run_is_repeated(tmp_path: Path) -> None:
    """Nothing of the killed process remains, its lock neither."""
    path = tmp_path / "run.ome.zarr"
    write(path)
    code = """
import os, sys, ome_writers
levels = ome_writers.Pyramid(levels=1)
ome_writers.add_pyramid(sys.argv[1], levels, on_plane=lambda *_: os._exit(7))
"""
    assert subprocess.run([sys.executable, "-c", code, path], check=False).returncode == 7
    assert (path / ".ome-writers.lock").exists()
    assert omew.add_pyramid(path, Pyramid(levels=1)) == ["0", "1"]
    assert not list(path.rglob(".ome-writers*"))
    assert not [path for path in tmp_path.iterdir() if path.name != "run.ome.zarr"]
    assert omew.validate(path).valid


def test_crash_before_the_metadata_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The arrays are in place then, but the image does not list them."""
    path = tmp_path / "run.ome.zarr"
    write(path)

    def crash(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="no space"):
        patch.setattr(pyramid_module, "open_metadata", crash)
        omew.add_pyramid(path, Pyramid(levels=1))
    assert (path / "0" / "1").is_dir()
    assert omew.add_pyramid(path, Pyramid(levels=1)) == ["0", "1"]
    assert not [finding for check in omew.validate(path).checks for finding in check.findings]


def test_folder_that_the_image_does_not_list_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    write(path)
    (path / "0" / "1").mkdir()
    (path / "0" / "1" / "notes.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match="does not list it"):
        omew.add_pyramid(path, Pyramid(levels=1))
    assert (path / "0" / "1" / "notes.txt").read_text() == "mine"


def test_ome_tiff_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.tiff"
    frame = [Dimension(name="y", count=8), Dimension(name="x", count=8)]
    with omew.create_stream(root_path=path, dimensions=frame, dtype="uint8") as stream:
        stream.append(np.ones((8, 8), np.uint8))
    with pytest.raises(UnsupportedError, match="--pyramid mean"):
        omew.add_pyramid(path)


def test_command_counts_one_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.ome.zarr"
    frame = [Dimension(name="y", count=8), Dimension(name="x", count=8)]
    with omew.create_stream(root_path=path, dimensions=frame, dtype="uint8") as stream:
        stream.append(np.ones((8, 8), np.uint8))
    assert main(["pyramid", str(path), "--levels", "1"]) == 0
    assert capsys.readouterr().out.endswith("levels added to 1 image\n")


def test_command_adds_levels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "run.ome.zarr"
    write(path)
    assert main(["pyramid", str(path), "--method", "max", "--levels", "1", "--z"]) == 0
    assert "levels added to 2 images" in capsys.readouterr().out
    assert [level.shape[-3:] for level in omew.read(path).images[0].levels] == [
        (5, 50, 37),
        (3, 25, 19),
    ]
    assert main(["pyramid", str(path)]) == 0
    assert "nothing to add" in capsys.readouterr().out


@pytest.mark.parametrize("levels", ["0", "-1", "17", "auto"])
def test_command_refuses_number_of_levels(levels: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pyramid", "run.ome.zarr", f"--levels={levels}"]) == 2
    assert "argument --levels: " in capsys.readouterr().err


def test_convert_writes_levels(tmp_path: Path) -> None:
    frame = [Dimension(name="y", count=300), Dimension(name="x", count=300)]
    source = tmp_path / "run.ome.tiff"
    with omew.create_stream(root_path=source, dimensions=frame, dtype="uint8") as stream:
        stream.append(np.ones((300, 300), np.uint8))
    copy = tmp_path / "copy.ome.zarr"
    assert main(["convert", str(source), str(copy), "--pyramid", "max"]) == 0
    assert [level.shape for level in omew.read(copy).images[0].levels] == [(300, 300), (150, 150)]
