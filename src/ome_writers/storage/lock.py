"""The lock of an output path: who writes there, and whether that process still lives."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, NamedTuple

from ome_writers.untrusted import Limit, parse_json, read_regular

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LOCK_NAME", "LockOwner", "lives", "lock_document", "lock_owner", "lock_path"]

LOCK_NAME = ".ome-writers.lock"

# Windows: the right PROCESS_QUERY_LIMITED_INFORMATION, and the error ERROR_ACCESS_DENIED
_QUERY, _DENIED = 0x1000, 5


def lock_path(output: Path, *, folder: bool) -> Path:
    """Return where the lock of an output lies: inside a folder, beside a file."""
    return output / LOCK_NAME if folder else output.with_name(f".{output.name}.lock")


def lock_document() -> bytes:
    """Return what the lock of this process says."""
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()


class LockOwner(NamedTuple):
    """Who holds a lock: a process, by its number on a host."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def lock_owner(lock: Path) -> LockOwner | None:
    """Return who holds a lock; None when nobody does, or its process on this host has ended."""
    try:
        told = parse_json(read_regular(lock, Limit.LOCK), lock)
        owner = LockOwner(int(told["pid"]), str(told["host"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None  # torn by a crash: nobody who lives writes such a lock
    ended = owner.host == socket.gethostname() and not lives(owner.pid)
    return None if ended else owner


def lives(pid: int) -> bool:
    """Whether there is a process of this number on this host."""
    if os.name == "nt":  # os.kill would end the process there
        import ctypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined]  # Windows only
        handle = kernel.OpenProcess(_QUERY, False, pid)
        if not handle:  # somebody else's process may be there and yet not be looked at
            return bool(ctypes.get_last_error() == _DENIED)  # type: ignore[attr-defined]  # Windows only
        kernel.CloseHandle(handle)
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
