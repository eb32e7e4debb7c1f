"""`close` completes with concurrent calls and interrupts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import ome_writers as ow
from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes
from ome_writers._stream import AVAILABLE_BACKENDS
from ome_writers.streaming.shutdown import RunOnce, run_uninterrupted
from support.sweeps import swept

WAIT = 280  # seconds, for what takes milliseconds


def test_flush_while_another_thread_closes(tmp_path: Path) -> None:
    """It neither publishes the status "writing" again, nor misses the lock that `close` has released."""
    for number in range(5):
        path = tmp_path / f"{number}.ome.zarr"
        errors: list[Exception] = []
        stream = create_stream(
            root_path=str(path),
            dimensions=dims_from_standard_axes({"t": 2, "y": 8, "x": 8}),
            dtype="uint8",
        )
        closed = threading.Event()

        def flush() -> None:
            while not closed.is_set():  # noqa: B023  # the thread ends in this round
                try:
                    stream.flush()  # noqa: B023  # as above
                except Exception as error:
                    errors.append(error)  # noqa: B023  # as above

        threads = [threading.Thread(target=flush) for _ in range(2)]
        for thread in threads:
            thread.start()
        for value in (1, 2):
            stream.append(np.full((8, 8), value, np.uint8))
        stream.close()
        closed.set()
        for thread in threads:
            thread.join(WAIT)
        stream.flush()
        assert not errors
        assert ow.read(path).status == "complete"


def test_run_once_waits_for_other_thread() -> None:
    once, begun, go_on = RunOnce(), threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        assert not once.run(lambda: done.append("again"))  # out of the work itself
        begun.set()
        assert go_on.wait(WAIT)
        done.append("work")

    def second() -> None:
        done.append("" if once.run(lambda: done.append("twice")) else "waited")

    threads = [threading.Thread(target=once.run, args=(work,))]
    threads[0].start()
    assert begun.wait(WAIT)
    threads.append(threading.Thread(target=second))
    threads[1].start()
    threads[1].join(0.05)
    assert threads[1].is_alive()
    go_on.set()
    for thread in threads:
        thread.join(WAIT)
    assert done == ["work", "waited"]
    assert once.done


def test_run_uninterrupted_uses_another_thread() -> None:
    who: list[int] = []
    run_uninterrupted(lambda: who.append(threading.get_ident()))
    assert who[0] != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        run_uninterrupted(lambda: 1 / 0)


def test_concurrent_close_waits(tmp_path: Path) -> None:
    path = tmp_path / "run.ome.zarr"
    sizes = {"t": 64, "y": 512, "x": 512}
    stream = create_stream(
        AcquisitionSettings(
            root_path=path,
            dimensions=dims_from_standard_axes(sizes),
            dtype="uint16",
            compression="zstd",
        )
    )
    frame = np.random.default_rng(0).integers(0, 4096, (512, 512)).astype("uint16")
    for _ in range(64):
        stream.append(frame)
    written: list[int] = []

    def close() -> None:
        stream.close()
        written.append(stream.stats().frames_written)

    threads = [threading.Thread(target=close) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert written == [64] * 4
    assert ow.validate(path).valid


def test_close_in_callback(tmp_path: Path) -> None:
    """`close` returns in a callback of the stream and in all other threads."""
    sizes = {"t": 2, "y": 4, "x": 4}
    stream = create_stream(
        AcquisitionSettings(
            root_path=tmp_path / "run.ome.zarr",
            dimensions=dims_from_standard_axes(sizes),
            dtype="uint8",
        )
    )
    came_back = threading.Event()

    def close(_: object) -> None:
        stream.close()
        came_back.set()

    stream.on("coords_changed", close)
    stream.append(np.ones((4, 4), "uint8"))
    assert came_back.wait(WAIT)
    stream.close()
    assert ow.validate(tmp_path / "run.ome.zarr").valid


@pytest.mark.skipif(
    os.name == "nt", reason="Ctrl-C during close: Windows sends it to no single process"
)
@pytest.mark.parametrize(
    "engine", swept(["direct", "zarr-python", "tifffile"], lambda engine: engine == "direct")
)
def test_ctrl_c_does_not_stop_close(tmp_path: Path, engine: str) -> None:
    """All frames are on disk, although the process exits at once."""
    row = AVAILABLE_BACKENDS[engine]
    if row.missing_requirement():
        pytest.skip(str(row.missing_requirement()))
    path = tmp_path / ("run.ome.tiff" if engine == "tifffile" else "run.ome.zarr")
    code = f"""
