"""`Location`: a file or folder of a dataset, whether its files are on this disk, at a URL, or in a single-file archive.

All branches between these are here. What needs real files asks for `Location.local`.
"""
# Longer than 300 lines: one protocol and its three implementations.

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from ome_writers.errors import InvalidFileError
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
    is_remote,
    member,
    open_regular,
    read_regular,
)

if TYPE_CHECKING:
    from ome_writers.untrusted.moved_record import MovedFiles
    from ome_writers.untrusted.remote import RemotePath
    from ome_writers.untrusted.remote_store import ObjectStatus


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
    def is_local(self) -> bool:
        """Whether `root` is on this disk."""
        ...

    @property
    def folder(self) -> Path:
        """What the keys of a dataset at this location are relative to: itself, or the folder of a single file."""
        ...

    @property
    def files(self) -> Path | None:
        """The path on this disk whose files are those of this location; None if they are remote or in an archive."""
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

    def stat(self) -> os.stat_result | ObjectStatus:
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


def locate(root: Path, key: str = "") -> Location:
    """Return the location of a key in the dataset at a path or URL, which `path_or_url` returns."""
    key = "" if key == "." else key.removeprefix("./")
    if is_archive(root):
        return ArchiveLocation(root, key)
    path: object = root  # so that the type of `root` remains
    return (RemoteLocation if is_remote(path) else LocalLocation)(root, key)


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
        return (self.root / self.key).is_file() or self._moved() is not None

    def read(self, limit: int) -> bytes:
        try:
            return read_regular((self.root / self.key), limit, root=self.root)
        except FileNotFoundError:
            if (found := self._moved()) is None:
                raise
        moved, key = found
        if (size := moved[key].size) > limit:
            raise InvalidFileError(f"{self.root / self.key} is too large: {size:,} bytes.")
        return moved.read(key)

    @contextmanager
    def open_range(self) -> Iterator[tuple[BinaryIO, ByteRange]]:
        try:
            fd = open_regular((self.root / self.key), root=self.root)
        except FileNotFoundError:
            if (moved := self._moved()) is None:
                raise
            with moved[0].open_range(moved[1]) as found:
                yield found
            return
        with open(fd, "rb") as file:
            yield file, ByteRange(0, os.fstat(file.fileno()).st_size)

    def _moved(self) -> tuple[MovedFiles, str] | None:
        """Return the files that a mirror has moved, and the key of this one, if it is one of them: a chunk or shard.

        The root may be an image of the dataset, as in ``run.ome.zarr/0``.
        """
        if not self.key[-1:].isdigit():
            return None
        from ome_writers.untrusted.moved_record import moved_file

        root, key = Path(os.path.abspath(self.root)), self.key
        while (found := moved_file(root, key)) is None:
            root, key = root.parent, f"{root.name}/{key}"
            if not (root / "zarr.json").is_file():
                return None
        return found, key

    def stat(self) -> os.stat_result:
        return (self.root / self.key).stat()

    def version(self) -> None:
        return None

    def list(self) -> Iterator[str]:
        from ome_writers.untrusted.moved_record import moved_files

        path = self.root / self.key
        files = [path] if path.is_file() else path.rglob("*")
        yield from (file.relative_to(self.root).as_posix() for file in files if file.is_file())
        if (moved := moved_files(self.root)) is not None:
            start = f"{self.key}/" if self.key else ""
            yield from (key for key, _ in moved.items() if key == self.key or key.startswith(start))

    def copy_to(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open_range() as (file, _), target.open("xb") as copy:
            shutil.copyfileobj(file, copy)

    @contextmanager
    def local(self) -> Iterator[Path]:
        yield (self.root / self.key)


@dataclass(frozen=True)
class RemoteLocation:
    """An object, or the objects of a folder, in an object store or at a web server."""

    root: Path
    key: str = ""
    is_local = False

    @property
    def _path(self) -> RemotePath:
        path = self.root / self.key if self.key else self.root
        assert is_remote(path)
        return path

    @property
    def folder(self) -> Path:
        path = self.root / self.key if self.key else self.root
        return path if path.is_dir() else path.parent

    @property
    def files(self) -> None:
        return None

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

    def stat(self) -> ObjectStatus:
        return self._path.stat()

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


@dataclass(frozen=True)
class ArchiveLocation:
    """A member, or the members of a folder, of an ``.ozx`` file on this disk or at a URL."""

    root: Path
    key: str = ""

    @property
    def is_local(self) -> bool:
        return not is_remote(self.root)

    @property
    def folder(self) -> Path:
        return self.root

    @property
    def files(self) -> None:
        return None

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

    def stat(self) -> os.stat_result | ObjectStatus:
        root: object = self.root
        return root.object_status() if is_remote(root) else self.root.stat()

    def version(self) -> int | None:
        root: object = self.root
        return root.object_status().st_ino if is_remote(root) else None

    def list(self) -> Iterator[str]:
        start = f"{self.key}/" if self.key else ""
        names = archive_members(self.root)
        return (name for name in names if name == self.key or name.startswith(start))

    def copy_to(self, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with self.open_range() as (file, (offset, size)), target.open("xb") as copy:
            file.seek(offset)
            copy.write(file.read(size))

    @contextmanager
    def local(self) -> Iterator[Path]:
        root = LocalLocation(self.root) if self.is_local else RemoteLocation(self.root)
        with root.local() as path:
            yield path
