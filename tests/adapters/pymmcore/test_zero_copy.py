"""No byte of a frame is copied between the camera and the thread that writes it: by address, and by count."""

from __future__ import annotations

import mmap
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes
from ome_writers_pymmcore import LendingCore, MDAWriter, record

pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")

import useq
from pymmcore_plus.experimental.unicore import UniMMCore

from adapters.pymmcore.acquisitions import release_core, restore
from adapters.pymmcore.cameras import CountingCamera, WholeBurstsEngine, put_camera

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.thread_writer  # to another process, each frame is copied once
FRAME = (512, 512)
MEGABYTE = 2**20


class Arrivals:
    """Addresses of the frames that are appended to streams, and the bytes that the streams copied."""

    def __init__(self) -> None:
        self.addresses: list[int] = []
        self.streams: list[Any] = []

    @property
    def copied(self) -> int:
        return sum(stream.stats().bytes_copied for stream in self.streams)

    def watch(self, stream: Any) -> None:
        append = stream.append

        def watched(frame: np.ndarray, **options: Any) -> None:
            self.addresses.append(frame.ctypes.data)
            append(frame, **options)

        stream.append = watched
        self.streams.append(stream)


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> Arrivals:
    """Watch every stream that the adapter or pymmcore-plus creates."""
    import pymmcore_plus.mda._sink

    import ome_writers_pymmcore.recording
    import ome_writers_pymmcore.run_output

    found = Arrivals()

    def create(settings: AcquisitionSettings, **options: Any) -> Any:
        stream = create_stream(settings, **options)
        found.watch(stream)
        return stream

    monkeypatch.setattr(ome_writers_pymmcore.run_output, "create_stream", create)
    monkeypatch.setattr(ome_writers_pymmcore.recording, "create_stream", create)
    monkeypatch.setattr(pymmcore_plus.mda._sink, "create_stream", create)
    return found


@pytest.fixture
def lending_core() -> Iterator[LendingCore]:
    """Return a core with a Python camera of half a megabyte a frame."""
    core = LendingCore()
    core.mda.set_engine(WholeBurstsEngine(core))
    put_camera(core, CountingCamera(FRAME))
    yield core
    release_core(core)


def camera_of(core: LendingCore) -> Any:
    """Return the camera of a core."""
    return core._py_camera()


def settings(path: Path, frames: int) -> AcquisitionSettings:
    """Return settings for frames of half a megabyte."""
    sizes: Any = {"t": frames, "y": FRAME[0], "x": FRAME[1]}
    return AcquisitionSettings(
        root_path=path, dimensions=dims_from_standard_axes(sizes), dtype="uint16"
    )


def test_append_without_copy_writes_the_same_memory(tmp_path: Path) -> None:
    """With copy=False the engine refers to the caller's memory until the frame is written."""
    arrivals = Arrivals()
    frames = [np.full(FRAME, n, "uint16") for n in range(6)]
    with create_stream(settings(tmp_path / "a.ome.zarr", 6)) as stream:
        arrivals.watch(stream)
        for frame in frames:
            stream.append(frame, copy=False)
        stream.flush()
        assert stream.stats().bytes_buffered == 0
    assert arrivals.addresses == [frame.ctypes.data for frame in frames]
    assert arrivals.copied == 0


def test_frame_buffer_is_memory_of_the_stream(tmp_path: Path) -> None:
    """frame_buffer lends page-aligned memory of the stream's budget, which the engine writes without a copy."""
    arrivals = Arrivals()
    lent = []
    with create_stream(settings(tmp_path / "a.ome.zarr", 6)) as stream:
        arrivals.watch(stream)
        for n in range(6):
            with stream.frame_buffer() as frame:
                frame[...] = n
                lent.append(frame.ctypes.data)
                assert stream.stats().bytes_lent == frame.nbytes
    assert arrivals.addresses == lent
    assert arrivals.copied == 0
    assert all(address % mmap.PAGESIZE == 0 for address in lent)


