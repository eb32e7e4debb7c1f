"""The engines on zarr-python, with its own codecs or with those of zarrs: the only module that imports them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import zarr
from zarr.core.metadata import ArrayV3Metadata
from zarr.core.sync import sync
from zarr.storage import LocalStore, StorePath

from ome_writers.storage.blocks import BlockEngine

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options

__all__ = ["open_engine", "open_zarrs_engine"]

# zarr chooses codecs by a process-wide configuration, which is read when an array is opened
_configuring = threading.Lock()


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> BlockEngine:
    """Create the arrays of `targets` below `root` and return the engine that fills them."""
    return _open(root, targets, options, "zarr.core.codec_pipeline.BatchedCodecPipeline")


def open_zarrs_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> BlockEngine:
    """Do as `open_engine`, with the codecs of zarrs."""
    import zarrs  # noqa: F401  # registers its pipeline

    return _open(root, targets, options, "zarrs.ZarrsCodecPipeline")


def _open(
    root: Path, targets: Sequence[ArrayTarget], options: Options, pipeline: str
) -> BlockEngine:
    def open_array(folder: Path, document: dict[str, object]) -> _Array:
        store = StorePath(sync(LocalStore.open(folder)))
        with _configuring, zarr.config.set({"codec_pipeline.path": pipeline}):
            metadata = ArrayV3Metadata.from_dict(cast("dict[str, Any]", document))
            return _Array(zarr.Array(zarr.AsyncArray(metadata=metadata, store_path=store)))

    return BlockEngine(root, targets, options, open_array)


class _Array:
    """One array; see `blocks.LibraryArray`."""

    def __init__(self, array: Any) -> None:
        self._array = array

    def store(self, where: tuple[slice, ...], data: NDArray[np.generic]) -> None:
        """Write `data`."""
        self._array[where] = data

    def load(self, where: tuple[slice, ...]) -> NDArray[np.generic]:
        """Read a part back."""
        return np.asarray(self._array[where])
