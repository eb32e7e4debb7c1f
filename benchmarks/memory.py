"""Resident memory of this process and of others, as the operating system counts it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

MIB = 1 << 20


def reset_peak() -> int:
    """Reset the peak (Linux only) and return the resident bytes.

    On other platforms the earlier peak stays, so that the reported growth is an upper bound.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("self", "VmRSS") or peak()


def peak() -> int:
    """Return the peak resident bytes since `reset_peak`; 0 where it is unknown."""
    high_water_mark = _status("self", "VmHWM")
    if high_water_mark is not None:
        return high_water_mark
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def resident(pid: int) -> int | None:
    """Return the resident bytes of another process, or None if unknown."""
    return _status(str(pid), "VmRSS")


def _status(process: str, field: str) -> int | None:
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    return None
