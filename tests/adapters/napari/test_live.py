"""Layers of a running acquisition in napari, without a window: its viewer model and an off-screen Qt application."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Channel, Dimension, OMEStream, Position, create_stream
from ome_writers_napari import add_live
from ome_writers_napari.stacks import FrameStack

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of npe2

_TIMEOUT_S = 300


@pytest.fixture(scope="module")
def application() -> Iterator[Any]:
    pytest.importorskip("napari", reason="napari is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QT_QPA_PLATFORM", "offscreen")
        widgets = pytest.importorskip("qtpy.QtWidgets", reason="Qt is not installed")
        yield widgets.QApplication.instance() or widgets.QApplication([])


@pytest.fixture
def viewer(application: Any) -> Any:
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def stream(tmp_path: Path) -> Iterator[OMEStream]:
    """A stream of 6 times, 2 neighbouring positions and 2 channels."""
    settings = AcquisitionSettings(
        root_path=tmp_path / "run.ome.zarr",
        dimensions=[
            Dimension(name="t", count=6, scale=2, unit="second"),
            Dimension(
                name="p",
                coords=[
                    Position(name="A", x_coord=10, y_coord=20),
                    Position(name="B", x_coord=16, y_coord=20),
                ],
            ),
            Dimension(name="c", coords=[Channel(name="DAPI", color="blue"), "FITC"]),
            Dimension(name="y", count=8, scale=0.5, unit="micrometer"),
            Dimension(name="x", count=12, scale=0.5, unit="micrometer"),
        ],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        yield stream


def _append(stream: OMEStream, numbers: range) -> None:
    for number in numbers:
        stream.append(np.full((8, 12), 10 * (number + 1), "uint16"))


def _process_events_until(application: Any, reached: Any) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while not reached():
        assert time.monotonic() < deadline
        application.processEvents()
        time.sleep(0.01)


def _record_reads(stack: FrameStack, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which the time point of each read frame of the stack is added from now on."""
    read: list[int] = []
    get = FrameStack.__getitem__

    def record(self: FrameStack, key: Any) -> Any:
        if self is stack:
            read.append(int(key[0]))
        return get(self, key)

    monkeypatch.setattr(FrameStack, "__getitem__", record)
    return read


def test_layers_grow_with_the_stream(application: Any, viewer: Any, stream: OMEStream) -> None:
    """A layer per channel, at a quarter, half and end; the slider follows the newest complete time point."""
    live = add_live(viewer, stream)
    assert not viewer.layers
    _append(stream, range(6))  # the second time point is half complete
    _process_events_until(application, lambda: len(viewer.layers) == 2)
    dapi, fitc = viewer.layers
    assert (dapi.name, dapi.colormap.name, fitc.name) == ("DAPI", "blue", "FITC")
    assert dapi.data.shape == (2, 8, 24)
    assert viewer.dims.current_step[0] == 0
    np.testing.assert_array_equal(dapi.data[0, 0], [10] * 12 + [30] * 12)
    np.testing.assert_array_equal(fitc.data[0, 0], [20] * 12 + [40] * 12)
    assert list(dapi.translate) == [0, 20, 10]
    assert list(dapi.scale) == [2, 0.5, 0.5]

    _append(stream, range(6, 12))
    _process_events_until(application, lambda: dapi.data.shape[0] == 3)
    assert viewer.dims.current_step[0] == 1

    _append(stream, range(12, 24))
    stream.close()
    _process_events_until(application, lambda: viewer.dims.current_step[0] == 5)
    assert dapi.data.shape == (6, 8, 24)
    assert list(live.layers.values()) == [dapi, fitc]
    assert dapi.contrast_limits[1] >= 210  # the data of the last time point
    np.testing.assert_array_equal(fitc.data[5, 0], [220] * 12 + [240] * 12)


def test_user_settings_are_kept(application: Any, viewer: Any, stream: OMEStream) -> None:
    """A slider or contrast that the user has moved is not moved again."""
    add_live(viewer, stream.view())
    _append(stream, range(12))
    _process_events_until(application, lambda: len(viewer.layers) == 2)
    viewer.dims.set_current_step(0, 0)
    viewer.layers["DAPI"].contrast_limits = (0, 77)
    _append(stream, range(12, 24))
    stream.close()
    _process_events_until(application, lambda: viewer.layers["DAPI"].data.shape[0] == 6)
    assert viewer.dims.current_step[0] == 0
    assert list(viewer.layers["DAPI"].contrast_limits) == [0, 77]


def test_dataset_of_another_process_is_followed_by_path(
    application: Any, viewer: Any, stream: OMEStream, tmp_path: Path
) -> None:
    _append(stream, range(8))
    stream.flush()
    add_live(viewer, tmp_path / "run.ome.zarr")
    assert viewer.layers["FITC"].data.shape == (2, 8, 24)
    _append(stream, range(8, 24))
    stream.close()
    _process_events_until(application, lambda: viewer.layers["FITC"].data.shape[0] == 6)
    np.testing.assert_array_equal(viewer.layers["FITC"].data[5, 0], [220] * 12 + [240] * 12)


