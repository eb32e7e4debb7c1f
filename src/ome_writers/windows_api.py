"""Functions of the Windows API that Python does not have: open files, processes, and the end of a console.

The module is empty on other platforms.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import numpy as np

if sys.platform == "win32":
    import ctypes
    import msvcrt
    from ctypes import byref, c_void_p, wintypes
    from typing import Any

    if TYPE_CHECKING:
        from collections.abc import Callable
        from pathlib import Path

    _MAX_CALL_BYTES = 2**25  # file servers refuse calls of more than 64 MiB
    _ERROR_ACCESS_DENIED = 5
    _ERROR_HANDLE_EOF = 38
    _FSCTL_SET_SPARSE = 0x000900C4
    _GENERIC_READ = 0x80000000
    _GENERIC_READ_WRITE = 0xC0000000
    _OPEN_EXISTING = 3
    _PROCESS_QUERY_LIMITED_INFORMATION = 0x1000
    _STILL_ACTIVE = 259
    _SHARE_ALL = 7  # FILE_SHARE_READ, FILE_SHARE_WRITE, FILE_SHARE_DELETE
    _THREAD_PRIORITY_LOWEST = -2
    _INVALID_HANDLE = c_void_p(-1).value
    _CONSOLE_ENDS = {2, 5, 6}  # CTRL_CLOSE_EVENT, CTRL_LOGOFF_EVENT, CTRL_SHUTDOWN_EVENT

    class _Overlapped(ctypes.Structure):
        """OVERLAPPED: the offset of a call. On a handle opened by `os.open` the call is synchronous nevertheless."""

        _fields_ = (
            ("internal", c_void_p),
            ("internal_high", c_void_p),
            ("offset", wintypes.DWORD),
            ("offset_high", wintypes.DWORD),
            ("event", wintypes.HANDLE),
        )

    # `WinDLL` releases the GIL during a call.
    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _transfer_arguments = (wintypes.HANDLE, c_void_p, wintypes.DWORD, c_void_p, c_void_p)
    _kernel.ReadFile.argtypes = _kernel.WriteFile.argtypes = _transfer_arguments
    _kernel.DeviceIoControl.argtypes = (
        wintypes.HANDLE,
        wintypes.DWORD,
        c_void_p,
        wintypes.DWORD,
        c_void_p,
        wintypes.DWORD,
        c_void_p,
        c_void_p,
    )

    _kernel.CreateFileW.restype = wintypes.HANDLE
    _kernel.GetCurrentThread.restype = wintypes.HANDLE
    _kernel.SetThreadPriority.argtypes = (wintypes.HANDLE, ctypes.c_int)
    _kernel.CreateFileW.argtypes = (
        wintypes.LPCWSTR,
        wintypes.DWORD,
        wintypes.DWORD,
        c_void_p,
        wintypes.DWORD,
        wintypes.DWORD,
        wintypes.HANDLE,
    )

    _kernel.OpenProcess.restype = wintypes.HANDLE
    _kernel.OpenProcess.argtypes = (wintypes.DWORD, wintypes.BOOL, wintypes.DWORD)
    _kernel.CloseHandle.argtypes = (wintypes.HANDLE,)
    _kernel.GetExitCodeProcess.argtypes = (wintypes.HANDLE, c_void_p)
    _kernel.GetProcessTimes.argtypes = (wintypes.HANDLE, *[c_void_p] * 4)

    _HandlerRoutine = ctypes.WINFUNCTYPE(wintypes.BOOL, wintypes.DWORD)
    _kernel.SetConsoleCtrlHandler.argtypes = (_HandlerRoutine, wintypes.BOOL)
    _console_handlers: list[Any] = []  # Windows calls them, so they must stay alive

    def call_at_console_end(function: Callable[[], None]) -> None:
        """Call `function` when the console window is closed, the user logs off or Windows shuts down.

        Windows calls it in a thread of its own, and ends the process when it returns, or after 5 s.
        """

        def handle(event: int) -> bool:
            if event in _CONSOLE_ENDS:
                function()
            return False  # continue with the next handler; the last one ends the process

        routine = _HandlerRoutine(handle)
        if _kernel.SetConsoleCtrlHandler(routine, True):
            _console_handlers.append(routine)

    def are_long_paths_enabled() -> bool:
        """Return whether paths of more than 259 characters are possible without an extended prefix."""
        try:
            return bool(ctypes.WinDLL("ntdll").RtlAreLongPathsEnabled() & 0xFF)  # a BOOLEAN
        except AttributeError:  # before Windows 10, version 1607
            return False

    def open_exclusively(path: str) -> int:
        """Open an existing file for reading and writing; until it is closed, nothing else can open it.

        Raises PermissionError if it is open already, in this process or in another one.
        """
        handle = _kernel.CreateFileW(path, _GENERIC_READ_WRITE, 0, None, _OPEN_EXISTING, 0, None)
        if handle == _INVALID_HANDLE:
            error = ctypes.get_last_error()
            raise OSError(None, ctypes.FormatError(error), path, error)
        return msvcrt.open_osfhandle(handle, os.O_RDWR | os.O_BINARY | os.O_NOINHERIT)

    def open_shared(path: str) -> int:
        """Open an existing file for reading; meanwhile other processes can write, rename and remove it."""
        handle = _kernel.CreateFileW(path, _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, 0, None)
        if handle == _INVALID_HANDLE:
            error = ctypes.get_last_error()
            raise OSError(None, ctypes.FormatError(error), path, error)
        return msvcrt.open_osfhandle(handle, os.O_RDONLY | os.O_BINARY | os.O_NOINHERIT)

    def move_aside(path: Path, lock: Path) -> Path:
        """Rename a file before it is removed, and return its new path, or `path` if it cannot be renamed.

        File systems without POSIX semantics of deletion keep the name of a removed file until all processes have
        closed it: those that opened it by `open_shared` then occupy neither its name nor its folder. The new name is
        that of an attempt to acquire `lock`, which `storage.remove_attempts` removes.
        """
        # the number is not that of the thread, whose next attempt to acquire the lock needs that name
        name = f"{lock.name}.{os.getpid()}-{time.perf_counter_ns()}.tmp"
        try:
            return path.replace(lock.with_name(name))
        except OSError:
            return path

    def pread(fd: int, count: int, offset: int) -> bytes:
        """Return at most `count` bytes from `offset`; fewer at the end of the file, and at most 32 MiB.

        ReadFile moves the file position. It is restored, because third-party readers are given the same descriptor.
        """
        buffer = ctypes.create_string_buffer(min(count, _MAX_CALL_BYTES))
        position = os.lseek(fd, 0, os.SEEK_CUR)
        done, error = _transfer(_kernel.ReadFile, fd, ctypes.addressof(buffer), len(buffer), offset)
        os.lseek(fd, position, os.SEEK_SET)
        if error and error != _ERROR_HANDLE_EOF:
            raise ctypes.WinError(error)
        return ctypes.string_at(buffer, done)

    def pwrite(fd: int, buffer: Any, offset: int) -> int:
        """Write a contiguous buffer of any format at `offset`; return the number of bytes written.

        Threads may write to one descriptor concurrently. The file position of `fd` changes.
        """
        memory = np.frombuffer(buffer, np.uint8)
        address, written = memory.ctypes.data, 0
        while written < memory.nbytes:
            count = min(memory.nbytes - written, _MAX_CALL_BYTES)
            done, error = _transfer(
                _kernel.WriteFile, fd, address + written, count, offset + written
            )
            if error:
                raise ctypes.WinError(error)
            written += done
        return written

    def lower_thread_priority() -> None:
        """Let other threads run before this one."""
        _kernel.SetThreadPriority(_kernel.GetCurrentThread(), _THREAD_PRIORITY_LOWEST)

    def process_creation_time(pid: int) -> str | None:
        """Return the creation time of a process, in units of 100 ns since 1601.

        Empty for a process of another user, which this one may not query; None if there is no such process.
        """
        handle = _kernel.OpenProcess(_PROCESS_QUERY_LIMITED_INFORMATION, False, pid)
        if not handle:
            return "" if ctypes.get_last_error() == _ERROR_ACCESS_DENIED else None
        try:
            # an ended process continues to exist while another process, such as its parent, has a handle
            code = wintypes.DWORD()
            if _kernel.GetExitCodeProcess(handle, byref(code)) and code.value != _STILL_ACTIVE:
                return None
            created, *others = (wintypes.FILETIME() for _ in range(4))
            if not _kernel.GetProcessTimes(handle, byref(created), *map(byref, others)):
                return ""
            return str(created.dwHighDateTime << 32 | created.dwLowDateTime)
        finally:
            _kernel.CloseHandle(handle)

    def set_sparse(fd: int) -> bool:
        """Mark a file as sparse; return whether the file system supports it."""
        returned = wintypes.DWORD()
        handle = msvcrt.get_osfhandle(fd)
        return bool(
            _kernel.DeviceIoControl(
                handle, _FSCTL_SET_SPARSE, None, 0, None, 0, byref(returned), None
            )
        )

    def _transfer(function: Any, fd: int, address: int, count: int, offset: int) -> tuple[int, int]:
        """Call ReadFile or WriteFile; return the number of bytes and the error code, 0 for success."""
        at = _Overlapped(offset=offset & 0xFFFFFFFF, offset_high=offset >> 32)
        done = wintypes.DWORD()
        ok = function(msvcrt.get_osfhandle(fd), address, count, byref(done), byref(at))
        return done.value, 0 if ok else ctypes.get_last_error()
