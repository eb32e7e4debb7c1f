"""Where a dataset is that the user names, where its content is, also if a mirror has moved it; whole files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.untrusted.files import (
    ByteRange,
    Limit,
    is_archive,
    open_regular,
    read_file,
    read_file_lines,
)
from ome_writers.untrusted.location import LocalLocation, Location, locate_stored
from ome_writers.untrusted.remote import RemotePath, is_store_url, parse_url

if TYPE_CHECKING:
    from ome_writers.untrusted.moved_record import MovedFiles


def path_or_url(path: str | os.PathLike[str]) -> Path:
    """Return the path of a dataset; a `RemotePath`, which readers use like a `Path`, for a URL of an object store.

    Raises UnsupportedError if obstore is not installed, SettingsError if the URL is invalid.
    """
    if isinstance(path, RemotePath):
        return path
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"A path or URL of a dataset must be a string or a pathlib.Path, got {path!r}."
        )
    if path == "":
        raise FileNotFoundError("The path of the dataset is empty. Pass its path or URL.")
    if isinstance(path, str) and "://" in path:
        return parse_url(path)
    path = Path(path)
    return path.expanduser() if path.parts[:1] and path.parts[0].startswith("~") else path


def local_path(path: str | os.PathLike[str]) -> Path:
    """Return the path of a dataset on this disk; raise UnsupportedError for a URL."""
    if is_store_url(str(path)):
        raise UnsupportedError(
            f"{path}: remote datasets are only read. Change the dataset on this disk, and upload it again."
        )
    return path_or_url(path)


def locate(root: Path, key: str = "") -> Location:
    """Return the location of a key in the dataset at a path or URL, which `path_or_url` returns."""
    if isinstance(root, RemotePath) or is_archive(root):
        return locate_stored(root, key)
    return MirroredLocation(root, "" if key == "." else key.removeprefix("./"))


@dataclass(frozen=True)
class MirroredLocation(LocalLocation):
    """A file or folder on this disk, whose files a mirror may have moved to its target."""

    def exists(self) -> bool:
        return super().exists() or self._moved() is not None

    def read(self, limit: int) -> bytes:
        try:
            return read_file(self.root / self.key, limit, root=self.root)
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
            fd = open_regular(self.root / self.key, root=self.root)
        except FileNotFoundError:
            if (moved := self._moved()) is None:
                raise
            with moved[0].open_range(moved[1]) as found:
                yield found
            return
        with open(fd, "rb") as file:
            yield file, ByteRange(0, os.fstat(file.fileno()).st_size)

    @property
    def stat(self) -> Callable[[], os.stat_result]:
        return (self.root / self.key).stat  # a moved file does not change

    def list(self) -> Iterator[str]:
        from ome_writers.untrusted.moved_record import moved_files

        yield from super().list()
        if (moved := moved_files(self.root)) is not None:
            start = f"{self.key}/" if self.key else ""
            yield from (key for key, _ in moved.items() if key == self.key or key.startswith(start))

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


def read_regular(path: Path | str, limit: int, *, root: Path | None = None) -> bytes:
    """Return the content of a file of a dataset of at most `limit` bytes; see `open_regular`.

    Raises InvalidFileError if it is not a regular file, larger than `limit`, or outside of `root`.
    """
    if isinstance(path, RemotePath) or (root is not None and is_archive(root)):
        return _locate_file(path, root).read(limit)
    return read_file(path, limit, root=root)


def read_lines(path: Path, *, root: Path | None = None) -> Iterator[bytes]:
    """Iterate over the complete lines of a journal of a dataset; see `read_file_lines`."""
    if not (isinstance(path, RemotePath) or (root is not None and is_archive(root))):
        yield from read_file_lines(path, root=root)
        return
    with suppress(FileNotFoundError):
        for line in _locate_file(path, root).read(Limit.XML).splitlines(keepends=True):
            if line.endswith(b"\n"):
                yield line


def _locate_file(path: Path | str, root: Path | None) -> Location:
    path = path_or_url(path)
    root = path if root is None else root
    return locate_stored(root, path.relative_to(root).as_posix())
