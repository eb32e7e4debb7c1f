"""Files of a dataset on this disk: regular files only, inside of it, no larger than the limit for their kind."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ome_writers.errors import InvalidFileError, OMEWritersError, UnsupportedError, short_repr
from ome_writers.file_sharing import retry_while_open

# O_NONBLOCK: opening a FIFO without a writer must not block. Windows does not have these flags, nor FIFOs in folders.
_FLAGS = os.O_RDONLY
for _flag in ("O_BINARY", "O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY"):
    _FLAGS |= getattr(os, _flag, 0)
_READ_BYTES = 2**20
ARCHIVE_SUFFIX = ".ozx"
_KINDS = {"p": "a FIFO", "c": "a device", "b": "a device", "s": "a socket", "d": "a folder"}

if TYPE_CHECKING:
    _Path = Path
else:  # a method of `Path` that a path of a URL does not define must not be called, because it would use this disk
    _Path = object


class Limit(IntEnum):
    """Maximum size in bytes of each kind of file."""

    LOCK = 4096
    JSON = 64 * 2**20
    JOURNAL_LINE = 64 * 2**20
    XML = 512 * 2**20


class NotOnDisk(_Path):
    """A path of a URL, which has its own way to read a file."""

    def read(self, limit: int) -> bytes:
        """Return the content; raise InvalidFileError if it is larger than `limit`."""
        raise NotImplementedError

    def is_object(self) -> bool:
        """Return whether a request of this path succeeds; of a folder, web servers return a page."""
        raise NotImplementedError


def is_archive(path: Path | str) -> bool:
    """Return whether a path is a file with the suffix ``.ozx``."""
    if not os.fspath(path).lower().endswith(ARCHIVE_SUFFIX):
        return False
    return path.is_object() if isinstance(path, NotOnDisk) else os.path.isfile(path)


def check_space(path: Path, size: int, folder: str | os.PathLike[str]) -> None:
    """Raise UnsupportedError if the disk of `folder` does not have space for the `size` bytes of a copy of `path`."""
    free = shutil.disk_usage(folder).free
    if size > free:
        raise UnsupportedError(
            f"{path} has {size:,} bytes, and {folder} has space for {free:,}: it cannot be copied to this disk. "
            f"Set TMPDIR to a larger one."
        )


def member(root: Path, key: object) -> Path:
    """Return the path of the ``/``-separated `key` below `root`.

    Raises InvalidFileError if `key` is not a relative path inside `root`, or a link leads out of `root`.
    """
    parts = key.split("/") if isinstance(key, str) else [""]
    forbidden = "\\\0:" if os.name == "nt" else "\\\0"
    if any(part in ("", ".", "..") or set(part) & set(forbidden) for part in parts):
        raise InvalidFileError(
            f"{root}: metadata refer to the path {short_repr(key, 200)}, which is not inside the dataset. "
            f"Correct the metadata."
        )
    path = root.joinpath(*parts)
    if not isinstance(root, NotOnDisk):
        _refuse_outside(path, root)
    return path


def is_link(path: Path | str) -> bool:
    """Return whether a path is a symbolic link or, on Windows, a junction, which `os.path.islink` does not detect."""
    if sys.platform != "win32":
        return os.path.islink(path)
    tag = 0
    with suppress(OSError, ValueError):
        tag = os.lstat(path).st_reparse_tag
    return tag in (stat.IO_REPARSE_TAG_SYMLINK, stat.IO_REPARSE_TAG_MOUNT_POINT)


def open_regular(path: Path | str, *, root: Path | None = None) -> int:
    """Open a regular file on this disk for reading and return its file descriptor, which the caller closes.

    Links in `path` must not lead out of `root`, the folder of the dataset. `root` is None for a path given by the user.

    Raises InvalidFileError if it is not a regular file, or a link leads out of `root`; OSError if it cannot be opened,
    for instance because it does not exist.
    """
    if isinstance(path, NotOnDisk):
        raise UnsupportedError(
            f"{path}: of remote datasets, only an OME-Zarr with codecs that ome-writers reads can be read. Copy the "
            f"dataset to this disk."
        )
    if root is not None:
        _refuse_outside(path, root)
    # opening some devices has side effects
    if stat.S_ISREG(mode := retry_while_open(lambda: os.stat(path)).st_mode):
        fd = retry_while_open(lambda: os.open(path, _FLAGS))
        if stat.S_ISREG(mode := os.fstat(fd).st_mode):  # may have been replaced meanwhile
            return fd
        os.close(fd)
    kind = _KINDS.get(stat.filemode(mode)[0], "not a regular file")
    raise InvalidFileError(f"{path} is {kind}. Only regular files are opened.")


class ByteRange(NamedTuple):
    """Where a content is in a file, in bytes."""

    offset: int
    size: int


def read_file(path: Path | str, limit: int, *, root: Path | None = None) -> bytes:
    """Return the content of a regular file, or of an object at a URL, of at most `limit` bytes; see `open_regular`.

    Raises InvalidFileError if it is not a regular file, larger than `limit`, or outside of `root`.
    """
    if isinstance(path, NotOnDisk):
        return path.read(limit)
    fd = open_regular(path, root=root)
    try:
        size = os.fstat(fd).st_size
        blocks, total = list[bytes](), 0
        while size <= limit and total <= limit:
            block = os.read(fd, min(max(size - total, 4096) + 1, _READ_BYTES))
            if not block:
                return b"".join(blocks)
            blocks.append(block)
            total += len(block)
    finally:
        os.close(fd)
    raise InvalidFileError(
        f"{path} is too large: {max(size, total):,} bytes. The limit for this kind of file is {limit:,} bytes."
    )


def read_file_lines(path: Path, *, root: Path | None = None) -> Iterator[bytes]:
    """Iterate over the complete lines of a journal on this disk; a last line truncated by a crash is skipped.

    A journal that does not exist has no lines.

    Raises InvalidFileError if it is not a regular file inside `root`, or a line is longer than `Limit.JOURNAL_LINE`.
    """
    try:
        fd = open_regular(path, root=root)
    except FileNotFoundError:
        return
    with open(fd, "rb") as file:
        while line := file.readline(Limit.JOURNAL_LINE + 1):
            if len(line) > Limit.JOURNAL_LINE:
                raise InvalidFileError(
                    f"{path}: a line is longer than {int(Limit.JOURNAL_LINE):,} bytes, the limit for frame metadata."
                )
            if line.endswith(b"\n"):
                yield line


@contextmanager
def guard_reader(path: Path, reader: str = "") -> Iterator[None]:
    """Convert any exception of a reader to an InvalidFileError that names the file and the third-party `reader`.

    For invalid files, readers raise exceptions of many types, including MemoryError and RecursionError.
    """
    try:
        yield
    except (OMEWritersError, OSError):  # OSError names the file already
        raise
    except Exception as error:
        detail = " ".join(str(error).split())[:300]
        raise InvalidFileError(
            f"{path} cannot be read{reader and ' by '}{reader}: {type(error).__name__}{detail and ': '}{detail}"
        ) from error


def _refuse_outside(path: Path | str, root: Path) -> None:
    """Refuse a path with a link that leads out of `root`. `member` has checked paths without links."""
    text, base = os.fspath(path), os.fspath(root)
    # not on Windows, where `realpath` alone follows all kinds of links
    if os.name != "nt" and text.startswith(base + "/"):
        end = len(base)
        while end >= 0:
            end = text.find("/", end + 1)
            if os.path.islink(text if end < 0 else text[:end]):
                break
        else:
            return
    real, inside = os.path.realpath(text), os.path.realpath(base)
    if os.name == "nt":  # where `realpath` leaves the prefix while folders of the file are created
        real, inside = (p.replace(r"\\?\UNC", "\\").replace("\\\\?\\", "") for p in (real, inside))
    if real != inside and not real.startswith(inside.rstrip(os.sep) + os.sep):
        raise InvalidFileError(
            f"{path} is a link that leads out of the dataset, to {real}. Replace the link with a copy of its target."
        )
