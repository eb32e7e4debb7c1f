"""`Location`: a file or folder of a dataset, whether its files are on this disk, at a URL, or in a single-file archive.

All branches between these are here: others call methods. What needs real files asks for `Location.local`.
"""
# Longer than 300 lines: one protocol and its three implementations.

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, Protocol, TypeVar, cast

from ome_writers.errors import UnsupportedError
from ome_writers.untrusted.archive import (
    archive_members,
    byte_range,
    open_archive,
    read_member,
)
from ome_writers.untrusted.files import (
    ByteRange,
    check_space,
    is_archive,
    member,
    open_regular,
    read_file,
)
from ome_writers.untrusted.remote import RemotePath

if TYPE_CHECKING:
    from ome_writers.untrusted.remote_store import ObjectStatus


class _RemoteOrNot(Protocol):
    @property
    def remote(self) -> bool: ...  # whether it is read at URLs


_Format = TypeVar("_Format", bound=_RemoteOrNot)


class Location(Protocol):
    """Where content of a dataset is: below its `root`, which is a folder or a single file, under a key.

    Attributes
    ----------
    root
        The path or URL of the dataset; of an archive, the archive.
    key
        Relative to the root, with ``/``; empty for the root itself.
    """

    @property
    def root(self) -> Path: ...

    @property
    def key(self) -> str: ...

    @property
    def folder(self) -> Path:
        """What the keys of a dataset at this location are relative to: itself, or the folder of a single file."""
        ...

    def child(self, key: str) -> Location:
        """Return the location of a key below this one; InvalidFileError if that is not inside the dataset."""
        ...

    def exists(self) -> bool:
        """Return whether a file is at this location."""
        ...

    def read(self, limit: int) -> bytes:
        """Return the content of a file; FileNotFoundError without it, InvalidFileError if larger than `limit`."""
        ...

    def open_range(self) -> AbstractContextManager[tuple[BinaryIO, ByteRange]]:
        """Open a file that contains the content; yield it, and the byte range of the content."""
        ...

    @property
    def stat(self) -> Callable[[], os.stat_result | ObjectStatus]:
        """Return size, time and identity of the file that is replaced when the content changes."""
        ...

    def version(self) -> int | None:
        """Return what differs between two versions of a remote file; None on this disk, where reading is cheap."""
        ...

    def list(self) -> Iterator[str]:
        """Yield the keys of all files at this location and below; ListingError if a server does not list them."""
        ...

    def copy_to(self, target: Path) -> None:
        """Copy a file to a new file on this disk."""
        ...

    def local(self) -> AbstractContextManager[Path]:
        """Yield a path on this disk with the files of this location: a temporary copy if they are remote."""
        ...

    def formats(self, rows: Iterable[_Format], /) -> Iterable[_Format]:
        """Return those of the formats that are read here."""
        ...

    def unrecognized(self) -> Exception | None:
        """Return the error for content that no format recognizes; None if the caller has to look at the files."""
        ...

    def lock(self, lock_path: Callable[..., Path]) -> Path | None:
        """Return where the writer of a dataset has its lock, named by `lock_path`; None if no process writes here."""
        ...

    def beside(self, rename: Callable[[str], str]) -> Path:
        """Return a path for a file about a dataset: beside it, or in the working directory. `rename` gets its name."""
        ...


def locate_stored(root: Path, key: str = "") -> Location:
    """Return the location of a key in the dataset at a path or URL, without the files that a mirror has moved."""
    key = "" if key == "." else key.removeprefix("./")
    if is_archive(root):
        return ArchiveLocation(root, key)
    return RemoteLocation(root, key) if isinstance(root, RemotePath) else LocalLocation(root, key)


