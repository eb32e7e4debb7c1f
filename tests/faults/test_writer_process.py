"""``writer="process"``: the program dies, or the writer, or both."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

import ome_writers
from faults.process_writer import CASES, DEPTH, derive, frame, label, settings
from ome_writers import (
    OutputExistsError,
    OutputLockedError,
    RestartError,
    WriteError,
    create_stream,
    dims_from_standard_axes,
    resume,
)
from ome_writers.storage import ENGINES, is_running
from ome_writers.views import OpenDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ome_writers import OMEStream

PROGRAM = Path(__file__).with_name("process_writer.py")
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
END_TIMEOUT_S = 60.0
AXES = dims_from_standard_axes({"t": 40, "y": 16, "x": 16})

INSTALLED = [
    case
    for case, (_, options) in CASES.items()
    if ENGINES[options.get("format", "direct")].missing_requirement() is None
]


class Program(NamedTuple):
    process: subprocess.Popen[bytes]
    writer: int  # process ID of its writer
    log: Path

    def accepted(self) -> int:
        """Return the number of frames whose `append` had returned."""
        return len(self.log.read_bytes().splitlines()) - 1

    def flushed(self) -> int:
        """Return the number of frames of which the writer had reported that they are flushed."""
        return int(self.log.read_bytes().splitlines()[-1].split()[1]) if self.accepted() else 0


def start(
    case: str, folder: Path, frames: int, period_s: float, *end: str, terminal: int | None = None
) -> Program:
    """Start the program; `terminal` (a descriptor) becomes its controlling terminal."""
    log = folder / "log.txt"
    command = [sys.executable, str(PROGRAM), case, str(folder), str(frames), str(period_s), *end]
    if terminal is not None:
        command = ["setsid", "--ctty", *command]
    errors = folder / "errors.txt"
    with log.open("wb") as output, errors.open("wb") as error_output:
        process = subprocess.Popen(command, stdin=terminal, stdout=output, stderr=error_output)
    while not log.read_bytes().endswith(b"\n"):
        assert process.poll() is None, errors.read_text()
        time.sleep(0.01)
    return Program(process, int(log.read_bytes().split()[0]), log)


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):  # it has ended
        os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while is_running(pid):
        assert time.monotonic() < deadline, f"process {pid} does not end"
        time.sleep(0.01)


def check(case: str, folder: Path, frames: int, accepted: int, status: str) -> None:
    """Every accepted frame is there, bit for bit, with its metadata."""
    path = Path(settings(case, str(folder), frames).output_path)
    spec = ome_writers.read(path)
    assert spec.status == status
    assert spec.frames_written >= accepted
    dataset = OpenDataset.open(path)
    router = dataset.router
    for number in range(accepted):
        image, index = router.address(number)
        pixels = dataset.read(image, index)
        assert np.array_equal(pixels, frame(number, case)), f"frame {number} of {accepted}"
    stored = ome_writers.read_frame_metadata(path)
    entries = stored if isinstance(stored, list) else [e for each in stored.values() for e in each]
    assert sorted(entry["number"] for entry in entries)[:accepted] == list(range(accepted))
    if "derived" in case:
        check_derived(case, path, accepted, spec.frames_written)
    validation = ome_writers.validate(path)
    assert validation.valid, validation.findings
    deadline = time.monotonic() + END_TIMEOUT_S
    while list(path.parent.glob(".*")):  # of a writer that was started meanwhile, and is refused
        assert time.monotonic() < deadline
        time.sleep(0.05)


def derived_path(path: Path, folder: str, name: str) -> Path:
    if path.suffix == ".tiff":
        return path.with_name(f"{path.name.partition('.')[0]}_{name}.ome.tiff")
    return path / folder / name


def check_derived(case: str, path: Path, accepted: int, written: int) -> None:
    """Every accepted plane of labels is there, and projections are those of the frames."""
    labels = ome_writers.open(derived_path(path, "labels", "cells"))
    largest = ome_writers.open(derived_path(path, "derived", "max_z"))
    mean = ome_writers.open(derived_path(path, "derived", "mean_z"))
    for number in range(accepted):
        plane = labels[divmod(number, DEPTH)]
        assert np.array_equal(plane, label(number, case)), f"labels {number} of {accepted}"
    for t in range(-(-written // DEPTH)):
        numbers = range(t * DEPTH, min(written, (t + 1) * DEPTH))
        frames = np.array([frame(number, case) for number in numbers])
        assert np.array_equal(largest[t], frames.max(axis=0)), f"maximum {t} of {written} frames"
        expected = frames.mean(axis=0).astype("float32")
        assert np.array_equal(mean[t], expected), f"mean {t} of {written} frames"


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
needs_removal = pytest.mark.skipif(
    os.name == "nt", reason="Windows neither removes nor moves a folder with open files"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")


def kill_program(case: str, folder: Path, frames: int, delay_s: float) -> int:
    """Kill a program, and check its dataset; return how many frames it had appended."""
    program = start(case, folder, frames, 0.001)
    time.sleep(delay_s)
    program.process.kill()
    program.process.wait()
    wait_for_end(program.writer)
    accepted = program.accepted()
    finished = "unbounded" in case or accepted == frames
    check(case, folder, frames, accepted, "complete" if finished else "cancelled")
    return accepted


def resumed(path: Path) -> OMEStream | None:
    """Continue a dataset when no process writes it any more; return None if it is complete."""
    deadline = time.monotonic() + END_TIMEOUT_S
    while True:
        try:
            return resume(path)
        except OutputLockedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        except OutputExistsError:
            return None


def kill_both(case: str, folder: Path, frames: int, draw: random.Random) -> tuple[int, int, int]:
    """Kill a program and its writer, and continue the dataset.

    Return how many frames were accepted, were flushed, and are missing.
    """
    program = start(case, folder, frames, 0.001)
    time.sleep(draw.uniform(0, 2))
    pids = [program.process.pid, program.writer]
    draw.shuffle(pids)
    kill(pids[0])
    time.sleep(draw.choice([0, 0, draw.uniform(0, 0.03)]))
    kill(pids[1])
    program.process.wait()
    accepted, flushed, missing = program.accepted(), program.flushed(), 0
    stream = resumed(Path(settings(case, str(folder), frames).output_path))
    if stream is not None:
        with stream:
            labels = derive(stream, case)
            for number in range(accepted if labels is not None else 0):
                at = dict(zip("tz", divmod(number, DEPTH), strict=True))
                if labels is not None and not labels.has_frame(tuple(at.values())):
                    assert number >= flushed - 1  # its frame is flushed, or not either
                    labels.append(label(number, case), index=at)
            number_of = stream.plan.router.frame_number
            for index in stream.remaining():
                number = number_of(list(index.values()))
                if number is None or number >= min(frames, accepted + 20):
                    break
                assert number >= flushed, f"frame {number} of {flushed} that were flushed"
                missing += number < accepted
                stream.append(frame(number, case), frame_metadata={"number": number})
                if labels is not None and number >= accepted:
                    labels.append(label(number, case), index=index)
    finished = "unbounded" in case or accepted + 20 >= frames
    written = min(frames, accepted + 20)
    check(case, folder, frames, written, "complete" if finished else "cancelled")
    return accepted, flushed, missing


@pytest.mark.parametrize("case", ["zarr shards", "tiff", "zarr derived"])
def test_program_and_writer_are_killed(tmp_path: Path, case: str) -> None:
    """Flushed frames are on disk, and the dataset can be continued."""
    kill_both(case, tmp_path, 4000, random.Random(0))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("zarr shards", marks=pytest.mark.short),
        "tiff deflate",
        "zarr derived",
        "tiff derived",
    ],
)
def test_frames_of_a_killed_program_are_on_disk(tmp_path: Path, case: str) -> None:
    """Without waiting for a flush."""
    assert kill_program(case, tmp_path, 4000, 0.1)


class Run:
    """A stream in this process, whose writer is killed."""

    def __init__(self, case: str, folder: Path, frames: int) -> None:
        self.case, self.folder, self.frames = case, folder, frames
        self.stream = create_stream(settings(case, str(folder), frames), writer="process")
        self.labels = derive(self.stream, case)
        self.appended = 0

    def append(self, count: int, period_s: float = 0.0) -> None:
        for _ in range(count):
            number = self.appended
            self.stream.append(frame(number, self.case), frame_metadata={"number": number})
            if self.labels is not None:
                self.labels.append(label(number, self.case))
            self.appended += 1
            time.sleep(period_s)

    @property
    def writer(self) -> int:
        return int(self.stream._writer.process.pid)

    def kill_writer(self) -> None:
        kill(self.writer)

    def check(self) -> None:
        self.stream.close()
        check(self.case, self.folder, self.frames, self.frames, "complete")


@pytest.mark.parametrize(
    "case",
    [
        "zarr shards",
        pytest.param("tiff", marks=pytest.mark.short),
        "zarr levels derived",
        "tiff derived",
    ],
)
def test_a_killed_writer_is_replaced(tmp_path: Path, case: str) -> None:
    """The frames that it had not flushed are passed to the next one; `append` does not fail."""
    run = Run(case, tmp_path, 120)
    first = run.writer
    run.append(60)
    run.kill_writer()
    run.append(60)
    run.stream.flush()
    assert run.writer != first
    assert run.stream.stats().writers_replaced == 1
    run.check()


@pytest.mark.parametrize("seed", range(max(8, ROUNDS)))
def test_killed_writers_of_frames_of_which_some_have_metadata(tmp_path: Path, seed: int) -> None:
    """In order or in free order. Flushed frames without metadata are not lost."""
    draw, count = random.Random(seed), 60
    path, numbers = tmp_path / ("a.ome.zarr" if seed % 4 else "a.ome.tiff"), list(range(count))
    axes = dims_from_standard_axes({"t": count, "y": 64, "x": 64})
    if path.suffix == ".zarr":
        axes[0].chunk_size = draw.choice([1, 3])
    share = draw.choice([0.0, 0.3, 0.6])
    described = {number for number in numbers if draw.random() < share}
    if seed % 2:
        draw.shuffle(numbers)
    kills = draw.sample(range(count), 3)
    interval, options = draw.choice([0.01, 3600.0]), {"dtype": "uint8", "buffer_bytes": 10 * 64**2}
    with create_stream(
        root_path=str(path), dimensions=axes, flush_interval=interval, writer="process", **options
    ) as stream:
        for n, number in enumerate(numbers):
            pixels = np.full((64, 64), number + 1, "uint8")
            metadata = {"serial": number} if number in described else None
            index = {"t": number} if seed % 2 else None
            stream.append(pixels, index=index, frame_metadata=metadata)
            if n in kills:
                time.sleep(draw.choice([0.0, 0.001, 0.003, 0.01]))
                kill(stream._writer.process.pid)
    assert stream.stats().writers_replaced
    spec = ome_writers.read(path)
    assert (spec.status, spec.frames_written) == ("complete", count)
    assert np.asarray(ome_writers.open(path))[:, 0, 0].tolist() == list(range(1, count + 1))
    assert {f["serial"] for f in ome_writers.read_frame_metadata(path)} == described


def test_stats_of_a_resumed_stream_count_its_frames_at_once(tmp_path: Path) -> None:
    """`record` computes from them how many frames remain."""
    path = tmp_path / "a.ome.zarr"
    with create_stream(root_path=str(path), dimensions=AXES, dtype="uint8") as stream:
        for _ in range(7):
            stream.append(np.ones((16, 16), "uint8"))
    with resume(path, writer="process") as stream:
        assert stream.stats().frames_written == stream.stats().frames_accepted == 7


def test_close_while_a_killed_writer_is_replaced(tmp_path: Path) -> None:
    """The request to close is sent to one process only."""
    run = Run("zarr shards", tmp_path, 40)
    run.append(20)
    run.kill_writer()
    run.append(20)
    run.check()


def test_a_writer_that_always_dies_is_an_error(tmp_path: Path) -> None:
    """Three deaths without a frame that was flushed; `append` does not hang when the ring is full."""
    run = Run("zarr", tmp_path, 2000)
    folder = Path(run.stream.settings.output_path)
    with pytest.raises(WriteError, match=r"frames 0-\d+ are not on disk.*died 3 times") as caught:
        deadline = time.monotonic() + END_TIMEOUT_S
        while time.monotonic() < deadline:
            run.kill_writer()
            run.append(10, 0.002)
    assert caught.value.frames[:10] == tuple(range(10))
    with pytest.raises(WriteError) as at_close:
        run.stream.close()
    assert at_close.value.frames == tuple(range(run.appended))
    assert folder.exists()


@needs_removal
def test_errors_of_the_writer_reach_the_caller(tmp_path: Path) -> None:
    run = Run("zarr", tmp_path, 2000)
    shutil.rmtree(run.stream.settings.output_path)
    with pytest.raises(WriteError, match=r"was removed while the stream wrote to it"):
        run.append(1000, 0.005)
    with pytest.raises(WriteError) as at_close:
        run.stream.close()
    assert at_close.value.frames == tuple(range(run.appended))


@needs_removal
@pytest.mark.parametrize("case", ["zarr", "tiff"])
def test_all_frames_of_a_removed_dataset_are_lost(tmp_path: Path, case: str) -> None:
    """Also those that were flushed before, when the writer dies after the removal."""
    run = Run(case, tmp_path, 2000)
    run.append(60)
    run.stream.flush()
    path = Path(run.stream.settings.output_path)
    os.kill(run.writer, signal.SIGSTOP)  # it would notice the removal itself
    path.rename(tmp_path / "removed")
    run.kill_writer()
    deadline = time.monotonic() + END_TIMEOUT_S
    with pytest.raises(WriteError, match=r"has died .*run.* was removed"):
        while time.monotonic() < deadline:
            run.append(1, 0.005)
    with pytest.raises(WriteError) as at_close:
        run.stream.close()
    assert at_close.value.frames == tuple(range(run.appended))


@pytest.mark.short
@pytest.mark.parametrize(
    ("writer", "variable", "error"),
    [("fork", None, "writer must be"), (None, "yes", "OME_WRITERS_WRITER must be")],
)
def test_unknown_writers_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: Any, variable: str | None, error: str
) -> None:
    if variable is not None:
        monkeypatch.setenv("OME_WRITERS_WRITER", variable)
    with pytest.raises(ome_writers.SettingsError, match=error):
        create_stream(
            root_path=str(tmp_path / "a.ome.zarr"), dimensions=AXES, dtype="uint8", writer=writer
        )
    assert not list(tmp_path.iterdir())


def test_derived_images_behave_as_those_of_this_process(tmp_path: Path) -> None:
    """Of other shapes than the frames; views, indices and errors, also after `close`."""
    run = Run("zarr derived", tmp_path, 8)
    row = run.stream.derive("row", "image", dtype="float32", dimensions=[*AXES[:1], *AXES[1:]])
    with pytest.raises(OutputExistsError, match="already has 'cells'"):
        run.stream.derive("cells")
    with pytest.raises(ome_writers.FrameShapeError):
        row.append(np.zeros((4, 4), "float32"))
    run.append(2)
    with pytest.raises(ome_writers.UnsupportedError, match="2 frames were already appended"):
        run.stream.project("min")
    with pytest.raises(RestartError, match="'max_z' is derived"):
        run.stream.restart(run.stream.settings.model_copy(update={"compression": "zstd"}))
    planes = [np.full((16, 16), n, "float32") for n in range(3)]
    row.append(planes[0])
    row.append(planes[1], index={"t": 5})
    row.append(planes[2])
    row.append(planes[1])
    row.append(planes[2], index={"t": 0})  # replaces the first
    largest = run.stream.derived[0]
    for closed in (False, True):
        if closed:
            run.kill_writer()
            run.append(6)
            run.stream.close()
            with pytest.raises(ome_writers.StreamClosedError):
                row.append(planes[0])
        assert row.view()[[0, 1, 2, 5], 0, 0].tolist() == [2, 2, 1, 1]
        assert [row.has_frame((t,)) for t in (2, 3, 5)] == [True, False, True]
        run.stream.flush() if not closed else None
        assert largest.has_frame((0,))
        assert largest.summary().frames == (2 if closed else 1)
        count = DEPTH if closed else 2
        expected = np.max([frame(n, run.case) for n in range(count)], axis=0)
        assert np.array_equal(largest.view()[0], expected)
    run.check()


def test_planes_that_do_not_fit_into_the_memory_are_refused(tmp_path: Path) -> None:
    """It is large enough for two frames; labels take twice as much."""
    options = {"root_path": str(tmp_path / "a.ome.zarr"), "dtype": "uint8", "buffer_bytes": 1}
    dimensions = dims_from_standard_axes({"t": 2, "y": 128, "x": 128})
    with create_stream(dimensions=dimensions, writer="process", **options) as stream:
        with pytest.raises(ome_writers.UnsupportedError, match="buffer_bytes to at least 147456"):
            stream.derive("cells")
        stream.append(np.ones((128, 128), np.uint8))


@pytest.mark.short
def test_scratch_stays_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ome_writers.UnsupportedError, match="memory of this process"):
        create_stream(format="scratch", dimensions=AXES, dtype="uint8", writer="process")
    monkeypatch.setenv("OME_WRITERS_WRITER", "process")
    with create_stream(format="scratch", dimensions=AXES, dtype="uint8") as stream:
        assert type(stream) is ome_writers.OMEStream


def resources() -> tuple[set[str], int, set[str], set[str]]:
    """Return the threads, the number of descriptors, the child processes, and the names in ``/dev/shm``.

    Threads of the operating system: `threading` also lists those that were started in C and have ended.
    """
    threads = set(os.listdir("/proc/self/task"))
    children: set[str] = set()
    for thread in threads:
        with contextlib.suppress(OSError):  # it has ended
            children.update(Path(f"/proc/self/task/{thread}/children").read_text().split())
    shared = {name for name in os.listdir("/dev/shm") if name.startswith("ome-writers")}
    return threads, len(os.listdir("/proc/self/fd")), children, shared


@needs_proc
@pytest.mark.parametrize("count", [3, pytest.param(1000, marks=pytest.mark.sweep)])
@pytest.mark.timeout(7200)
def test_streams_leave_nothing_behind(tmp_path: Path, count: int) -> None:
    """No process, thread, descriptor or file."""
    before = resources()
    for number in range(count):
        with create_stream(
            root_path=str(tmp_path / f"{number}.ome.zarr"),
            dimensions=dims_from_standard_axes({"t": 2, "y": 16, "x": 16}),
            dtype="uint8",
            writer="process",
        ) as stream:
            stream.append(np.full((16, 16), number % 256, np.uint8))
            stream.append(np.full((16, 16), number % 256, np.uint8))
        assert ome_writers.read(tmp_path / f"{number}.ome.zarr").status == "complete"
    deadline = time.monotonic() + END_TIMEOUT_S
    # No new thread: one of pytest's may have ended. The operating system lists a thread a little longer than Python.
    while (now := resources())[1:] != before[1:] or now[0] - before[0]:
        assert time.monotonic() < deadline, (before, now)
        time.sleep(0.05)


@pytest.mark.parametrize(
    "end",
    [
        "exit",  # atexit closes the stream, as with threads
        "exception",
        "abort",
        "_exit",
        "spawn",  # the spawned process lives on
        pytest.param("fork", marks=needs_fork),  # the forked process lives on
    ],
)
def test_how_a_program_may_end(tmp_path: Path, end: str) -> None:
    program = start("zarr", tmp_path, 4000, 0.001, end)
    wait_for_end(program.writer)
    program.process.wait(END_TIMEOUT_S)
    assert program.accepted() == 21
    check("zarr", tmp_path, 4000, 21, "cancelled")


def wait_for_frames(program: Program, count: int) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while program.accepted() < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_proc
@pytest.mark.parametrize("end", ["SIGTERM", "Ctrl-C", "Ctrl-\\", "closed"])
def test_terminal_and_session_manager_do_not_end_the_writer(tmp_path: Path, end: str) -> None:
    """Ctrl-C reaches all processes of a terminal, and so does its end: the writer is in a session of its own."""
    controller, terminal = os.openpty()
    program = start("zarr", tmp_path, 4000, 0.001, "wait", terminal=terminal)
    os.close(terminal)
    wait_for_frames(program, 21)
    assert os.getsid(program.writer) == program.writer
    if end == "SIGTERM":
        os.kill(program.writer, signal.SIGTERM)  # ignored
        program.process.terminate()
    elif end != "closed":
        os.write(controller, b"\x03" if end == "Ctrl-C" else b"\x1c")
    os.close(controller)  # SIGHUP
    wait_for_end(program.writer)
    program.process.wait(END_TIMEOUT_S)
    check("zarr", tmp_path, 4000, 21, "cancelled")


@needs_proc
@pytest.mark.parametrize("stopped", ["program", "writer", "both"])
def test_stopped_processes_go_on(tmp_path: Path, stopped: str) -> None:
    """As at a breakpoint of a debugger: a stopped program has not ended, and `append` waits for a stopped writer."""
    program = start("zarr shards", tmp_path, 1000, 0.001)
    wait_for_frames(program, 100)
    pids = {"program": [program.process.pid], "writer": [program.writer]}
    for pid in (chosen := pids.get(stopped) or [*pids["program"], *pids["writer"]]):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(2.5)
    accepted = program.accepted()
    assert accepted < 1000  # 400 frames are in memory
    assert is_running(program.writer)
    for pid in chosen:
        os.kill(pid, signal.SIGCONT)
    assert program.process.wait(END_TIMEOUT_S) == 0
    check("zarr shards", tmp_path, 1000, 1000, "complete")


@pytest.mark.parametrize("end", ["spawned", pytest.param("forked", marks=needs_fork)])
def test_child_processes_of_the_program_do_not_end_the_writer(tmp_path: Path, end: str) -> None:
    """However they end, also while they have a copy of the stream; it cannot append."""
    program = start("zarr", tmp_path, 100, 0.001, end)
    assert program.process.wait(END_TIMEOUT_S) == 0, (tmp_path / "errors.txt").read_text()
    check("zarr", tmp_path, 100, 100, "complete")


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.02, 0.03, 0.05])
@pytest.mark.parametrize("case", ["zarr", "tiff", "tiff positions"])
def test_writer_that_dies_during_restart(tmp_path: Path, case: str, delay_s: float) -> None:
    """The stream is restarted, or unchanged, or an error lists all frames: none is lost without one."""
    run = Run(case, tmp_path, 40)
    run.append(20)
    run.stream.flush()
    earlier = run.stream.settings
    threading.Timer(delay_s, run.kill_writer).start()
    lost: tuple[int, ...] = ()
    try:
        run.stream.restart(earlier.model_copy(update={"compression": "zstd"}))
    except RestartError:
        assert run.stream.settings == earlier
    except WriteError as error:
        lost = error.frames
    if not lost:
        time.sleep(delay_s)
        run.append(20)
        run.check()
        return
    assert lost == tuple(range(20))
    with pytest.raises(WriteError) as at_close:
        run.stream.close()
    assert at_close.value.frames == lost


def test_restart_leaves_no_frames_of_the_earlier_axes_in_memory(tmp_path: Path) -> None:
    """Neither a view nor the next writer finds frames at their earlier indices."""
    t, c, y, x = dims_from_standard_axes({"t": 2, "c": 2, "y": 16, "x": 16})
    options = {"root_path": tmp_path / "run.ome.zarr", "dtype": "uint8", "flush_interval": 60}
    before = ome_writers.AcquisitionSettings(dimensions=[t, c, y, x], **options)
    with create_stream(before, writer="process") as stream:
        stream.append(np.full((16, 16), 1, np.uint8), index={"t": 1, "c": 0})
        stream.append(np.full((16, 16), 2, np.uint8), index={"t": 0, "c": 1})
        stream.restart(before.model_copy(update={"dimensions": (c, t, y, x)}))
        assert stream.view()[..., 0, 0].tolist() == [[0, 1], [2, 0]]
        kill(int(stream._writer.process.pid))
        stream.append(np.full((16, 16), 4, np.uint8), index={"t": 1, "c": 1})
        stream.flush()
    stored = ome_writers.open(tmp_path / "run.ome.zarr")
    assert stored[..., 0, 0].tolist() == [[0, 1], [2, 4]]


@needs_proc
def test_errors_after_the_death_of_the_program_are_in_a_file(tmp_path: Path) -> None:
    program = start("zarr", tmp_path, 4000, 0.001)
    wait_for_frames(program, 30)
    os.kill(program.process.pid, signal.SIGSTOP)
    path = Path(settings("zarr", str(tmp_path), 4000).output_path)
    path.rename(tmp_path / "renamed")
    program.process.kill()
    program.process.wait()
    wait_for_end(program.writer)
    text = path.with_name(f"{path.name}.error.txt").read_text(encoding="utf-8")
    assert str(path) in text
    assert f"frames not on disk: 0-{program.accepted() - 1}\n" in text, text


# ---------------------------------------------------------------------- sweeps


def rounds() -> Iterator[tuple[str, random.Random]]:
    for number in range(ROUNDS):
        if number % 20 == 19:
            print(f"{number} rounds")
        yield INSTALLED[number % len(INSTALLED)], random.Random(number)


@pytest.mark.skipif(not ROUNDS, reason="the long version: FAULT_ROUNDS=200")
@pytest.mark.timeout(36000)
def test_many_kills_of_the_program(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    accepted = 0
    for number, (case, draw) in enumerate(rounds()):
        folder = tmp_path / str(number)
        folder.mkdir()
        accepted += kill_program(case, folder, 4000, draw.uniform(0, 2))
    with capsys.disabled():
        print(f"\nprogram: {ROUNDS} kills, {accepted} frames accepted, 0 missing")


@pytest.mark.skipif(not ROUNDS, reason="the long version: FAULT_ROUNDS=200")
@pytest.mark.timeout(36000)
def test_many_kills_of_the_writer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Four kills per run."""
    frames = kills = 0
    for number, (case, draw) in enumerate(rounds()):
        if kills >= ROUNDS:
            break
        folder = tmp_path / str(number)
        folder.mkdir()
        run = Run(case, folder, 200)
        for _ in range(4):
            run.append(draw.randrange(10, 45), 0.002)
            if draw.random() < 0.3:
                run.stream.flush()
            run.kill_writer()
            kills += 1
            run.append(5)
            run.stream.flush()  # until the next one runs
        run.append(200 - run.appended)
        assert run.stream.stats().writers_replaced == 4
        run.check()
        frames += 200
    with capsys.disabled():
        print(f"\nwriter: {kills} kills, {frames} frames accepted, 0 missing")


@pytest.mark.skipif(not ROUNDS, reason="the long version: FAULT_ROUNDS=200")
@pytest.mark.timeout(36000)
def test_many_kills_of_the_program_and_its_writer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    totals = np.zeros(3, int)
    for number, (case, draw) in enumerate(rounds()):
        folder = tmp_path / str(number)
        folder.mkdir()
        totals += kill_both(case, folder, 4000, draw)
        shutil.rmtree(folder, ignore_errors=True)  # a writer that is refused may create its lock
    accepted, flushed, missing = totals
    with capsys.disabled():
        print(
            f"\nboth: {ROUNDS} kills, {accepted} frames accepted, {flushed} flushed, of which 0 missing; "
            f"{missing} of the others"
        )