import _thread, sys, threading, time
import numpy as np
from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes

settings = AcquisitionSettings(
    root_path=sys.argv[1],
    dimensions=dims_from_standard_axes({{"t": 24, "y": 512, "x": 512}}),
    dtype="uint16",
    format={engine!r},
    compression="zstd",
)
stream = create_stream(settings)
frame = np.random.default_rng(0).integers(0, 4096, (512, 512)).astype("uint16")
for number in range(24):
    stream.append(frame + number, frame_metadata={{"number": number}})

def interrupt():
    while not stream.closed:
        time.sleep(0.0001)
    _thread.interrupt_main()

threading.Thread(target=interrupt).start()
stream.close()
"""
    made = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=2 * WAIT
    )
    # on a busy machine the interrupt may be too late: the process has closed the stream
    assert made.returncode in (0, 1, -signal.SIGINT, 130), made.stderr
    assert len(ow.read_frame_metadata(path)) == 24
    checked = ow.validate(path)
    assert checked.valid, checked.findings
    view = ow.open(path)
    frame = np.random.default_rng(0).integers(0, 4096, (512, 512)).astype("uint16")
    assert all((view[number] == frame + number).all() for number in range(24))


@pytest.mark.skipif(
    os.name == "nt", reason="the folder of a running stream cannot be removed there"
)
def test_lost_frames_are_logged_if_with_block_raises(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """`close` raises the WriteError again."""
    path = tmp_path / "run.ome.zarr"
    sizes = {"t": 4, "y": 4, "x": 4}
    asked = AcquisitionSettings(
        root_path=path, dimensions=dims_from_standard_axes(sizes), dtype="uint8"
    )
    stream = create_stream(asked)

    def acquire() -> None:
        with stream:
            stream.append(np.ones((4, 4), "uint8"))
            stream.flush()  # nothing is written while the folder is removed
            shutil.rmtree(path)
            raise LookupError("the stage is gone")

    with pytest.raises(LookupError, match="the stage is gone"):
        acquire()
    assert "frame 0 is not on disk" in caplog.text
    with pytest.raises(ow.WriteError, match="frame 0 is not on disk"):
        stream.close()


@pytest.mark.thread_writer  # `append` reads the chunk back before it returns
@pytest.mark.parametrize("repaired", [False, True])
def test_frame_whose_chunk_cannot_be_read_back_is_lost(tmp_path: Path, repaired: bool) -> None:
    """A chunk of two planes, written before the second to free memory. `repaired`: it is back at `close`."""
    path, cells = tmp_path / "run.ome.zarr", 40
    dimensions = dims_from_standard_axes(
        {"t": 2, "c": cells, "y": 64, "x": 64}, chunk_shapes={"t": 2}
    )
    stream = create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", format="direct", buffer_bytes=300_000
    )
    for number in range(cells):
        stream.append(np.full((64, 64), number, "uint16"))
    stream.flush()
    chunk = path / "0" / "c" / "0" / "0" / "0" / "0"
    chunk.rename(tmp_path / "chunk")
    chunk.mkdir()
    stream.append(np.full((64, 64), cells, "uint16"))
    if repaired:
        chunk.rmdir()
        (tmp_path / "chunk").rename(chunk)
    with pytest.raises(ow.WriteError, match=f"frame {cells} is not on disk") as caught:
        stream.close()
    assert caught.value.frames == (cells,)
    assert ow.read(path).status == "failed"
