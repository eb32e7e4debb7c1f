"""The process whose disk fails: one stream a round, each with a fault of its own, and what each of them told.

``breaking_writer.py SHIM ROUNDS``: `ROUNDS` is a file of JSON lines, see `breaks.Fault`; a line of JSON a round
goes to standard output. The shim has been preloaded.
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

from faults.breaks import FRAMES, Fault
from faults.rounds import frame, metadata
from ome_writers import WriteError, create_stream


class Shim:
    """What was preloaded."""

    def __init__(self, path: str) -> None:
        self._library = ctypes.CDLL(path)
        self._library.break_disarm.restype = ctypes.c_long

    def arm(self, fault: Fault) -> None:
        """Let the fault's call fail."""
        self._library.break_arm(
            fault.folder.encode(), ctypes.c_long(fault.at), fault.how, int(fault.stays)
        )

    def disarm(self) -> tuple[int, int]:
        """Return how many calls there were and how many failed."""
        failed = ctypes.c_long()
        calls = self._library.break_disarm(ctypes.byref(failed))
        return calls, failed.value


def acquire(fault: Fault) -> dict[str, Any]:
    """Write one acquisition; return what was accepted, what a flush has promised, and the error."""
    draw = random.Random(fault.at)
    told: dict[str, Any] = {"begun": False, "accepted": 0, "flushed": 0, "error": None}
    try:
        stream = create_stream(fault.settings())
    except Exception as error:
        return {**told, **_said(error)}
    told["begun"] = True
    try:
        for number in range(FRAMES):
            stream.append(frame(number), frame_metadata=metadata(number))
            told["accepted"] = number + 1
            if draw.random() < 0.1:
                stream.flush()
                told["flushed"] = number + 1
    except WriteError:
        pass  # `close` tells all of it
    except Exception as error:
        told.update(_said(error))
        with contextlib.suppress(Exception):
            stream.close()
        return told
    try:
        stream.close()
    except Exception as error:
        told.update(_said(error))
        try:
            stream.close()
            told["second"] = None
        except Exception as again:
            told["second"] = type(again).__name__
    return told


def _said(error: Exception) -> dict[str, Any]:
    frames = getattr(error, "frames", ())
    return {"error": type(error).__name__, "message": str(error), "frames": list(frames)}


def main(shim_path: str, rounds: str) -> None:
    """Do the rounds, one after the other."""
    shim = Shim(shim_path)
    for line in Path(rounds).read_text().splitlines():
        fault = Fault(**json.loads(line))
        print(json.dumps({"starting": dataclasses.asdict(fault)}), flush=True)
        shim.arm(fault)
        told = acquire(fault)
        calls, failed = shim.disarm()
        print(json.dumps({**told, "calls": calls, "failed": failed}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
