"""What ndv shows of a view: colors, names, contrast, and the thickness of a z-stack."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Channel, Dimension, create_stream

if TYPE_CHECKING:
    from pathlib import Path

ndv = pytest.importorskip("ndv", reason="ndv is not installed")
from ndv.models import ArrayDisplayModel  # noqa: E402 # see above

import ome_writers_ndv  # noqa: E402 # needs ndv

CHANNELS = [
    Channel(name="DAPI", color="#0000FF", window=(5, 400)),
    Channel(name="FITC", color="#00FF00"),
]


@pytest.fixture(params=["run.ome.zarr", "run.ome.tiff"])
def view(tmp_path: Path, request: pytest.FixtureRequest) -> ome_writers.StreamView:
    settings = AcquisitionSettings(
        root_path=tmp_path / request.param,
        dimensions=[
            Dimension(name="t", count=2, scale=3, unit="second"),
            Dimension(name="c", coords=CHANNELS),
            Dimension(name="z", count=4, scale=2, unit="micrometer"),
            Dimension(name="y", count=6, scale=0.5, unit="micrometer"),
            Dimension(name="x", count=7, scale=0.5, unit="micrometer"),
        ],
        dtype="uint16",
    )
    with create_stream(settings) as stream:
        for number in range(16):
            stream.append(np.full((6, 7), number, "uint16"))
    return ome_writers.open(tmp_path / request.param)


def test_wrapper_is_registered(view: ome_writers.StreamView) -> None:
    """Ndv's own factory returns the wrapper; z is four times as thick as a pixel is wide."""
    wrapper = ndv.DataWrapper.create(view)
    assert isinstance(wrapper, ome_writers_ndv.StreamViewWrapper)
    assert wrapper.axis_scales() == {"t": 3, "z": 2, "y": 0.5, "x": 0.5}
    assert wrapper.channel_names(wrapper.guess_channel_axis()) == {0: "DAPI", 1: "FITC"}
    assert wrapper.sizes() == {"t": 2, "c": 2, "z": 4, "y": 6, "x": 7}
    np.testing.assert_array_equal(wrapper.isel({0: 1, 1: 0, 2: 3}), view[1, 0, 3])


def test_display_model_has_the_colors_of_the_dataset(view: ome_writers.StreamView) -> None:
    model = ArrayDisplayModel(**ome_writers_ndv.display_options(view))
    assert (model.channel_mode, model.channel_axis) == ("composite", "c")
    colors = {lut.name: lut.cmap.color_stops[-1].color.hex.upper() for lut in model.luts.values()}
    assert colors == {"DAPI": "#0000FF", "FITC": "#00FF00"}
    assert (model.luts[0].clims.min, model.luts[0].clims.max) == (5, 400)
    assert model.current_index["z"] == 1


def test_view_without_channels_has_no_channel_axis() -> None:
    """Ndv would otherwise take the shortest axis, here the positions."""
    view = ome_writers.StreamView([np.zeros((9, 6, 7)), np.zeros((9, 6, 7))])
    assert "channel_axis" not in ome_writers_ndv.display_options(view)
    assert ndv.DataWrapper.create(view).guess_channel_axis() is None


@pytest.mark.filterwarnings("ignore:Error fetching icon")  # ndv loads its icons from the internet
def test_each_time_point_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("qtpy", reason="ndv has no Qt window without qtpy")
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance() or QApplication([])
    read: list[int] = []
    isel = ome_writers_ndv.StreamViewWrapper.isel

    def record(wrapper: Any, index: Any) -> Any:
        read.append(index[0].start)
        return isel(wrapper, index)

    monkeypatch.setattr(ome_writers_ndv.StreamViewWrapper, "isel", record)
    dimensions = ome_writers.dims_from_standard_axes({"t": 5, "y": 6, "x": 7})
    with create_stream(
        root_path=tmp_path / "run.ome.zarr", dimensions=dimensions, dtype="uint16"
    ) as stream:
        viewer = ome_writers_ndv.create_viewer(stream)
        for number in range(5):
            stream.append(np.full((6, 7), number, "uint16"))
            deadline = time.monotonic() + 300
            while number not in read and time.monotonic() < deadline:
                application.processEvents()
                time.sleep(0.01)
    viewer.close()
    assert read == [0, 1, 2, 3, 4]


@pytest.mark.filterwarnings("ignore:Error fetching icon")  # ndv loads its icons from the internet
def test_viewer_follows_a_stream(tmp_path: Path) -> None:
    """The caller keeps the viewer only; the object that polls the stream must survive a garbage collection."""
    pytest.importorskip("qtpy", reason="ndv has no Qt window without qtpy")
    from qtpy.QtWidgets import QApplication

    application = QApplication.instance() or QApplication([])
    dimensions = ome_writers.dims_from_standard_axes({"t": 9, "y": 6, "x": 7})
    with create_stream(
        root_path=tmp_path / "run.ome.zarr", dimensions=dimensions, dtype="uint16"
    ) as stream:
        viewer = ome_writers_ndv.create_viewer(stream)
        gc.collect()
        for number in range(9):
            stream.append(np.full((6, 7), number, "uint16"))
        deadline = time.monotonic() + 300
        while viewer.display_model.current_index.get("t") != 8 and time.monotonic() < deadline:
            application.processEvents()
            time.sleep(0.01)
        assert viewer.display_model.current_index["t"] == 8
    viewer.close()
