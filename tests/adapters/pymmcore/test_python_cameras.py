"""Python cameras, several of them, whose frames are not alike."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adapters.pymmcore.acquisitions import delivered, release_core
from adapters.pymmcore.stored import SUFFIXES, read
from ome_writers_pymmcore import MDAWriter, record

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")

import useq
from pymmcore_plus.experimental.unicore import UniMMCore

from adapters.pymmcore.cameras import CountingCamera, TurnsEngine, WholeBurstsEngine, put_camera

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import DTypeLike

pytestmark = pytest.mark.camera

LABELS = ["Wide", "Narrow"]


@pytest.fixture
def core() -> Iterator[UniMMCore]:
    """Return a core with two Python cameras that differ in size and dtype."""
    core = UniMMCore()
    core.mda.set_engine(WholeBurstsEngine(core))
    for label, camera in zip(
        LABELS, (CountingCamera((32, 48)), CountingCamera((16, 20), "uint8")), strict=True
    ):
        core.loadPyDevice(label, camera)
        core.initializeDevice(label)
    core.setCameraDevice("Wide")
    core.setAutoShutter(False)
    yield core
    release_core(core)


@SUFFIXES
@pytest.mark.parametrize("copy", [False, True])
def test_two_python_cameras(core: UniMMCore, suffix: str, copy: bool, tmp_path: Path) -> None:
    """Each of two Python cameras has its image in one dataset."""
    core.mda.set_engine(TurnsEngine(core, LABELS))
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=core, copy=copy)
    with delivered(core) as frames:
        core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 4}), output=writer)
    assert writer.result().written == len(frames) == 8
    wide, narrow = (image.pixels for image in read(tmp_path / f"x.ome.{suffix}"))
    assert (wide.dtype, narrow.dtype) == (np.uint16, np.uint8)
    images = (wide.reshape(4, 32, 48), narrow.reshape(4, 16, 20))
    for index, frame in frames:
        np.testing.assert_array_equal(images[index["cam"]][index["t"]], frame)


@SUFFIXES
def test_view_created_before_a_camera_joins(
    core: UniMMCore, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The view keeps its axes and continues with the first camera in the new output."""
    core.mda.set_engine(TurnsEngine(core, LABELS))
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}").attach(core)
    views: list[Any] = []
    expanded = threading.Event()
    shown: list[bool] = []

    def start(*_: Any) -> None:
        view = writer.view()
        view.coords_changed.connect(expanded.set)
        views.append(view)
        assert (view.shape, view.dtype) == ((0, 0, 32, 48), np.uint16)

    def look(image: np.ndarray, event: useq.MDAEvent) -> None:
        if event.index["cam"] == 0:
            shown.append(np.array_equal(views[0][event.index["t"], event.index["c"]], image))

    core.mda.events.sequenceStarted.connect(start)
    core.mda.events.frameReady.connect(look)
    seq = useq.MDASequence(time_plan={"interval": 0, "loops": 3}, channels=["DAPI", "FITC"])
    with delivered(core) as frames:
        core.mda.run(seq)
    core.mda.events.sequenceStarted.disconnect(start)
    core.mda.events.frameReady.disconnect(look)
    writer.detach()
    assert writer.result().written == 12
    assert shown == [True] * 6
    assert expanded.wait(300)
    (view,) = views
    assert (view.dims, view.shape) == (("t", "c", "y", "x"), (3, 2, 32, 48))
    assert list(view.coords["c"]) == ["DAPI", "FITC"]
    for index, frame in frames:
        if index["cam"] == 0:
            np.testing.assert_array_equal(view[index["t"], index["c"]], frame)
    again = writer.view()
    assert (again.dims, again.shape) == (("t", "c", "cam", "y", "x"), (3, 2, 2, 32, 48))
    np.testing.assert_array_equal(again[:, :, 0], view)
    assert "'Narrow' joined" in caplog.text
    assert "show 'Wide' only" in caplog.text


@SUFFIXES
def test_numbered_output_keeps_its_name_when_a_camera_joins(
    core: UniMMCore, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative to the working folder at the start of the run; the existing dataset is unchanged."""
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)
    core.mda.set_engine(TurnsEngine(core, LABELS))
    sequence = useq.MDASequence(time_plan={"interval": 0, "loops": 2})
    core.mda.run(sequence, output=MDAWriter(f"x.ome.{suffix}", core=core))
    before = [image.pixels for image in read(tmp_path / f"x.ome.{suffix}")]
    writer = MDAWriter(f"x.ome.{suffix}", core=core, numbered=True).attach(core)
    core.mda.events.sequenceStarted.connect(lambda *_: monkeypatch.chdir(tmp_path / "other"))
    core.mda.run(sequence)
    assert writer.result().written == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(
        ["other", f"x.ome.{suffix}", f"x_1.ome.{suffix}"]
    )
    assert len(read(tmp_path / f"x_1.ome.{suffix}")) == 2
    for image, pixels in zip(read(tmp_path / f"x.ome.{suffix}"), before, strict=True):
        np.testing.assert_array_equal(image.pixels, pixels)


def test_iterator_of_events_with_two_cameras(core: UniMMCore, tmp_path: Path) -> None:
    """Without a sequence, the frames of each camera are counted separately."""
    core.mda.set_engine(TurnsEngine(core, LABELS))
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=core, cameras=LABELS)
    with delivered(core) as frames:
        core.mda.run((useq.MDAEvent(index={"t": t}) for t in range(3)), output=writer)
    assert writer.result().written == len(frames) == 6
    images = [image.pixels for image in read(tmp_path / "x.ome.zarr")]
    for index, frame in frames:
        np.testing.assert_array_equal(images[index["cam"]][index["t"]], frame)


class TwoHeads(CountingCamera):
    """A camera with a second, smaller sensor, whose frames are delivered into the same buffer."""

    def start_sequence(
        self, n: int | None, get_buffer: Callable[[Sequence[int], DTypeLike], np.ndarray]
    ) -> Iterator[Mapping[str, Any]]:
        for number in range(n or 0):
            shape, dtype = (((32, 48), "uint16"), ((16, 20), "uint8"))[number % 2]
            frame = get_buffer(shape, dtype)
            frame[...] = number + 1
            yield {"CameraChannelIndex": str(number % 2)}


@SUFFIXES
def test_record_two_python_cameras(core: UniMMCore, suffix: str, tmp_path: Path) -> None:
    """Frames of two sizes from one buffer are stored as one image per camera."""
    put_camera(core, TwoHeads())
    with pytest.raises(ValueError, match=r"does not have \['Third'\]"):
        record(core, tmp_path / "y.ome.zarr", n_frames=4, cameras=["Third"], progress=False)
    counts = record(core, tmp_path / f"x.ome.{suffix}", n_frames=4, cameras=LABELS, progress=False)
    assert (counts.received, counts.written, counts.expected) == (8, 8, 8)
    wide, narrow = (image.pixels for image in read(tmp_path / f"x.ome.{suffix}"))
    assert [int(f.max()) for f in wide.reshape(4, -1)] == [1, 3, 5, 7]
    assert [int(f.min()) for f in narrow.reshape(4, 16, 20)] == [2, 4, 6, 8]
