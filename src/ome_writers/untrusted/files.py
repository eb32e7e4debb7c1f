"""Files of a dataset: only regular files are opened, none outside of the dataset, none larger than its kind can be."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

from ome_writers.errors import InvalidFileError, OMEWritersError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Limit", "guard_reader", "member", "open_regular", "read_lines", "read_regular"]

# O_NONBLOCK: opening a FIFO without a writer must not block. Windows has none of these flags, nor FIFOs in folders.
_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
)
_READ_BYTES = 2**20
_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISDIR, "a folder"),
)


class Limit(IntEnum):
    """Largest size of each kind of document, in bytes."""

    LOCK = 4096
    JSON = 64 * 2**20
    JOURNAL_LINE = 64 * 2**20
    XML = 512 * 2**20


def member(root: Path, key: object) -> Path:
    """Return where the ``/``-separated `key` lies below `root`.

    Raises
    ------
    InvalidFileError
        If it leads out of `root`, by its words or over a symbolic link, or is no path at all.
    """
    words = key.split("/") if isinstance(key, str) else [""]
    forbidden = "\\\0:" if os.name == "nt" else "\\\0"
    if any(word in ("", ".", "..") or set(word) & set(forbidden) for word in words):
        raise InvalidFileError(
            f"{root} names the path {_shown(key)}, which does not lie inside it. Correct its metadata."
        )
    path = root.joinpath(*words)
    _refuse_outside(path, root)
    return path


def open_regular(path: Path | str, *, root: Path | None = None) -> int:
    """Open a regular file for reading; return its descriptor.

    Parameters
    ----------
    path
        The file.
    root
        The folder of the dataset, which no link in `path` may lead out of; None for a file that the user named.

    Raises
    ------
    InvalidFileError
        If it is not a regular file, or a link leads out of `root`.
    OSError
        If it cannot be opened, for instance because it does not exist.
    """
    if root is not None:
        _refuse_outside(path, root)
    _refuse_special(
        path, os.stat(path).st_mode
    )  # before opening, which has effects on some devices
    fd = os.open(path, _FLAGS)
    try:
        _refuse_special(path, os.fstat(fd).st_mode)  # it may have been replaced in between
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_regular(path: Path | str, limit: int, *, root: Path | None = None) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; see `open_regular`.

    Raises
    ------
    InvalidFileError
        If it is not a regular file, larger than `limit`, or outside of `root`.
    """
    fd = open_regular(path, root=root)
    try:
        size = os.fstat(fd).st_size
        parts: list[bytes] = []
        total = 0
        while size <= limit and total <= limit:
            part = os.read(fd, min(max(size - total, 4096) + 1, _READ_BYTES))
            if not part:
                return b"".join(parts)
            parts.append(part)
            total += len(part)
    finally:
        os.close(fd)
    raise InvalidFileError(
        f"{path} is too large for a document of its kind: {max(size, total):,} bytes, {limit:,} are allowed."
    )


def read_lines(path: Path, *, root: Path | None = None) -> Iterator[bytes]:
    """Iterate over the whole lines of a journal; one that a crash cut short is left out.

    Raises
    ------
    InvalidFileError
        If it is not a regular file, a line is longer than `Limit.JOURNAL_LINE`, or it lies outside of `root`.
    """
    try:
        fd = open_regular(path, root=root)
    except FileNotFoundError:
        return
    with open(fd, "rb") as file:
        while line := file.readline(Limit.JOURNAL_LINE + 1):
            if len(line) > Limit.JOURNAL_LINE:
                raise InvalidFileError(
                    f"{path} has a line of more than {int(Limit.JOURNAL_LINE):,} bytes, which is no frame metadata."
                )
            if line.endswith(b"\n"):
                yield line


@contextmanager
def guard_reader(path: Path, reader: str = "") -> Iterator[None]:
    """Turn whatever a reader raises for a file into InvalidFileError, which names the file and a third-party `reader`.

    Such readers raise errors of many kinds for bytes that they do not expect, MemoryError and RecursionError included.
    """
    try:
        yield
    except (OMEWritersError, OSError):  # the system's own errors name the file
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise InvalidFileError(
            f"{path} cannot be read{reader and ' by '}{reader}: {type(error).__name__}{said and ': '}{said}"
        ) from error


def _refuse_special(path: Path | str, mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = next((name for test, name in _KINDS if test(mode)), "not a regular file")
        raise InvalidFileError(f"{path} is {kind}. Only regular files are opened.")


def _refuse_outside(path: Path | str, root: Path) -> None:
    """Refuse a path that a link leads out of `root`; a path without links lies inside by its words."""
    text, base = os.fspath(path), os.fspath(root)
    # Windows has junctions, which `islink` does not see
    if os.name != "nt" and text.startswith(base + "/") and not _has_link(text, len(base)):
        return
    real, inside = os.path.realpath(text), os.path.realpath(base)
    if real != inside and not real.startswith(inside.rstrip(os.sep) + os.sep):
        raise InvalidFileError(
            f"{path} is a link that leads out of the dataset, to {real}. Replace the link by what it leads to."
        )


def _has_link(path: str, start: int) -> bool:
    """Whether a component of `path` behind its first `start` characters is a symbolic link."""
    while start >= 0:
        start = path.find("/", start + 1)
        if os.path.islink(path if start < 0 else path[:start]):
            return True
    return False


def _shown(key: object) -> str:
    shown = repr(key)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."