def test_dataset_is_opened_before_its_first_flush(
    application: Any, viewer: Any, stream: OMEStream, tmp_path: Path
) -> None:
    """Until then, the shape on disk is the planned one."""
    add_live(viewer, tmp_path / "run.ome.zarr")
    _append(stream, range(8))
    stream.flush()
    _process_events_until(
        application, lambda: viewer.layers and viewer.layers["DAPI"].data.shape[0] == 2
    )
    assert viewer.dims.current_step[0] <= 1


def test_slider_follows_the_frames_of_a_growing_tiff(
    application: Any, viewer: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its shape is the planned one from the start."""
    dimensions = [
        Dimension(name="t", count=6),
        Dimension(name="c", coords=["DAPI", "FITC"]),
        Dimension(name="y", count=8),
        Dimension(name="x", count=12),
    ]
    path = tmp_path / "run.ome.tiff"
    with create_stream(root_path=path, dimensions=dimensions, dtype="uint16") as stream:
        _append(stream, range(7))
        stream.flush()
        add_live(viewer, path)
        assert viewer.layers["DAPI"].data.shape == (6, 8, 12)
        assert viewer.dims.current_step[0] == 2
        read = _record_reads(viewer.layers["DAPI"].data, monkeypatch)
        _append(stream, range(7, 12))
    _process_events_until(application, lambda: viewer.dims.current_step[0] == 5)
    assert read[0] > 2  # the time point displayed before is not read again


def test_polling_stops_when_the_layers_are_removed(
    application: Any, viewer: Any, stream: OMEStream
) -> None:
    live = add_live(viewer, stream)
    _append(stream, range(12))
    _process_events_until(application, lambda: len(viewer.layers) == 2)
    viewer.layers.clear()
    _process_events_until(application, lambda: not live.active)
    _append(stream, range(12, 24))
    assert not viewer.layers


def test_manifest_opens_a_dataset(viewer: Any, stream: OMEStream, tmp_path: Path) -> None:
    """`viewer.open` finds the reader by the manifest of the package."""
    from npe2 import PluginManager, PluginManifest

    import ome_writers_napari

    _append(stream, range(24))
    stream.close()
    manifest = Path(ome_writers_napari.__file__).with_name("napari.yaml")
    manager = PluginManager.instance()
    manager.register(PluginManifest.from_file(manifest), warn_disabled=False)
    viewer.open(tmp_path / "run.ome.zarr", plugin="ome-writers")
    assert [layer.name for layer in viewer.layers] == ["DAPI", "FITC"]
    assert viewer.layers["DAPI"].data.shape == (6, 8, 24)


def test_grid_wider_than_a_screen_is_a_multiscale_layer(viewer: Any, tmp_path: Path) -> None:
    settings = AcquisitionSettings(
        root_path=tmp_path / "grid.ome.zarr",
        dimensions=[
            Dimension(
                name="p",
                coords=[Position(name=f"{i}", x_coord=600 * i, y_coord=0) for i in range(4)],
            ),
            Dimension(name="y", count=600, scale=1, unit="micrometer"),
            Dimension(name="x", count=600, scale=1, unit="micrometer"),
        ],
        dtype="uint8",
    )
    with create_stream(settings) as stream:
        for _ in range(4):
            stream.append(np.ones((600, 600), "uint8"))
    add_live(viewer, settings.root_path).stop()
    (layer,) = viewer.layers
    assert layer.multiscale
    assert [level.shape for level in layer.data] == [(600, 2400), (300, 1200)]


@pytest.mark.parametrize("kind", ["stream", "view", "path"])
def test_labels_follow_the_stream(
    application: Any, viewer: Any, stream: OMEStream, tmp_path: Path, kind: str
) -> None:
    """Of a stream, of its view, and of the dataset; the labels are added after the layers of the image."""
    path = tmp_path / "run.ome.zarr"
    _append(stream, range(8))
    stream.flush()
    live = add_live(viewer, {"stream": stream, "view": stream.view(), "path": path}[kind])
    _process_events_until(application, lambda: len(viewer.layers) == 2)
    cells = stream.derive("cells", dtype="uint16")
    cells.append(np.full((8, 12), 1, "uint16"))
    cells.append(np.full((8, 12), 2, "uint16"))
    stream.flush()
    _process_events_until(application, lambda: len(viewer.layers) == 3)
    layer = viewer.layers["cells"]
    assert type(layer).__name__ == "Labels"
    assert list(layer.translate) == list(viewer.layers["DAPI"].translate)
    np.testing.assert_array_equal(layer.data[0, 0], [1] * 12 + [2] * 12)
    _append(stream, range(8, 24))
    for number in range(2, 12):
        cells.append(np.full((8, 12), number + 1, "uint16"))
    stream.close()
    _process_events_until(application, lambda: not live.active)
    assert layer.data.shape == (6, 8, 24)
    np.testing.assert_array_equal(layer.data[5, 0], [11] * 12 + [12] * 12)
    assert viewer.dims.current_step[0] == 5
