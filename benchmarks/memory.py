"""Resident memory of this process and of others, as the operating system counts it."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

MIB = 1 << 20


def reset_peak() -> int:
    """Start counting the peak anew where the platform can; return the bytes resident now.

    Elsewhere the peak of the process so far stays in, so the growth it reports is an upper bound.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _status("self", "VmRSS") or peak()


def peak() -> int:
    """Return the largest resident size since `reset_peak`, in bytes; 0 where nobody can tell."""
    seen = _status("self", "VmHWM")
    if seen is not None:
        return seen
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * unit


def resident(pid: int) -> int | None:
    """Return the resident bytes of another process, or None if that cannot be seen."""
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
