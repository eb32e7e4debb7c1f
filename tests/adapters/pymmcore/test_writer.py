"""MDAWriter: delivered frames are stored, also after errors, skipped events and cancellation."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from psygnal import SignalInstance

from adapters.pymmcore.acquisitions import delivered
from adapters.pymmcore.stored import SUFFIXES, attributes, check_delivered, read
from ome_writers import AcquisitionSettings, StreamView, WriteError
from ome_writers_pymmcore import MDAWriter, record
from ome_writers_useq import useq_to_acquisition_settings

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")

import useq
from pymmcore_plus.mda import MDAEngine, SkipEvent, mda_listeners_connected
from pymmcore_plus.mda.events import MDASignaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera

TIMES = {"interval": 0, "loops": 5}
TWO = ["DAPI", "FITC"]


class StubbornEngine(MDAEngine):
    """An engine that skips some events, and whose camera fails at others.

    Attributes
    ----------
    skipped, failing
        Time points.
    """

    skipped: frozenset[int] = frozenset()
    failing: frozenset[int] = frozenset()

    def setup_event(self, event: useq.MDAEvent) -> None:
        if event.index.get("t") in self.skipped:
            raise SkipEvent(num_frames=1, reason="skipped by the test")
        super().setup_event(event)

    def exec_single_event(self, event: useq.MDAEvent) -> Iterator[Any]:
        if event.index.get("t") in self.failing:
            return
        yield from super().exec_single_event(event)


@pytest.fixture
def engine(demo_core: CMMCorePlus) -> Iterator[StubbornEngine]:
    """Install an engine that can skip events and fail, for the duration of a test."""
    stubborn = StubbornEngine(demo_core, use_hardware_sequencing=False)
    before = demo_core.mda.set_engine(stubborn)
    yield stubborn
    demo_core.mda.set_engine(before)


@SUFFIXES
def test_skipped_events_and_failed_snaps_do_not_shift_frames(
    demo_core: CMMCorePlus, engine: StubbornEngine, suffix: str, tmp_path: Path
) -> None:
    """The index of a skipped event or failed snap is 0."""
    engine.skipped, engine.failing = frozenset({1}), frozenset({3})
    seq = useq.MDASequence(time_plan=TIMES, channels=TWO)
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=demo_core)
    with delivered(demo_core) as frames:
        demo_core.mda.run(seq, output=writer)
    assert [index["t"] for index, _ in frames] == [0, 0, 2, 2, 4, 4]
    (image,) = check_delivered(tmp_path / f"x.ome.{suffix}", seq, frames)
    assert image.pixels.shape[0] == 5
    assert not image.pixels[[1, 3]].any()
    counts = writer.result()
    assert (counts.received, counts.written, counts.expected, counts.dropped) == (6, 6, 10, 4)


@SUFFIXES
@pytest.mark.parametrize("stage", [0, 1, 4, 7])
def test_cancelled_run_keeps_received_frames(
    demo_core: CMMCorePlus, suffix: str, stage: int, tmp_path: Path
) -> None:
    """Cancelled before the first position, at its start and within it."""
    demo_core.mda.engine.use_hardware_sequencing = False
    seq = useq.MDASequence(
        axis_order="ptc", stage_positions=[(0, 0), (9, 9)], time_plan=TIMES, channels=TWO
    )
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=demo_core)

    def start(*_: Any) -> None:
        if stage == 0:
            demo_core.mda.cancel()

    demo_core.mda.events.sequenceStarted.connect(start)
    try:
        with delivered(demo_core, cancel_at=stage) as frames:
            demo_core.mda.run(seq, output=writer)
    finally:
        demo_core.mda.events.sequenceStarted.disconnect(start)
    assert len(frames) == stage
    check_delivered(tmp_path / f"x.ome.{suffix}", seq, frames)
    counts = writer.result()
    assert (counts.received, counts.written, counts.dropped) == (stage, stage, 0)


@SUFFIXES
def test_iterator_of_events_is_stored_in_order_of_arrival(
    demo_core: CMMCorePlus, suffix: str, tmp_path: Path
) -> None:
    """Events without a sequence are stored along one time axis."""
    writer = MDAWriter(tmp_path / f"x.ome.{suffix}", core=demo_core)
    with delivered(demo_core) as frames:
        demo_core.mda.run((useq.MDAEvent(index={"t": t}) for t in range(6)), output=writer)
    (image,) = read(tmp_path / f"x.ome.{suffix}")
    found = image.pixels.reshape(-1, *image.pixels.shape[-2:])
    np.testing.assert_array_equal(found, [frame for _, frame in frames])
    assert writer.result().received == 6


def test_custom_axis_in_event_index(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """With dimensions that include an axis `angle`, each frame is at the index of its event."""
    axes: list[Any] = [
        {"name": "t", "count": 2},
        {"name": "c", "coords": TWO, "type": "channel"},
        {"name": "z", "count": 2},
        {"name": "angle", "coords": [0, 90], "unit": "degree"},
        {"name": "y", "count": 32},
        {"name": "x", "count": 48},
    ]
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core, dimensions=axes)
    places = [(t, c, z, a) for a in (1, 0) for t in (0, 1) for z in (0, 1) for c in (1, 0)]
    events = [
        useq.MDAEvent(index=dict(zip("tcz", place, strict=False)) | {"angle": place[3]})
        for place in places
    ]
    with delivered(demo_core) as frames:
        demo_core.mda.run(iter(events), output=writer)
    assert writer.result().written == len(places)
    view = writer.view()
    assert view.shape == (2, 2, 2, 2, 32, 48)
    for place, (_, frame) in zip(places, frames, strict=True):
        np.testing.assert_array_equal(view[place], frame)


def test_iterator_with_dimensions_is_addressed_by_axis_name(
    demo_core: CMMCorePlus, tmp_path: Path
) -> None:
    """Events may be in any order, and an index may be written twice."""
    axes: list[Any] = [
        {"name": "t", "count": None, "type": "time"},
        {"name": "c", "coords": TWO, "type": "channel"},
        {"name": "y", "count": 32},
        {"name": "x", "count": 48},
    ]
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core, dimensions=axes)
    order = [(2, 1), (0, 0), (1, 1), (0, 0)]
    with delivered(demo_core) as frames:
        demo_core.mda.run((useq.MDAEvent(index={"t": t, "c": c}) for t, c in order), output=writer)
    assert writer.result().received == 4
    (image,) = read(tmp_path / "x.ome.zarr")
    expected = np.zeros((3, 2, 32, 48), "uint16")
    for index, frame in frames:
        expected[index["t"], index["c"]] = frame
    np.testing.assert_array_equal(image.pixels, expected)


def test_connected_manually_and_through_relay_thread(
    demo_core: CMMCorePlus, tmp_path: Path
) -> None:
    seq = useq.MDASequence(time_plan=TIMES, channels=TWO)
    attached = MDAWriter(tmp_path / "a.ome.zarr").attach(demo_core)
    relayed = MDAWriter(tmp_path / "b.ome.zarr", core=demo_core)
    with (
        delivered(demo_core) as frames,
        mda_listeners_connected(relayed, mda_events=demo_core.mda.events),
    ):
        demo_core.mda.run(seq)
    attached.detach()
    check_delivered(tmp_path / "a.ome.zarr", seq, frames)
    check_delivered(tmp_path / "b.ome.zarr", seq, frames)
    assert attached.result().written == relayed.result().written == 10


def test_relay_thread_without_sequence_finished(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """pymmcore-plus occasionally loses the last signal; the output is closed nevertheless."""
    calls: list[tuple[str, tuple[Any, ...]]] = []

    class Keep:
        def sequenceStarted(self, *args: Any) -> None:  # noqa: N802  # pymmcore-plus' name
            calls.append(("sequenceStarted", args))

        def frameReady(self, *args: Any) -> None:  # noqa: N802  # pymmcore-plus' name
            calls.append(("frameReady", args))

    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)

    class MDARelayThread(threading.Thread):
        signals = MDASignaler()

        def remaining(self) -> int:
            return 0

        def run(self) -> None:
            for name, args in calls:
                getattr(self.signals, name).emit(*args)

    with mda_listeners_connected(Keep(), mda_events=demo_core.mda.events, asynchronous=False):
        demo_core.mda.run(useq.MDASequence(time_plan=TIMES))
    relay = MDARelayThread()
    for name in ("sequenceStarted", "frameReady"):
        getattr(relay.signals, name).connect(getattr(writer, name))
    relay.start()
    assert writer.result(timeout=300).written == 5
    assert attributes(tmp_path / "x.ome.zarr")["ome_writers"]["status"] == "complete"


INTERRUPTED = """
import _thread
import signal
import sys
import threading
import time
import useq
from adapters.pymmcore.cameras import small_core
from ome_writers_pymmcore import MDAWriter

signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background ignore it

class SlowWriter(MDAWriter):
    def sequenceStarted(self, sequence, meta):
        time.sleep(1)  # frames wait in the relay thread
        super().sequenceStarted(sequence, meta)

core = small_core(48, 32)
writer = SlowWriter(sys.argv[1], core=core)
numbers = []

def count(image, event, meta):
    numbers.append(event.index["t"])
    if len(numbers) == 5:
        threading.Timer(0, _thread.interrupt_main).start()

core.mda.events.frameReady.connect(count)
try:
    core.mda.run(useq.MDASequence(time_plan={"interval": 0.05, "loops": 90}), output=writer)
except KeyboardInterrupt:
    counts = writer.result(300)
    print(counts.written, counts.dropped, len(numbers))
"""


def test_ctrl_c_closes_the_output_and_the_process_ends(tmp_path: Path) -> None:
    """pymmcore-plus does not stop its relay thread. The frames that it has not relayed yet are written, too."""
    path = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, tmp_path / "x.ome.zarr"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONSAFEPATH": ""},
    )
    written, dropped, delivered = done.stdout.split()
    # the interrupt may come between the test's listener and that of the relay thread
    assert int(written) in (int(delivered), int(delivered) - 1), done.stdout
    assert 4 <= int(written) < 90
    assert dropped == "0"
    assert attributes(tmp_path / "x.ome.zarr")["ome_writers"]["status"] == "cancelled"


def test_detach_closes_the_output(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """Ctrl-C ends ``mda.run`` without a signal to an attached writer."""
    if not isinstance(demo_core.mda.events.frameReady, SignalInstance):
        pytest.skip("PyQt aborts the process if a slot raises an exception")

    def interrupt(_image: np.ndarray, event: useq.MDAEvent) -> None:
        if event.index["t"] == 2:
            raise KeyboardInterrupt

    writer = MDAWriter(tmp_path / "x.ome.zarr").attach(demo_core)
    demo_core.mda.events.frameReady.connect(interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            demo_core.mda.run(useq.MDASequence(time_plan=TIMES))
    finally:
        demo_core.mda.events.frameReady.disconnect(interrupt)
        writer.detach()
    assert (writer.result(0).written, writer.result(0).dropped) == (3, 0)
    assert attributes(tmp_path / "x.ome.zarr")["ome_writers"]["status"] == "cancelled"


def test_sequence_is_parsed_once(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    passes: list[None] = []

    class Planes(useq.ZRelativePositions):
        def __iter__(self) -> Iterator[float]:
            passes.append(None)
            return iter(self.relative)

    sequence = useq.MDASequence(z_plan=Planes(relative=[0, 1, 3]), channels=TWO)
    useq_to_acquisition_settings(sequence, 48, 32)
    single = len(passes)
    passes.clear()
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)
    summary = demo_core.mda.engine.setup_sequence(useq.MDASequence(channels=TWO))
    writer.sequenceStarted(sequence, summary)
    assert len(passes) == single > 0
    writer.sequenceFinished(sequence)
    assert writer.result(0).expected == 6


@pytest.mark.parametrize("attached", [True, False], ids=["attached", "output"])
def test_listener_that_raises_before_the_writer(
    demo_core: CMMCorePlus, attached: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After a listener that raises, psygnal does not call the others, and it calls an attached writer first."""
    if not isinstance(demo_core.mda.events.frameReady, SignalInstance):
        pytest.skip("PyQt aborts the process if a slot raises an exception")

    def decide(_image: np.ndarray, event: useq.MDAEvent) -> None:
        if event.index["t"] == 2:
            raise ZeroDivisionError("raised by the test")

    seq = useq.MDASequence(time_plan=TIMES, channels=TWO)
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)
    with delivered(demo_core) as frames:
        demo_core.mda.events.frameReady.connect(decide)
        try:
            if attached:
                writer.attach(demo_core)
            demo_core.mda.run(seq, output=None if attached else writer)
        finally:
            demo_core.mda.events.frameReady.disconnect(decide)
            writer.detach()
    assert len(frames) == 10
    records = [r for r in caplog.records if r.name == "ome_writers" and r.levelname != "INFO"]
    warnings = [r.getMessage() for r in records]
    if attached:
        assert writer.result().written == 10
        assert not warnings
        check_delivered(tmp_path / "x.ome.zarr", seq, frames)
    else:
        assert writer.result().dropped == 2
        (message,) = warnings
        assert "8 of 10 frames arrived. Missing: {'t': 2, 'c': 0}, {'t': 2, 'c': 1}. " in message


