"""Run all commands and readers on the datasets named on stdin, and print one line of JSON per dataset.

The memory of a run is its own peak; it is measured on Linux only.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ome_writers
from ome_writers import OMEWritersError
from ome_writers.repair import repair
from ome_writers_tools.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable

TIME_LIMIT_S = 10  # of CPU time, which does not depend on what else the machine does
HANG_LIMIT_S = 240  # of a run that waits
WATCH_TIME_LIMIT_S = 1.5


class TooLongError(BaseException):
    """A run exceeded its time limit. A BaseException, so that the library does not catch it."""


def _commands(path: str, out: Path) -> dict[str, list[str]]:
    return {
        "info": ["info", path],
        "info --json": ["info", path, "--json"],
        "validate": ["validate", path],
        "preview": ["preview", path, "-o", str(out / "sheet.png"), "--rows", "2"],
        "repair --dry-run": ["repair", path, "--dry-run"],
        "convert": ["convert", path, str(out / "out.ome.zarr"), "--overwrite"],
        "watch": ["watch", path, "--interval", "0.2"],
        "repair": ["repair", path],
    }


def _first_frame(path: str) -> None:
    view = ome_writers.open(path)
    _ = view.shape, view.dims, view.dtype, view.coords, repr(view)
    if 0 in view.shape:
        return
    frame = 3 if view.dims[-1:] == ("s",) else 2
    np.asarray(view[(0,) * (len(view.shape) - frame)])


def _all_frames(path: str) -> None:
    view = ome_writers.open(path)
    if view.shape and np.prod([float(n) for n in view.shape]) < 2**24:
        np.asarray(view)


READERS: dict[str, Callable[[str], object]] = {
    "open()": _first_frame,
    "open()[...]": _all_frames,
    "read_frame_metadata()": ome_writers.read_frame_metadata,
    "validate()": ome_writers.validate,
    "repair(dry_run=True)": lambda path: repair(path, dry_run=True),
}


_began = [0.0, 0.0]  # CPU time, and time


def _on_alarm(signum: int, frame: Any) -> None:
    if frame is not None and frame.f_code.co_filename.endswith("watch.py"):
        raise KeyboardInterrupt  # `watch` waits for a writer by design
    used, passed = time.process_time() - _began[0], time.perf_counter() - _began[1]
    if used > TIME_LIMIT_S or passed > HANG_LIMIT_S:
        raise TooLongError


def _peak_mib() -> float:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return 0.0


def _reset_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


@contextlib.contextmanager
def _limited(seconds: float) -> Any:
    if not hasattr(signal, "setitimer"):
        yield
        return
    signal.signal(signal.SIGALRM, _on_alarm)
    _began[:] = time.process_time(), time.perf_counter()
    signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _run(what: str, run: Callable[[], object], seconds: float) -> dict[str, Any]:
    out, err = io.StringIO(), io.StringIO()
    _reset_peak()
    began, problem, status = time.process_time(), "", None
    try:
        with (
            _limited(seconds),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore", UserWarning)
            status = run()
    except TooLongError:
        problem = f"not done after {seconds} s of CPU time: " + traceback.format_exc()[-1500:]
    except (OMEWritersError, OSError) as error:
        err.write(f"{error}\n")
    except BaseException:
        problem = traceback.format_exc()[-3000:]
    return {
        "run": what,
        "status": status if isinstance(status, int) else None,
        "seconds": time.process_time() - began,
        "peak_mib": _peak_mib(),
        "out": out.getvalue(),
        "err": err.getvalue(),
        "problem": problem,
    }


def _all_runs(path: str, out: Path) -> list[dict[str, Any]]:
    results = [_run(name, lambda r=read: r(path), TIME_LIMIT_S) for name, read in READERS.items()]
    for name, arguments in _commands(path, out).items():
        out.mkdir(exist_ok=True)
        seconds = WATCH_TIME_LIMIT_S if name == "watch" else TIME_LIMIT_S
        results.append(_run(name, lambda a=arguments: main(a), seconds))
        shutil.rmtree(out, ignore_errors=True)
    return results


if __name__ == "__main__":
    threading.excepthook = lambda args: print("thread", args, file=sys.__stderr__)
    for line in sys.stdin:
        path = json.loads(line)
        print(json.dumps(_all_runs(path, Path(path).parent / "_out")), flush=True)
