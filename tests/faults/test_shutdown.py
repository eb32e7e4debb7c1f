"""However a run ends, accepted frames are on disk and the metadata is consistent with them."""

from __future__ import annotations

import gc
import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from faults.datasets import ENGINE_NAMES, SIZE, missing, noise, pixels, run, status, stream
from ome_writers import UnclosedStreamWarning
from ome_writers.storage import ENGINES

pytest.importorskip("zarr", reason="zarr-python reads the result")
pytest.importorskip("tensorstore", reason="tensorstore reads the result")
pytestmark = pytest.mark.timeout(600)

each_engine = pytest.mark.parametrize("engine", ENGINE_NAMES)
each_engine_direct_short = pytest.mark.parametrize(
    "engine",
    [pytest.param(n, marks=[pytest.mark.short] if n == "direct" else []) for n in ENGINE_NAMES],
)
BEGIN = "path = Path(sys.argv[1])\nwriting = stream(path, sys.argv[2], flush_interval=60)\n"
FILL = "for number in range(40):\n    writing.append(noise(number))\n"


@each_engine_direct_short
def test_exception_inside_with(tmp_path: Path, engine: str) -> None:
    """That exception is raised; accepted frames are complete, the status is `failed`."""
    path = tmp_path / "run.ome.zarr"

    def acquire() -> None:
        with stream(path, engine, chunk=3, shard=4) as writing:
            for number in range(40):
                writing.append(noise(number))
            raise LookupError("the stage is gone")

    with pytest.raises(LookupError, match="the stage is gone"):
        acquire()
    assert not missing(path, 40)
    assert len(pixels(path)) == 40
    assert status(path) == "failed"


@each_engine
def test_keyboard_interrupt_inside_with(tmp_path: Path, engine: str) -> None:
    """Every accepted frame is on disk."""
    path = tmp_path / "run.ome.zarr"
    code = BEGIN + (
        "import os, signal, threading\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it\n"
        "accepted = 0\n"
        "try:\n"
        "    with writing:\n"
        "        threading.Timer(0.15, os.kill, (os.getpid(), signal.SIGINT)).start()\n"
        "        while True:\n"
        "            writing.append(noise(accepted % 400), index={'t': accepted % 400})\n"
        "            accepted += 1\n"
        "except KeyboardInterrupt:\n"
        "    print(min(accepted, 400))\n"
    )
    done = run(code, path, engine)
    assert not missing(path, int(done.stdout))
    assert status(path) == "failed"


@pytest.mark.skipif(os.name == "nt", reason="SIGTERM: Windows ends a process without a signal")
@pytest.mark.parametrize("handled", [True, False])
@each_engine
def test_sigterm(tmp_path: Path, engine: str, handled: bool) -> None:
    """SIGTERM handled as `sys.exit` loses nothing; unhandled, it loses no flushed frame."""
    path = tmp_path / "run.ome.zarr"
    code = BEGIN + (
        "import os, signal\n"
        f"if {handled}:\n"
        "    signal.signal(signal.SIGTERM, lambda *_: sys.exit(9))\n"
        "with writing:\n"
        "    for number in range(40):\n"
        "        writing.append(noise(number))\n"
        "    writing.flush()\n"
        "    for number in range(40, 60):\n"
        "        writing.append(noise(number))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    while True:\n"
        "        pass\n"
    )
    run(code, path, engine, expect=9 if handled else -signal.SIGTERM)
    if handled:
        assert not missing(path, 60)
        assert status(path) == "failed"
    else:
        assert min(missing(path, 60), default=60) >= 40
        assert status(path) == "writing"


@each_engine_direct_short
def test_interpreter_exit_without_close(tmp_path: Path, engine: str) -> None:
    """Every frame is on disk, and `UnclosedStreamWarning` is issued."""
    path = tmp_path / "run.ome.zarr"
    done = run("import warnings\nwarnings.simplefilter('always')\n" + BEGIN + FILL, path, engine)
    assert not missing(path, 40)
    assert len(pixels(path)) == 40
    assert status(path) == "cancelled"
    assert "was not closed" in done.stderr