def test_result_raises_error_that_names_all_lost_frames(
    demo_core: CMMCorePlus, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Frames that wait when the first error is noticed are lost, too."""

    def obstruct() -> None:
        (tmp_path / "x.ome.zarr" / "0" / "c").touch()  # instead of a folder

    settings = AcquisitionSettings(root_path=tmp_path / "x.ome.zarr", compression="blosc-zstd")
    writer = MDAWriter(settings).attach(demo_core)
    demo_core.mda.events.sequenceStarted.connect(obstruct)
    try:
        demo_core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 500}))
    finally:
        demo_core.mda.events.sequenceStarted.disconnect(obstruct)
        writer.detach()
    with pytest.raises(WriteError) as caught:
        writer.result()
    assert caught.value.frames == tuple(range(writer.progress.received))
    assert str(caught.value) in caplog.text


def test_view_and_progress_follow_the_run(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """During the run, `progress` counts the frames and the view contains them."""
    demo_core.mda.engine.use_hardware_sequencing = False
    writer = MDAWriter(tmp_path / "x.ome.zarr").attach(demo_core)
    assert writer.progress.received == 0
    with pytest.raises(RuntimeError, match="run has not started"):
        writer.view()
    seen: list[tuple[int, bool]] = []

    def look(image: np.ndarray, event: useq.MDAEvent) -> None:
        view = writer.view()
        assert isinstance(view, StreamView)
        shown = np.array_equal(view[event.index["t"]], image)
        seen.append((writer.progress.received, shown))

    demo_core.mda.events.frameReady.connect(look)
    try:
        demo_core.mda.run(useq.MDASequence(time_plan=TIMES))
    finally:
        demo_core.mda.events.frameReady.disconnect(look)
        writer.detach()
    assert seen == [(n, True) for n in range(1, 6)]
    assert str(writer.result()).startswith("5 of 5 frames received, 5 written, 0 dropped")


def test_writer_refuses_second_run(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """The second run is cancelled with a message that suggests a new writer."""
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)
    seq = useq.MDASequence(time_plan=TIMES)
    demo_core.mda.run(seq, output=writer)
    assert writer.result().written == 5
    demo_core.mda.run(seq, output=writer)
    with pytest.raises(RuntimeError, match="already written a run"):
        writer.result()


def test_changed_region_of_interest_is_refused(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """The error names both frame sizes; earlier frames are saved."""
    demo_core.mda.engine.use_hardware_sequencing = False
    writer = MDAWriter(tmp_path / "x.ome.zarr").attach(demo_core)

    def crop(_image: np.ndarray, event: useq.MDAEvent) -> None:
        if event.index["t"] == 1:
            demo_core.setROI(0, 0, 16, 16)

    demo_core.mda.events.frameReady.connect(crop)
    try:
        demo_core.mda.run(useq.MDASequence(time_plan=TIMES))
    finally:
        demo_core.mda.events.frameReady.disconnect(crop)
        demo_core.clearROI()
        writer.detach()
    with pytest.raises(
        ValueError, match=r"\(32, 48\), got \(16, 16\).*region of interest.* 2 frames"
    ):
        writer.result()
    assert read(tmp_path / "x.ome.zarr")[0].pixels.shape == (2, 32, 48)


def test_event_metadata_that_is_not_json(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    """Objects that JSON cannot represent are stored as text."""
    events = [useq.MDAEvent(index={"t": 0}, metadata={"odd": object, "tile": 3})]
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)
    demo_core.mda.run(iter(events), output=writer)
    assert writer.result().written == 1
    (frame,) = attributes(tmp_path / "x.ome.zarr")["ome_writers"]["frame_metadata"]
    assert frame["event_metadata"]["tile"] == 3
    assert "object" in frame["event_metadata"]["odd"]


def test_sequence_metadata_that_is_not_json(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    sequence = useq.MDASequence(channels=["DAPI"], metadata={"weights": np.arange(3), "user": "me"})
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)
    demo_core.mda.run(sequence, output=writer)
    assert writer.result().written == 1
    summary = attributes(tmp_path / "x.ome.zarr")["pymmcore_plus"]["summary_metadata"]
    assert summary["mda_sequence"]["metadata"] == {"weights": "[0 1 2]", "user": "me"}


def test_result_timeout(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    sequence = useq.MDASequence(time_plan={"interval": 0.1, "loops": 5})
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)
    thread = demo_core.run_mda(sequence, output=writer)
    with pytest.raises(TimeoutError, match=r"not finished after 0\.01 s"):
        writer.result(timeout=0.01)
    assert writer.result().written == 5
    thread.join()


WITHOUT_A_RUN = """
import sys
from ome_writers_pymmcore import MDAWriter
MDAWriter(sys.argv[1]).result()
"""


def test_result_without_a_run_raises(tmp_path: Path) -> None:
    script = [sys.executable, "-c", WITHOUT_A_RUN, str(tmp_path / "x.ome.zarr")]
    done = subprocess.run(script, capture_output=True, text=True, timeout=300)
    assert "RuntimeError: MDAWriter.result: no run has started" in done.stderr


def test_result_after_a_run_with_another_output_raises(
    demo_core: CMMCorePlus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ome_writers_pymmcore.progress._START_TIMEOUT_S", 0.1)
    writer = MDAWriter(tmp_path / "x.ome.zarr", core=demo_core)
    demo_core.mda.run(useq.MDASequence(channels=["DAPI"]), output=tmp_path / "y.ome.zarr")
    with pytest.raises(RuntimeError, match="no run has started with this writer"):
        writer.result()


QT = """
import sys
import useq
from PyQt6.QtWidgets import QApplication
app = QApplication([])
from pymmcore_plus import CMMCorePlus
from ome_writers_pymmcore import MDAWriter
core = CMMCorePlus()
core.loadSystemConfiguration()
assert "Q" in type(core.mda.events).__name__, type(core.mda.events)
writer = MDAWriter(sys.argv[1]).attach(core)
other = MDAWriter(sys.argv[2], core=core)
core.mda.events.sequenceFinished.connect(app.quit)
thread = core.run_mda(useq.MDASequence(time_plan={"interval": 0, "loops": 7}), output=other)
app.exec()
thread.join()
app.processEvents()
print(writer.result(300).written, other.result(300).written)
"""


def test_qt_signals(tmp_path: Path) -> None:
    """With a Qt application, signals are delivered in the thread of its event loop; all frames are written."""
    pytest.importorskip("PyQt6.QtWidgets", exc_type=ImportError)
    pytest.importorskip("qtpy")
    done = subprocess.run(
        [sys.executable, "-c", QT, tmp_path / "a.ome.zarr", tmp_path / "b.ome.tiff"],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "QT_QPA_PLATFORM": "offscreen", "QT_API": "pyqt6"},
    )
    assert done.stdout.split() == ["7", "7"], done.stderr


@pytest.mark.parametrize("function", [MDAWriter, record])
def test_signature_lists_settings(function: Callable[..., Any]) -> None:
    """IPython and editors complete the keywords of a signature."""
    fields = AcquisitionSettings.model_fields.keys() - {"root_path"}
    assert fields < inspect.signature(function).parameters.keys()
