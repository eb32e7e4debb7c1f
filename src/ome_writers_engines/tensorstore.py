"""The engine on tensorstore: the only module that imports it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorstore
from numpy.typing import NDArray

from ome_writers import LevelSpec
from ome_writers.toolkit import Options
from ome_writers_engines.engine import LibraryEngine
from ome_writers_engines.region_grid import RegionGrid, Selection


def open_engine(root: Path, targets: Sequence[LevelSpec], options: Options) -> LibraryEngine:
    """Create the arrays of `targets` below `root` and return the engine that fills them."""
    context = tensorstore.Context(
        {
            # writes are whole regions, and reads must return what is on disk
            "cache_pool": {"total_bytes_limit": 0},
            # sync contents before the rename
            "file_io_sync": options.durable,
        }
    )

    def open_array(folder: Path, metadata: dict[str, Any], grid: RegionGrid) -> _Array:
        keep = ("shape", "data_type", "chunk_grid", "chunk_key_encoding", "fill_value", "codecs")
        spec = {
            "driver": "zarr3",
            "kvstore": {"driver": "file", "path": f"{folder.as_posix()}/"},
            # not the metadata on disk, whose growing axis has the actual extent
            "metadata": {key: metadata[key] for key in (*keep, "zarr_format", "node_type")},
        }
        return _Array(
            tensorstore.open(spec, open=True, assume_metadata=True, context=context).result()
        )

    return LibraryEngine(root, targets, options, open_array)


class _Array:
    """One array; see `library.LibraryArray`. tensorstore creates files by rename."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def store(self, selection: Selection, data: NDArray[np.generic]) -> None:
        self._store[selection].write(data).result()

    def begin(self, planes: int) -> _Transaction | _Write:
        """Begin a transaction; for a single plane, a plain write with less overhead."""
        return _Transaction(self._store) if planes > 1 else _Write(self._store)

    def load(self, selection: Selection) -> NDArray[np.generic]:
        return np.asarray(self._store[selection].read().result())

    def close(self) -> None:
        """Do nothing: all data is already in its files."""


class _Transaction:
    """Planes in tensorstore's memory; see `library.Transaction`."""

    def __init__(self, store: Any) -> None:
        self._transaction = tensorstore.Transaction()
        self._store = store.with_transaction(self._transaction)

    def put(self, selection: Selection, frame: NDArray[np.generic]) -> None:
        shape = [part.stop - part.start for part in selection]
        self._store[selection].write(frame.reshape(shape)).copy.result()

    def get(self, selection: Selection) -> NDArray[np.generic]:
        return np.asarray(self._store[selection].read().result())

    def commit(self) -> None:
        self._transaction.commit_async().result()


class _Write:
    """A single plane in its own files, which tensorstore writes immediately; see `library.Transaction`."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self._written: Any = None

    def put(self, selection: Selection, frame: NDArray[np.generic]) -> None:
        shape = [part.stop - part.start for part in selection]
        self._written = self._store[selection].write(frame.reshape(shape))
        self._written.copy.result()

    def get(self, selection: Selection) -> NDArray[np.generic]:
        self._written.result()
        return np.asarray(self._store[selection].read().result())

    def commit(self) -> None:
        self._written.result()
