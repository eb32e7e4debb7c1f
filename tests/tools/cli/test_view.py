"""``ome-writers view``: the viewer that it opens, and its errors. What the viewers show is tested with the adapters."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ome_writers import create_stream, dims_from_standard_axes
from ome_writers_tools.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "run.ome.zarr"
    dimensions = dims_from_standard_axes({"t": 1, "y": 4, "x": 4})
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint8") as stream:
        stream.append(np.ones((4, 4), "uint8"))
    return path


@pytest.fixture
def no_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("napari", "ndv"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("no_viewer")
def test_missing_viewers_are_named_with_their_extras(
    dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(dataset)]) == 1
    error = capsys.readouterr().err
    assert "ome-writers[napari]" in error
    assert "ome-writers[ndv]" in error


@pytest.mark.usefixtures("no_viewer")
@pytest.mark.parametrize("viewer", ["napari", "ndv"])
def test_chosen_viewer_is_not_replaced_by_another(
    viewer: str, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(dataset), "--with", viewer]) == 1
    error = capsys.readouterr().err
    assert f"needs {viewer}, which is not installed" in error
    assert f"ome-writers[{viewer}]" in error


def test_path_is_checked_before_a_window_opens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["view", str(tmp_path / "missing.ome.zarr")]) == 1
    assert "missing.ome.zarr" in capsys.readouterr().err
    assert main(["view", str(tmp_path), "--with", "imagej"]) == 2
    assert "invalid choice: 'imagej'" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="displays: only Linux may lack one")
def test_machine_without_a_display(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Qt would abort the process."""
    monkeypatch.setitem(sys.modules, "ndv", ModuleType("ndv"))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    assert main(["view", str(dataset), "--with", "ndv"]) == 1
    (error,) = capsys.readouterr().err.splitlines()
    assert "there is no display" in error
    assert f"`ome-writers preview {dataset}`" in error


def test_machine_without_opengl(
    dataset: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    adapter = ModuleType("ome_writers_ndv")

    def show(_: object) -> None:
        raise AttributeError("'NoneType' object has no attribute 'decode'")  # as vispy does

    adapter.show = show  # type: ignore[attr-defined]  # of this test
    monkeypatch.setitem(sys.modules, "ndv", ModuleType("ndv"))
    monkeypatch.setitem(sys.modules, "ome_writers_ndv", adapter)
    monkeypatch.setenv("QT_QPA_PLATFORM", "offscreen")
    assert main(["view", str(dataset), "--with", "ndv"]) == 1
    note, error = capsys.readouterr().err.splitlines()
    assert note.startswith("Starting ndv")
    assert "it needs a display with OpenGL" in error
    assert "cannot be read" not in error
