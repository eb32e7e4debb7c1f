"""Where the values of the keys below the root of a dataset are: in local files, or in memory.

Code asks for the least that it needs: array metadata for `put`, whole chunks for `put` and `get`. Shards, OME-TIFF,
scratch and the engines of libraries write parts of files, and hold them open: they need `SupportsFiles`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ome_writers.errors import UnsupportedError
from ome_writers.storage.files import atomic_write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@runtime_checkable
class Store(Protocol):
    """Values by ``/``-separated key; thread-safe."""

    def put(self, key: str, content: bytes) -> None:
        """Create or replace a value: readers get the old one or the new one, never a part of it."""
        ...

    def get(self, key: str) -> bytes | None:
        """Return a value; None if there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in any order."""
        ...


@runtime_checkable
class SupportsFiles(Store, Protocol):
    """A store of local files, which can be written at any offset, renamed, locked and synced."""

    def path(self, key: str) -> Path:
        """Return the path of the file, or of the directory, with this key."""
        ...


class LocalStore:
    """Files below a directory. `durable` states that values survive power loss when `put` returns."""

    def __init__(self, root: Path, *, durable: bool = False) -> None:
        self._root = root
        self._durable = durable

    def put(self, key: str, content: bytes) -> None:
        atomic_write(self.path(key), content, durable=self._durable)

    def get(self, key: str) -> bytes | None:
        try:
            return self.path(key).read_bytes()
        except FileNotFoundError:
            return None

    def list(self, prefix: str = "") -> Iterator[str]:
        files = (path for path in self._root.rglob("*") if path.is_file())
        keys = (path.relative_to(self._root).as_posix() for path in files)
        return (key for key in keys if key.startswith(prefix))

    def path(self, key: str) -> Path:
        return self._root.joinpath(*key.split("/"))


class MemoryStore:
    """Values in memory."""

    def __init__(self) -> None:
        self._values: dict[str, bytes] = {}

    def put(self, key: str, content: bytes) -> None:
        self._values[key] = content

    def get(self, key: str) -> bytes | None:
        return self._values.get(key)

    def list(self, prefix: str = "") -> Iterator[str]:
        return (key for key in tuple(self._values) if key.startswith(prefix))


def local_path(store: Store, key: str, user: str) -> Path:
    """Return the path of a key; UnsupportedError if the store does not contain files, which `user` needs."""
    if isinstance(store, SupportsFiles):
        return store.path(key)
    raise UnsupportedError(
        f"{user} needs a store of local files (SupportsFiles: put, get, list, path), to write parts of them: "
        f"{type(store).__name__} has no `path`. Write chunks without shards with the backend 'direct', or to a folder."
    )