@pytest.mark.parametrize(
    "engine", [name for name in ENGINES if ENGINES[name].missing_requirement() is None]
)
def test_executor_appends_during_interpreter_shutdown(tmp_path: Path, engine: str) -> None:
    """All frames of an executor that runs longer than the main thread are on disk."""
    path = tmp_path / ("run.ome.tiff" if engine == "tifffile" else "run.ome.zarr")
    code = (
        "import time\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "path = Path(sys.argv[1])\n"
        "writing = stream(path, sys.argv[2], frames=20, chunk=2, flush_interval=0.05)\n"
        "def work():\n"
        "    time.sleep(0.3)  # the main thread has ended\n"
        "    for number in range(20):\n"
        "        writing.append(noise(number))\n"
        "        time.sleep(0.01)\n"
        "ThreadPoolExecutor(1).submit(work)\n"
    )
    done = run(code, path, engine)
    assert "failed" not in done.stderr
    if engine == "tifffile":
        frames = pytest.importorskip("tifffile").imread(path)
    elif engine == "scratch":
        frames = np.memmap(path / "pos_0.dat", "<u2", "r").reshape(-1, SIZE, SIZE)
    else:
        frames = pixels(path)
    assert np.array_equal(frames, [noise(number) for number in range(20)])


@each_engine_direct_short
def test_uncaught_exception_without_with(tmp_path: Path, engine: str) -> None:
    """Every frame is on disk."""
    path = tmp_path / "run.ome.zarr"
    done = run(BEGIN + FILL + "raise LookupError('the stage is gone')", path, engine, expect=1)
    assert "the stage is gone" in done.stderr
    assert not missing(path, 40)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@each_engine
@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)", "writing.close()"])
def test_fork_does_not_affect_the_parent(tmp_path: Path, engine: str, end: str) -> None:
    """A forked child, however it ends, changes nothing; the parent continues to write."""
    if engine == "tensorstore" and end == "sys.exit(0)":
        pytest.skip("tensorstore itself hangs in one of six children that exit like this")
    path = tmp_path / "run.ome.zarr"
    code = (
        BEGIN
        + FILL
        + (
            "import os, warnings\n"
            "with warnings.catch_warnings():\n"
            "    warnings.simplefilter('ignore')\n"
            "    child = os.fork()\n"
            "if not child:\n"
            f"    {end}\n"
            "    os._exit(0)\n"
            "assert os.waitpid(child, 0)[1] == 0\n"
            "for number in range(40, 80):\n"
            "    writing.append(noise(number))\n"
            "writing.close()\n"
        )
    )
    run(code, path, engine)
    assert not missing(path, 80)
    assert len(pixels(path)) == 80


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this platform")
@each_engine
def test_forked_child_cannot_append(tmp_path: Path, engine: str) -> None:
    """It gets an error; the parent's dataset is unchanged."""
    path = tmp_path / "run.ome.zarr"
    code = (
        BEGIN
        + FILL
        + (
            "import os, warnings\n"
            "from ome_writers import StreamClosedError\n"
            "warnings.simplefilter('ignore')\n"
            "child = os.fork()\n"
            "if not child:\n"
            "    try:\n"
            "        writing.append(noise(399))\n"
            "    except StreamClosedError:\n"
            "        os._exit(7)\n"
            "    os._exit(0)\n"
            "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7, 'the child could append'\n"
            "writing.close()\n"
        )
    )
    run(code, path, engine)
    assert not missing(path, 40)
    assert len(pixels(path)) == 40


@each_engine
def test_garbage_collected_stream_is_written(tmp_path: Path, engine: str) -> None:
    """`UnclosedStreamWarning` is issued, and every frame is on disk."""
    path = tmp_path / "run.ome.zarr"
    writing = stream(
        path, engine, flush_interval=60
    )  # the flush timer holds a reference for a moment
    for number in range(40):
        writing.append(noise(number))
    with pytest.warns(UnclosedStreamWarning, match="40 frames"):
        del writing
        gc.collect()
    assert not missing(path, 40)
    assert status(path) == "cancelled"


@each_engine
def test_append_from_four_threads(tmp_path: Path, engine: str) -> None:
    """Each frame is stored once, in each thread's order."""
    path = tmp_path / "run.ome.zarr"
    with stream(path, engine, frames=200, chunk=3, shard=4) as writing:

        def append(first: int) -> None:
            for number in range(first, 200, 4):
                writing.append(noise(number), frame_metadata={"serial": number})

        threads = [threading.Thread(target=append, args=(first,)) for first in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    read = pixels(path)
    known = {noise(number).tobytes(): number for number in range(200)}
    order = [known[plane.tobytes()] for plane in read]
    assert sorted(order) == list(range(200))
    for first in range(4):
        own = [number for number in order if number % 4 == first]
        assert own == sorted(own)