def test_append_with_copy_writes_other_memory(tmp_path: Path) -> None:
    """Validates the count of copied bytes: an append with a copy, or of a strided frame, is counted."""
    arrivals = Arrivals()
    with create_stream(settings(tmp_path / "a.ome.zarr", 2)) as stream:
        arrivals.watch(stream)
        stream.append(np.zeros(FRAME, "uint16"))
        stream.append(np.zeros(FRAME, "uint16").T, copy=False)
    assert arrivals.copied == 2 * 512 * 512 * 2


@pytest.mark.parametrize(("suffix", "copied"), [("zarr", 0), ("tiff", 20)])
def test_python_camera_fills_stream_memory(
    lending_core: LendingCore, arrivals: Arrivals, tmp_path: Path, suffix: str, copied: int
) -> None:
    """`record` lends the stream's memory to the camera; OME-TIFF copies frames below 1 MiB into one buffer."""
    counts = record(lending_core, tmp_path / f"a.ome.{suffix}", n_frames=20, progress=False)
    assert (counts.received, counts.written, counts.dropped) == (20, 20, 0)
    assert arrivals.addresses == camera_of(lending_core).addresses
    assert arrivals.copied == copied * MEGABYTE // 2


@pytest.mark.parametrize("sequenced", [True, False], ids=["sequenced", "snapped"])
def test_python_camera_with_mda_engine(
    lending_core: LendingCore, arrivals: Arrivals, tmp_path: Path, sequenced: bool
) -> None:
    lending_core.mda.engine.use_hardware_sequencing = sequenced
    writer = MDAWriter(tmp_path / "a.ome.zarr", core=lending_core)
    lending_core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 8}), output=writer)
    assert writer.result().received == 8
    assert arrivals.addresses == camera_of(lending_core).addresses
    assert arrivals.copied == 0


