"""The writer process whose disk fails: one stream per round, each with its own fault.

``failing_writer.py SHIM ROUNDS``: `ROUNDS` is a file of JSON lines, see `failing_disk.Fault`. Prints one line of JSON
per round. The shim is preloaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import random
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from faults.failing_disk import FRAMES, Fault
from faults.kill_rounds import frame, metadata
from ome_writers import WriteError, create_stream


class Shim:
    """The preloaded library."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.break_disarm.restype = ctypes.c_long

    def arm(self, fault: Fault) -> None:
        """Make the call of the fault fail."""
        self._library.break_arm(
            fault.folder.encode(), ctypes.c_long(fault.at), fault.error_number, int(fault.persists)
        )

    def disarm(self) -> tuple[int, int]:
        """Return the number of calls and the number of failed ones."""
        failed = ctypes.c_long()
        calls = self._library.break_disarm(ctypes.byref(failed))
        return calls, failed.value


def acquire(fault: Fault) -> dict[str, Any]:
    """Write one acquisition; return the accepted frames, the frames guaranteed by a flush, and the error."""
    draw = random.Random(fault.at)
    report: dict[str, Any] = {"started": False, "accepted": 0, "flushed": 0, "error": None}
    try:
        stream = create_stream(fault.settings())
    except Exception as error:
        return {**report, **_error_report(error)}
    report["started"] = True
    try:
        for number in range(FRAMES):
            stream.append(frame(number), frame_metadata=metadata(number))
            report["accepted"] = number + 1
            if draw.random() < 0.1:
                stream.flush()
                report["flushed"] = number + 1
    except WriteError:
        pass  # `close` raises it again
    except Exception as error:
        report.update(_error_report(error))
        with contextlib.suppress(Exception):
            stream.close()
        return report
    try:
        stream.close()
    except Exception as error:
        report.update(_error_report(error))
        try:
            stream.close()
            report["second"] = None
        except Exception as again:
            report["second"] = type(again).__name__
    return report


def _error_report(error: Exception) -> dict[str, Any]:
    frames = getattr(error, "frames", ())
    return {"error": type(error).__name__, "message": str(error), "frames": list(frames)}


def main(shim_path: str, rounds: str) -> None:
    """Run the rounds one after the other."""
    shim = Shim(shim_path)
    for line in Path(rounds).read_text().splitlines():
        fault = Fault(**json.loads(line))
        print(json.dumps({"starting": dataclasses.asdict(fault)}), flush=True)
        shim.arm(fault)
        report = acquire(fault)
        calls, failed = shim.disarm()
        print(json.dumps({**report, "calls": calls, "failed": failed}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