@dataclass(frozen=True)
class LocalLocation:
    """A file or folder on this disk."""

    root: Path
    key: str = ""
    formats = staticmethod(iter)  # all

    @property
    def folder(self) -> Path:
        path = self.root / self.key
        return path if path.is_dir() else path.parent

    def child(self, key: str) -> LocalLocation:
        member((self.root / self.key), key)
        return replace(self, key=f"{self.key}/{key}" if self.key else key)

    def exists(self) -> bool:
        return (self.root / self.key).is_file()

    def read(self, limit: int) -> bytes:
        return read_file(self.root / self.key, limit, root=self.root)

    @contextmanager
    def open_range(self) -> Iterator[tuple[BinaryIO, ByteRange]]:
        with open(open_regular(self.root / self.key, root=self.root), "rb") as file:
            yield file, ByteRange(0, os.fstat(file.fileno()).st_size)

    @property
    def stat(self) -> Callable[[], os.stat_result]:
        return (self.root / self.key).stat

    def version(self) -> None:
        return None

    def list(self) -> Iterator[str]:
        path = self.root / self.key
        files = [path] if path.is_file() else path.rglob("*")
        yield from (file.relative_to(self.root).as_posix() for file in files if file.is_file())

    def copy_to(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open_range() as (file, _), target.open("xb") as copy:
            shutil.copyfileobj(file, copy)

    @contextmanager
    def local(self) -> Iterator[Path]:
        yield self.root / self.key

    def unrecognized(self) -> None:
        return None

    def lock(self, lock_path: Callable[..., Path]) -> Path:
        path = self.root / self.key
        return lock_path(path, folder=path.is_dir())

    def beside(self, rename: Callable[[str], str]) -> Path:
        path = self.root / self.key
        path = path.resolve() if path.name in ("", "..") else path  # "." has no name
        return path.with_name(rename(path.name))


@dataclass(frozen=True)
class RemoteLocation:
    """An object, or the objects of a folder, in an object store or at a web server."""

    root: Path
    key: str = ""

    @property
    def _path(self) -> RemotePath:
        path = self.root / self.key if self.key else self.root
        assert isinstance(path, RemotePath)
        return path

    @property
    def folder(self) -> Path:
        path = self._path
        return path if path.is_dir() else path.parent

    def child(self, key: str) -> RemoteLocation:
        member(self.root, key)
        return replace(self, key=f"{self.key}/{key}" if self.key else key)

    def exists(self) -> bool:
        return self._path.is_file()

    def read(self, limit: int) -> bytes:
        return self._path.read(limit)

    @contextmanager
    def open_range(self) -> Iterator[tuple[BinaryIO, ByteRange]]:
        path = self._path
        with path.open_raw() as remote:
            yield cast("BinaryIO", remote), ByteRange(0, path.object_status().st_size)

    @property
    def stat(self) -> Callable[[], ObjectStatus]:
        return self._path.stat

    def version(self) -> int:
        return self._path.object_status().st_ino

    def list(self) -> Iterator[str]:
        path = self._path
        found = [path] if path.is_file() else path.rglob("*")
        return (item.key for item in found)

    def copy_to(self, target: Path) -> None:
        self._path.download(target)

    @contextmanager
    def local(self) -> Iterator[Path]:
        from ome_writers.untrusted.remote_store import call_concurrently

        path = self._path
        with TemporaryDirectory(prefix="ome-writers-") as folder:
            copy = Path(folder, path.name)
            objects = [path] if path.is_file() else list(path.rglob("*"))
            check_space(path, sum(item.stat().st_size for item in objects), folder)

            def download(item: RemotePath) -> None:
                is_whole = item is path
                item.download(copy if is_whole else member(copy, item.relative_to(path).as_posix()))

            call_concurrently(download, objects)
            yield copy

    def formats(self, rows: Iterable[_Format], /) -> Iterable[_Format]:
        return (row for row in rows if row.remote)

    def unrecognized(self) -> Exception:
        path = self._path
        if not path.is_file():
            return FileNotFoundError(
                f"{path} does not exist, or is not an OME-Zarr: the server has neither zarr.json nor .zattrs, .zgroup "
                f"or .zarray there (404 Not Found). Check the URL."
            )
        return UnsupportedError(
            f"{path} is not an OME-Zarr, which contains zarr.json or .zattrs. If it is a folder of "
            f"datasets, add the name of one. Of remote files, only OME-Zarr is read. Copy it to this disk first."
        )

    def lock(self, lock_path: Callable[..., Path]) -> None:
        del lock_path

    def beside(self, rename: Callable[[str], str]) -> Path:
        return Path(rename(str(self._path).rpartition("/")[2]))  # of a whole bucket, its name


@dataclass(frozen=True)
class ArchiveLocation:
    """A member, or the members of a folder, of an ``.ozx`` file on this disk or at a URL."""

    root: Path
    key: str = ""

    @property
    def folder(self) -> Path:
        return self.root

    def child(self, key: str) -> ArchiveLocation:
        member(self.root, key)
        return replace(self, key=f"{self.key}/{key}" if self.key else key)

    def exists(self) -> bool:
        return self.key in archive_members(self.root)

    def read(self, limit: int) -> bytes:
        return read_member(self.root, self.key, limit)

    @contextmanager
    def open_range(self) -> Iterator[tuple[BinaryIO, ByteRange]]:
        with open_archive(self.root) as file:
            yield file, byte_range(self.root, file, self.key)

    @property
    def stat(self) -> Callable[[], os.stat_result | ObjectStatus]:
        return self.root.object_status if isinstance(self.root, RemotePath) else self.root.stat

    def version(self) -> int | None:
        root = self.root
        return root.object_status().st_ino if isinstance(root, RemotePath) else None

    def list(self) -> Iterator[str]:
        start = f"{self.key}/" if self.key else ""
        names = archive_members(self.root)
        return (name for name in names if name == self.key or name.startswith(start))

    def copy_to(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open_range() as (file, (offset, size)), target.open("xb") as copy:
            file.seek(offset)
            copy.write(file.read(size))

    @property
    def _file(self) -> Location:
        """The archive as a file."""
        return (
            RemoteLocation(self.root)
            if isinstance(self.root, RemotePath)
            else LocalLocation(self.root)
        )

    def local(self) -> AbstractContextManager[Path]:
        return self._file.local()

    def formats(self, rows: Iterable[_Format], /) -> Iterable[_Format]:
        return self._file.formats(rows)

    def unrecognized(self) -> Exception | None:
        return self._file.unrecognized()

    def lock(self, lock_path: Callable[..., Path]) -> Path | None:
        return self._file.lock(lock_path)

    def beside(self, rename: Callable[[str], str]) -> Path:
        return self._file.beside(rename)
