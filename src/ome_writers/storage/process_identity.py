"""Which process is running: its number, and when it started, because systems use numbers again.

After a reboot, or in a restarted container, another process has the same number; Windows reuses numbers at once.
"""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

__all__ = ["is_running", "process_start"]

_MAX_PID = 2**32 if os.name == "nt" else 2**31

# Windows: the right PROCESS_QUERY_LIMITED_INFORMATION, the error ERROR_ACCESS_DENIED, the exit code STILL_ACTIVE
_QUERY, _DENIED, _STILL_ACTIVE = 0x1000, 5, 259


def is_running(pid: int, start: str = "") -> bool:
    """Whether the process of this number runs on this machine, and is the one that started at `start`.

    Parameters
    ----------
    pid
        Its number; any integer.
    start
        What `process_start` returned for it then; empty if that is not known.
    """
    found = _find(pid)
    return found is not None and (not start or not found or found == start)


def process_start(pid: int) -> str:
    """Return what tells a process from later ones of its number; empty where the system does not tell.

    It is compared for equality only. On Linux it contains the boot as well.
    """
    return _start_of(pid) if pid == os.getpid() else _find(pid) or ""


@lru_cache(maxsize=1)
def _start_of(pid: int) -> str:
    return _find(pid) or ""


def _find(pid: int) -> str | None:
    """Return when a process started, empty where that is not known; None if there is no such process."""
    if not 0 < pid < _MAX_PID:
        return None
    if os.name == "nt":
        return _find_on_windows(pid)
    return _find_on_linux(pid) if sys.platform == "linux" else _find_with_ps(pid)


def _find_on_linux(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:  # no such process, or one of another user that is hidden
        return "" if _exists(pid) else None
    state, *fields = stat.rpartition(b")")[2].split()
    if state in (b"Z", b"X"):  # it has ended, and its parent has not asked for its exit code yet
        return None
    return f"{_boot()}-{int(fields[18])}"


@lru_cache(maxsize=1)
def _boot() -> str:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _find_with_ps(pid: int) -> str | None:
    """Return the start in seconds, as `ps` of POSIX systems without ``/proc`` prints it."""
    if not _exists(pid):
        return None
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.SubprocessError):
        return ""
    return " ".join(done.stdout.split())


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _find_on_windows(pid: int) -> str | None:
    """Return the creation time in units of 100 ns since 1601."""
    import ctypes
    from ctypes import byref, wintypes

    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]  # Windows only
    kernel.OpenProcess.restype = wintypes.HANDLE
    kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
    kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
    kernel.GetExitCodeProcess.argtypes = (wintypes.HANDLE, ctypes.c_void_p)
    kernel.GetProcessTimes.argtypes = (wintypes.HANDLE, *[ctypes.c_void_p] * 4)
    handle = kernel.OpenProcess(_QUERY, False, pid)
    if not handle:  # a process of another user may exist and not be queried
        denied = ctypes.get_last_error() == _DENIED  # type: ignore[attr-defined]  # Windows only
        return "" if denied else None
    try:
        # whoever holds a handle, as a parent does, keeps an ended process from going away
        code = wintypes.DWORD()
        if kernel.GetExitCodeProcess(handle, byref(code)) and code.value != _STILL_ACTIVE:
            return None
        created, *others = (wintypes.FILETIME() for _ in range(4))
        if not kernel.GetProcessTimes(handle, byref(created), *map(byref, others)):
            return ""
        return str(created.dwHighDateTime << 32 | created.dwLowDateTime)
    finally:
        kernel.CloseHandle(handle)
