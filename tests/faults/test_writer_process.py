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
from faults.process_writer import CASES, frame, settings
from ome_writers import WriteError, create_stream, dims_from_standard_axes
from ome_writers.storage import ENGINES
from ome_writers.views import OpenDataset

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def start(case: str, folder: Path, frames: int, period_s: float, *end: str) -> Program:
    log = folder / "log.txt"
    command = [sys.executable, str(PROGRAM), case, str(folder), str(frames), str(period_s), *end]
    errors = folder / "errors.txt"
    with log.open("wb") as output, errors.open("wb") as error_output:
        process = subprocess.Popen(command, stdout=output, stderr=error_output)
    while not log.read_bytes().endswith(b"\n"):
        assert process.poll() is None, errors.read_text()
        time.sleep(0.01)
    return Program(process, int(log.read_bytes().split()[0]), log)


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0]
    except OSError:
        return False
    return state != b"Z"


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + END_TIMEOUT_S
    while is_alive(pid):
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
    validation = ome_writers.validate(path)
    assert validation.valid, validation.findings
    assert not list(path.parent.glob(".*"))


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


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


@needs_proc
@pytest.mark.parametrize(
    "case", [pytest.param("zarr shards", marks=pytest.mark.short), "tiff deflate"]
)
def test_frames_of_a_killed_program_are_on_disk(tmp_path: Path, case: str) -> None:
    """Without waiting for a flush."""
    assert kill_program(case, tmp_path, 4000, 0.1)


class Run:
    """A stream in this process, whose writer is killed."""

    def __init__(self, case: str, folder: Path, frames: int) -> None:
        self.case, self.folder, self.frames = case, folder, frames
        self.stream = create_stream(settings(case, str(folder), frames), writer="process")
        self.appended = 0

    def append(self, count: int, period_s: float = 0.0) -> None:
        for _ in range(count):
            number = self.appended
            self.stream.append(frame(number, self.case), frame_metadata={"number": number})
            self.appended += 1
            time.sleep(period_s)

    @property
    def writer(self) -> int:
        return int(self.stream._writer.process.pid)

    def kill_writer(self) -> None:
        os.kill(self.writer, getattr(signal, "SIGKILL", signal.SIGTERM))

    def check(self) -> None:
        self.stream.close()
        check(self.case, self.folder, self.frames, self.frames, "complete")


@pytest.mark.parametrize("case", ["zarr shards", pytest.param("tiff", marks=pytest.mark.short)])
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
            with contextlib.suppress(ProcessLookupError):
                run.kill_writer()
            run.append(10, 0.002)
    assert caught.value.frames[:10] == tuple(range(10))
    with pytest.raises(WriteError) as at_close:
        run.stream.close()
    assert at_close.value.frames == tuple(range(run.appended))
    assert folder.exists()


def test_errors_of_the_writer_reach_the_caller(tmp_path: Path) -> None:
    run = Run("zarr", tmp_path, 2000)
    shutil.rmtree(run.stream.settings.output_path)
    with pytest.raises(WriteError, match=r"was removed while the stream wrote to it"):
        run.append(1000, 0.005)
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


@pytest.mark.short
def test_scratch_stays_in_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ome_writers.UnsupportedError, match="memory of this process"):
        create_stream(format="scratch", dimensions=AXES, dtype="uint8", writer="process")
    monkeypatch.setenv("OME_WRITERS_WRITER", "process")
    with create_stream(format="scratch", dimensions=AXES, dtype="uint8") as stream:
        assert type(stream) is ome_writers.OMEStream


def resources() -> tuple[int, int, set[str]]:
    """Return the number of threads and descriptors, and the child processes."""
    children = set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())
    return threading.active_count(), len(os.listdir("/proc/self/fd")), children


@needs_proc
@pytest.mark.parametrize("count", [3, pytest.param(1000, marks=pytest.mark.sweep)])
@pytest.mark.timeout(7200)
def test_streams_leave_nothing_behind(tmp_path: Path, count: int) -> None:
    """No process, thread, descriptor or file."""
    shared, before = set(os.listdir("/dev/shm")), resources()
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
    assert resources() == before
    assert set(os.listdir("/dev/shm")) <= shared


@needs_proc
@pytest.mark.parametrize(
    ("end", "status"),
    [
        ("exit", "cancelled"),  # atexit closes the stream, as with threads
        ("exception", "cancelled"),
        ("abort", "cancelled"),
        ("_exit", "cancelled"),
        ("fork", "cancelled"),  # the forked process lives on
        ("SIGTERM", "cancelled"),
        ("SIGINT", "cancelled"),
        ("SIGHUP", "cancelled"),
    ],
)
def test_how_a_program_may_end(tmp_path: Path, end: str, status: str) -> None:
    """Ctrl-C reaches all processes of a terminal: the writer is in a session of its own."""
    program = start("zarr", tmp_path, 4000, 0.001, end)
    while program.accepted() < 21:
        time.sleep(0.01)
    if end.startswith("SIG"):
        assert os.getsid(program.writer) == program.writer
        os.kill(program.writer, getattr(signal, end))  # ignored
        program.process.send_signal(getattr(signal, end))
    wait_for_end(program.writer)
    program.process.kill()
    program.process.wait()
    check("zarr", tmp_path, 4000, program.accepted(), status)


# ---------------------------------------------------------------------- sweeps


def rounds() -> Iterator[tuple[str, random.Random]]:
    for number in range(ROUNDS):
        yield INSTALLED[number % len(INSTALLED)], random.Random(number)


@needs_proc
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
