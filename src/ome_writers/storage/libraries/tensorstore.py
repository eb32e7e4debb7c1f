"""The engine on tensorstore: the only module that imports it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorstore

from ome_writers.storage.libraries.engine import LibraryEngine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options
    from ome_writers.storage.libraries.region_grid import RegionGrid, Where

__all__ = ["open_engine"]


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> LibraryEngine:
    """Create the arrays of `targets` below `root` and return the engine that fills them."""
    context = tensorstore.Context(
        {
            # regions come whole, and what is read back must come from the disk
            "cache_pool": {"total_bytes_limit": 0},
            # contents reach the medium before the rename that leads to them
            "file_io_sync": options.durable,
        }
    )

    def open_array(folder: Path, document: dict[str, Any], grid: RegionGrid) -> _Array:
        keep = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs")
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{folder.as_posix()}/"},
            # the document on disk is ours, and says less: see `grid.ENDLESS`
            "metadata": {key: document[key] for key in (*keep, "zarr_format", "node_type")},
        }
        return _Array(
            tensorstore.open(spec, open=True, assume_metadata=True, context=context).result()
        )

    return LibraryEngine(root, targets, options, open_array)


class _Array:
    """One array; see `library.LibraryArray`. Files of the library appear by rename."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def store(self, where: Where, data: NDArray[np.generic]) -> None:
        """Write `data`, and wait until it is in its files."""
        self._store[where].write(data).result()

    def begin(self, planes: int) -> _Transaction | _Write:
        """Begin a transaction of tensorstore, or for a single plane what does with less."""
        return _Transaction(self._store) if planes > 1 else _Write(self._store)

    def load(self, where: Where) -> NDArray[np.generic]:
        """Read a part back."""
        return np.asarray(self._store[where].read().result())

    def close(self) -> None:
        """Do nothing: all that was stored is in its files."""


class _Transaction:
    """Planes in tensorstore's memory; see `library.Transaction`."""

    def __init__(self, store: Any) -> None:
        self._transaction = tensorstore.Transaction()
        self._store = store.with_transaction(self._transaction)

    def put(self, where: Where, frame: NDArray[np.generic]) -> None:
        """Have tensorstore copy a plane."""
        shape = [part.stop - part.start for part in where]
        self._store[where].write(frame.reshape(shape)).copy.result()

    def get(self, where: Where) -> NDArray[np.generic]:
        """Read a plane back before it is in its files."""
        return np.asarray(self._store[where].read().result())

    def commit(self) -> None:
        """Write all files, and wait until that is done."""
        self._transaction.commit_async().result()


class _Write:
    """A plane with files of its own, which tensorstore begins to write at once; see `library.Transaction`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._written: Any = None

    def put(self, where: Where, frame: NDArray[np.generic]) -> None:
        """Have tensorstore copy the plane, and write it with its own threads."""
        shape = [part.stop - part.start for part in where]
        self._written = self._store[where].write(frame.reshape(shape))
        self._written.copy.result()

    def get(self, where: Where) -> NDArray[np.generic]:
        """Read the plane back when it is in its files."""
        self._written.result()
        return np.asarray(self._store[where].read().result())

    def commit(self) -> None:
        """Wait until it is in its files."""
        self._written.result()
