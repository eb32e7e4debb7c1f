"""Opening files of a dataset: regular files only, inside the dataset, and no larger than the limit for their kind."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from ome_writers.errors import InvalidFileError, OMEWritersError, UnsupportedError, short_repr
from ome_writers.file_sharing import retry_while_open
from ome_writers.untrusted.remote import RemotePath, is_archive, is_remote

if TYPE_CHECKING:
    from ome_writers.untrusted.location import Location

# O_NONBLOCK: opening a FIFO without a writer must not block. Windows does not have these flags, nor FIFOs in folders.
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
    """Maximum size in bytes of each kind of file."""

    LOCK = 4096
    JSON = 64 * 2**20
    JOURNAL_LINE = 64 * 2**20
    XML = 512 * 2**20


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
    if not is_remote(root):
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
    if isinstance(path, RemotePath):
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
    kind = next((name for test, name in _KINDS if test(mode)), "not a regular file")
    raise InvalidFileError(f"{path} is {kind}. Only regular files are opened.")


class ByteRange(NamedTuple):
    """Where a content is in a file, in bytes."""

    offset: int
    size: int


def read_regular(path: Path | str, limit: int, *, root: Path | None = None) -> bytes:
    """Return the content of a regular file, or of a member of an ``.ozx`` file, of at most `limit` bytes.

    See `open_regular`.

    Raises InvalidFileError if it is not a regular file, larger than `limit`, or outside of `root`.
    """
    if is_remote(path) or (root is not None and is_archive(root)):
        from ome_writers.untrusted.remote import path_or_url

        path = path_or_url(path)
        root = path if root is None else root
        return locate(root, path.relative_to(root).as_posix()).read(limit)
    fd = open_regular(path, root=root)
    try:
        size = os.fstat(fd).st_size
        blocks: list[bytes] = []
        total = 0
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


def read_lines(path: Path, *, root: Path | None = None) -> Iterator[bytes]:
    """Iterate over the complete lines of a journal; a last line truncated by a crash is skipped.

    A journal that does not exist has no lines.

    Raises InvalidFileError if it is not a regular file inside `root`, or a line is longer than `Limit.JOURNAL_LINE`.
    """
    if bool(is_remote(path)) or (root is not None and is_archive(root)):
        with suppress(FileNotFoundError):
            for line in read_regular(path, Limit.XML, root=root).splitlines(keepends=True):
                if line.endswith(b"\n"):
                    yield line
        return
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
    if real != inside and not real.startswith(inside.rstrip(os.sep) + os.sep):
        raise InvalidFileError(
            f"{path} is a link that leads out of the dataset, to {real}. Replace the link with a copy of its target."
        )


def locate(root: Path, key: str = "") -> Location:
    """Return the location of a key in the dataset at a path or URL, which `path_or_url` returns."""
    key = "" if key == "." else key.removeprefix("./")
    if not is_archive(root) and not is_remote(root):
        return LocalLocation(root, key)
    from ome_writers.untrusted.location import ArchiveLocation, RemoteLocation

    return ArchiveLocation(root, key) if is_archive(root) else RemoteLocation(root, key)


@dataclass(frozen=True)
class LocalLocation:
    """A file or folder on this disk."""

    root: Path
    key: str = ""
    is_local = True

    @property
    def folder(self) -> Path:
        path = self.root / self.key
        return path if path.is_dir() else path.parent

    @property
    def files(self) -> Path:
        return self.root / self.key

    def child(self, key: str) -> LocalLocation:
        member((self.root / self.key), key)
        return replace(self, key=f"{self.key}/{key}" if self.key else key)

    def exists(self) -> bool:
        return (self.root / self.key).is_file()

    def read(self, limit: int) -> bytes:
        return read_regular((self.root / self.key), limit, root=self.root)

    @contextmanager
    def open_range(self) -> Iterator[tuple[BinaryIO, ByteRange]]:
        with open(open_regular((self.root / self.key), root=self.root), "rb") as file:
            yield file, ByteRange(0, os.fstat(file.fileno()).st_size)

    def stat(self) -> os.stat_result:
        return (self.root / self.key).stat()

    def version(self) -> None:
        return None

    def list(self) -> Iterator[str]:
        path = self.root / self.key
        files = [path] if path.is_file() else path.rglob("*")
        return (file.relative_to(self.root).as_posix() for file in files if file.is_file())

    def copy_to(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open_range() as (file, _), target.open("xb") as copy:
            shutil.copyfileobj(file, copy)

    @contextmanager
    def local(self) -> Iterator[Path]:
        yield (self.root / self.key)
