"""Identify a process by its ID and start time: process IDs are reused.

After a reboot, or in a restarted container, another process may have the same ID; Windows reuses IDs immediately.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

if sys.platform == "win32":
    from ome_writers.windows_api import process_creation_time

_MAX_PID = 2**32 if os.name == "nt" else 2**31


def is_running(pid: int, start: str = "") -> bool:
    """Whether process `pid` (any integer) runs on this machine, and is the one with this start time.

    `start` is an earlier result of `process_start`; empty if unknown.
    """
    found = _find(pid)
    return found is not None and (not start or not found or found == start)


def process_start(pid: int) -> str:
    """Return the start time of a process, to be compared for equality only; empty if unknown.

    On Linux it includes the ID of the boot.
    """
    return _cached_start(pid) if pid == os.getpid() else _find(pid) or ""


@lru_cache(maxsize=1)
def _cached_start(pid: int) -> str:
    return _find(pid) or ""


def _find(pid: int) -> str | None:
    """Return the start time of a process, empty if unknown; None if there is no such process."""
    if not 0 < pid < _MAX_PID:
        return None
    if sys.platform == "win32":
        return process_creation_time(pid)
    return _find_on_linux(pid) if sys.platform == "linux" else _find_with_ps(pid)


def _find_on_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # no such process, or a hidden one of another user
        return "" if _exists(pid) else None
    state, *fields = stat.rpartition(b")")[2].split()
    if state in (b"Z", b"X"):
        return None  # a zombie: it has ended, and its parent has not read the exit code yet
    return f"{_boot_id()}-{int(fields[18])}"


@lru_cache(maxsize=1)
def _boot_id() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _find_with_ps(pid: int) -> str | None:
    """Return the start time as printed by `ps`, for POSIX systems without ``/proc``."""
    if not _exists(pid):
        return None
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    try:
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return " ".join(result.stdout.split())


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