@pytest.mark.camera
def test_cpp_camera_is_copied_by_pop_only(
    demo_core: CMMCorePlus, arrivals: Arrivals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    popped: list[int] = []
    kept: list[np.ndarray] = []  # or an address might be used again
    pop = demo_core.popNextImageAndMD

    def popping(*args: Any, **kwargs: Any) -> Any:
        image, metadata = pop(*args, **kwargs)
        popped.append(image.ctypes.data)
        kept.append(image)
        return image, metadata

    monkeypatch.setattr(demo_core, "popNextImageAndMD", popping)
    record(demo_core, tmp_path / "a.ome.zarr", n_frames=12, progress=False)
    assert arrivals.addresses == popped
    assert arrivals.copied == 0


def test_listener_cannot_modify_frame(lending_core: LendingCore, tmp_path: Path) -> None:
    frames: list[np.ndarray] = []
    writer = MDAWriter(tmp_path / "a.ome.zarr").attach(lending_core)
    lending_core.mda.events.frameReady.connect(lambda image, _event: frames.append(image))
    lending_core.mda.run(useq.MDASequence(time_plan={"interval": 0, "loops": 2}))
    writer.detach()
    assert writer.result().written == 2
    with pytest.raises(ValueError, match="read-only"):
        frames[0][0, 0] = 1


def test_unfilled_frame_buffer_is_returned(lending_core: LendingCore, tmp_path: Path) -> None:
    with create_stream(settings(tmp_path / "a.ome.zarr", 3)) as stream:
        with lending_core.lend(stream) as queue:
            queue.acquire_slot(FRAME, "uint16")[...] = 7
            queue.acquire_slot(FRAME, "uint16")[...] = 8
            queue.finalize_slot({"ImageNumber": "0"})
        assert queue.committed == 1
        assert stream.stats().frames_accepted == 1
        assert stream.stats().bytes_lent == 0
        assert np.unique(np.asarray(stream.view()[0])).tolist() == [7]


def test_camera_frame_of_wrong_size_is_refused(lending_core: LendingCore, tmp_path: Path) -> None:
    with (
        create_stream(settings(tmp_path / "a.ome.zarr", 3)) as stream,
        pytest.raises(ValueError, match=r"\(4, 4\).*\(512, 512\)"),
        lending_core.lend(stream) as queue,
        pytest.raises(BufferError, match="region of interest"),
    ):
        queue.acquire_slot((4, 4), "uint16")


def test_frame_queue_is_bounded(lending_core: LendingCore) -> None:
    lending_core.setCircularBufferMemoryFootprint(2)
    queue = lending_core._seq_buffer
    for overwrite in (True, False):
        queue.clear()
        queue.overwrite_on_overflow = overwrite
        for n in range(4):
            queue.acquire_slot(FRAME, "uint16")[...] = n
            queue.finalize_slot({})
        assert (len(queue), queue.overflow_occurred) == (4, False)
        if overwrite:
            queue.acquire_slot(FRAME, "uint16")
            frame, _ = queue.pop_next()
            assert frame[0, 0] == 1
        else:
            with pytest.raises(BufferError, match="full"):
                queue.acquire_slot(FRAME, "uint16")
        assert queue.overflow_occurred


@pytest.mark.camera
@pytest.mark.parametrize("frame_mib", [1, 2, 10])
@pytest.mark.parametrize("api", ["record", "MDAWriter", "mda.run(output=path)"])
@pytest.mark.parametrize("camera", ["C++", "Python", "Python in a LendingCore"])
def test_copies_per_frame_are_those_of_the_table(
    camera: str,
    api: str,
    frame_mib: int,
    request: pytest.FixtureRequest,
    arrivals: Arrivals,
    tmp_path: Path,
) -> None:
    """How many of 40 MiB are copied; with `copy=True`, `append` itself may write some of the frames."""
    core = core_with_large_frames(camera, frame_mib, request)
    n_frames = 40 // frame_mib
    copied = []
    for suffix in ("zarr", "tiff"):
        path = tmp_path / f"a.ome.{suffix}"
        if api == "record":
            record(core, path, n_frames=n_frames, progress=False)
        else:
            output = MDAWriter(path, core=core) if api == "MDAWriter" else path
            sequence = useq.MDASequence(time_plan={"interval": 0, "loops": n_frames})
            core.mda.run(sequence, output=output)
        assert sum(stream.stats().bytes_written for stream in arrivals.streams) == 40 * MEGABYTE
        copied.append(arrivals.copied // MEGABYTE)
        arrivals.streams.clear()
    print(
        f"{api}, {camera}, frames of {frame_mib} MiB: {copied[0]} MiB of OME-Zarr, {copied[1]} MiB of OME-TIFF are "
        "copied"
    )
    for number, documented in zip(copied, documented_copies(api), strict=True):
        most = int(documented.removeprefix("up to "))
        assert number == most or (number < most and documented.startswith("up to "))


def core_with_large_frames(camera: str, frame_mib: int, request: pytest.FixtureRequest) -> Any:
    """Return a core with a camera of `frame_mib` MiB per frame, and release or restore it after the test."""
    if camera == "C++":
        core = request.getfixturevalue("demo_core")
        mode = core.getProperty("Camera", "Mode")
        request.addfinalizer(lambda: core.setProperty("Camera", "Mode", mode))
        request.addfinalizer(lambda: restore(core))
        core.setProperty("Camera", "Mode", "Artificial Waves")  # faster than noise
        core.setProperty("Camera", "OnCameraCCDXSize", 1024)
        core.setProperty("Camera", "OnCameraCCDYSize", 512 * frame_mib)
        return core
    core = UniMMCore() if camera == "Python" else LendingCore()
    request.addfinalizer(lambda: release_core(core))
    core.mda.set_engine(WholeBurstsEngine(core))
    put_camera(core, CountingCamera((512 * frame_mib, 1024)))
    return core


def documented_copies(api: str) -> list[str]:
    """Return the cells for OME-Zarr and OME-TIFF in the table of the how-to page."""
    page = Path(__file__).parents[3] / "docs" / "how-to" / "record-with-pymmcore.md"
    lines = page.read_text(encoding="utf-8").splitlines()
    (row,) = (line for line in lines if re.match(rf"\| .*`{re.escape(api)}`.*\d+ \|$", line))
    return [cell.strip() for cell in row.split("|")[-3:-1]]
