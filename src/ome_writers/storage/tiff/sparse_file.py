"""Files with holes, on the platform where these must be asked for."""

from __future__ import annotations

import os

from ome_writers.storage.positional_io import write_at

__all__ = ["make_sparse", "stretch"]


def stretch(fd: int, nbytes: int) -> None:
    """Make a file longer, with a hole behind what it holds."""
    if os.name == "nt":  # where `os.ftruncate` writes each zero
        write_at(fd, [b"\0"], nbytes - 1)
    else:
        os.ftruncate(fd, nbytes)


def make_sparse(fd: int) -> None:
    """Have room that was never written take no place on the disk, where the platform needs to be told.

    NTFS would write zeros up to the first frame that lands far behind; other file systems leave holes by
    themselves. Where it cannot be had, nothing happens: the file is right all the same.
    """
    if os.name != "nt":
        return
    import ctypes
    import msvcrt
    from ctypes import wintypes

    set_sparse = 0x000900C4  # FSCTL_SET_SPARSE
    returned = wintypes.DWORD()
    ctypes.windll.kernel32.DeviceIoControl(  # type: ignore[attr-defined]  # Windows only
        wintypes.HANDLE(msvcrt.get_osfhandle(fd)),  # type: ignore[attr-defined]  # Windows only
        set_sparse,
        None,
        0,
        None,
        0,
        ctypes.byref(returned),
        None,
    )
