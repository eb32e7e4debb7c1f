"""Objects of a remote dataset: an OME-Zarr at a URL of an object store or of a web server, read by range requests."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ome_writers.errors import InvalidFileError
from ome_writers.untrusted.files import NotOnDisk, check_space

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from obstore import GetOptions
    from typing_extensions import Buffer, Self

    from ome_writers.untrusted.remote_store import ObjectStatus, RemoteStore

_METADATA_FILES = ("zarr.json", ".zattrs", ".zgroup", ".zarray")
_URL = re.compile(r"(s3a?|gs|az|adl|azure|abfss?|https?)://", re.IGNORECASE)


def parse_url(url: str) -> Path:
    """Return the path of a URL: a `RemotePath`, or of a ``file:`` URL the path on this disk.

    Raises UnsupportedError if obstore is not installed, SettingsError if the URL is invalid.
    """
    # only for URLs, so that writing a dataset does not load them
    from ome_writers.object_store import check_store_url, path_of_file_url
    from ome_writers.untrusted.remote_store import RemoteStore

    if not is_store_url(url):
        return path_of_file_url(url) or Path(url)
    parent, _, name = check_store_url(url).rpartition("/")
    if parent.endswith(":/"):  # the dataset is a whole bucket
        parent, name = f"{parent}/{name}".replace(":///", "://"), ""
    if url.lower().startswith("http"):
        from urllib.parse import unquote

        name = unquote(name)
    return RemotePath(RemoteStore(parent), name)


def is_store_url(text: str) -> bool:
    return _URL.match(text) is not None


class RemotePath(NotOnDisk):
    """The part of `pathlib.Path` that readers of an OME-Zarr use, for a URL. A folder is a Zarr group or array."""

    def __new__(cls, *_: object) -> Self:
        return object.__new__(cls)

    def __init__(self, store: RemoteStore, key: str) -> None:
        self._store, self._key = store, PurePosixPath(key)

    @property
    def key(self) -> str:
        return self._key.as_posix().removeprefix(".")

    @property
    def name(self) -> str:
        return self._key.name

    @property
    def suffix(self) -> str:
        return self._key.suffix

    @property
    def parent(self) -> RemotePath:
        return RemotePath(self._store, self._key.parent.as_posix())

    def with_name(self, name: str) -> RemotePath:
        return self.parent / name

    def joinpath(self, *other: str | os.PathLike[str]) -> RemotePath:
        return RemotePath(self._store, self._key.joinpath(*other).as_posix())

    def __truediv__(self, key: str | os.PathLike[str]) -> RemotePath:
        return self.joinpath(key)

    def relative_to(self, other: RemotePath) -> PurePosixPath:  # type: ignore[override] # a relative URL does not exist
        return self._key.relative_to(other._key)

    @property
    def parents(self) -> tuple[RemotePath, ...]:
        return tuple(RemotePath(self._store, key.as_posix()) for key in self._key.parents)

    def absolute(self) -> Self:
        return self

    def resolve(self, strict: bool = False) -> Self:
        del strict
        return self

    def as_uri(self) -> str:
        return str(self)

    def __str__(self) -> str:
        return f"{self._store.url}/{self.key}".rstrip("/")

    __fspath__ = __str__

    def __repr__(self) -> str:
        return f"RemotePath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RemotePath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __reduce__(self) -> Any:
        return parse_url, (str(self),)

    def object_status(self) -> ObjectStatus:
        """Return the status of the object at this path, which is not a folder."""
        return self._store.status(self.key)

    def stat(self) -> ObjectStatus:  # type: ignore[override] # the part that is used
        """Return the status of an object, or that of the metadata of a folder."""
        return (self._metadata_file() or self).object_status()

    def is_object(self) -> bool:
        try:
            self.object_status()
        except FileNotFoundError:
            return False
        return True

    def is_file(self) -> bool:
        return not self.is_dir() and self.is_object()

    def is_symlink(self) -> bool:
        return False

    def is_dir(self) -> bool:
        return self._metadata_file() is not None

    def exists(self) -> bool:
        return self.is_dir() or self.is_object()

    def _metadata_file(self) -> RemotePath | None:
        """Return a metadata file in the group or array at this path; None if this is not a folder."""
        if self.name in _METADATA_FILES:
            return None
        files = (self / name for name in _METADATA_FILES)
        return next((file for file in files if file.is_object()), None)

    def rglob(self, pattern: str) -> Generator[RemotePath, None, None]:
        """Yield all objects below this path; raise ListingError if the server does not list them."""
        for key, status in self._store.list_objects(self.key):
            yield _ListedPath(self._store, key, status)

    def open_raw(self) -> RemoteFile:
        return RemoteFile(self._store, self.key)

    def download(self, target: Path) -> None:
        """Write the content to a new file; raise UnsupportedError if the disk does not have enough space."""
        from obstore import get

        with self._store.errors(self.key):
            response = get(self._store.objects, self.key)

        def blocks() -> Iterator[Buffer]:
            with self._store.errors(self.key):  # not those of writing the file
                yield from response.stream()

        target.parent.mkdir(parents=True, exist_ok=True)
        check_space(self, response.meta["size"], target.parent)
        with target.open("xb") as file:
            for block in blocks():
                file.write(block)

    def read(self, limit: int) -> bytes:
        """Return the content; raise InvalidFileError before it is transferred if it is larger."""
        from obstore import get

        def content(store: Any) -> bytes:
            response = get(store, self.key)
            size = response.meta["size"]
            if size > limit:
                raise InvalidFileError(
                    f"{self} is too large: {size:,} bytes. The limit for this kind of file is {limit:,} bytes."
                )
            return bytes(response.bytes())

        return self._store.request(self.key, content)


class _ListedPath(RemotePath):
    """An object whose size is known from the list of objects."""

    def __init__(self, store: RemoteStore, key: str, status: ObjectStatus) -> None:
        super().__init__(store, key)
        self._status = status

    def object_status(self) -> ObjectStatus:
        return self._status

    def _metadata_file(self) -> None:
        return None


class RemoteFile(io.RawIOBase):
    """One version of an object as a binary file; each `read` is one range request."""

    def __init__(self, store: RemoteStore, key: str) -> None:
        self._store, self._key = store, key
        self._version = store.status(key)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._version.st_size}
        self._position = max(0, start[whence] + offset)
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Buffer) -> int:
        from obstore import get

        target = memoryview(buffer).cast("B")
        end = min(self._position + len(target), self._version.st_size)
        if end <= self._position:
            return 0
        # With If-Match, index and chunks of a shard that is replaced meanwhile are not mixed.
        options: GetOptions = {"range": (self._position, end)}
        if self._version.e_tag:
            options["if_match"] = self._version.e_tag
        try:
            data = self._store.request(
                self._key, lambda store: bytes(get(store, self._key, options=options).bytes())
            )
        except OSError:
            self._store.forget(self._key)
            raise
        target[: len(data)] = data
        self._position += len(data)
        return len(data)
