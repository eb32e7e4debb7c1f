"""The engines on zarr-python, with its own codecs or with those of zarrs: the only module that imports them."""

from __future__ import annotations

import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import LocalStore, StorePath

from ome_writers.storage.files import rename, sync_file
from ome_writers.storage.libraries.engine import LibraryEngine
from ome_writers.storage.libraries.inline_event_loop import EventLoops, InlineArray

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.storage.contract import ArrayTarget, Options
    from ome_writers.storage.libraries.region_grid import RegionGrid, Where

    Pipeline = Callable[[ArrayV3Metadata, LocalStore], Any]

__all__ = ["open_engine", "open_zarrs_engine"]

STAGE = ".stage.tmp"
"""Folder beside an array's chunks where the library writes its files until they are whole; `repair` knows the name."""


def open_engine(root: Path, targets: Sequence[ArrayTarget], options: Options) -> LibraryEngine:
    """Create the arrays of `targets` below `root` and return the engine that fills them."""
    return _open(
        root, targets, options, lambda meta, _: BatchedCodecPipeline.from_codecs(meta.codecs)
    )


def open_zarrs_engine(
    root: Path, targets: Sequence[ArrayTarget], options: Options
) -> LibraryEngine:
    """Do as `open_engine`, with the codecs of zarrs."""
    from zarrs import ZarrsCodecPipeline

    return _open(root, targets, options, ZarrsCodecPipeline.from_array_metadata_and_store)


def _open(
    root: Path, targets: Sequence[ArrayTarget], options: Options, pipeline: Pipeline
) -> LibraryEngine:
    loops = EventLoops()

    def open_array(folder: Path, document: dict[str, Any], grid: RegionGrid) -> _Array:
        metadata = ArrayV3Metadata.from_dict(document)
        library = partial(_library_array, metadata=metadata, pipeline=pipeline, loops=loops)
        return _Array(folder, grid, library, durable=options.durable)

    return LibraryEngine(root, targets, options, open_array)


def _library_array(
    folder: Path, metadata: ArrayV3Metadata, pipeline: Pipeline, loops: EventLoops
) -> InlineArray:
    # open: the first calls come from several threads, and the library lets only one of them open a store
    store = loops.run(LocalStore.open(folder))
    array: Any = zarr.AsyncArray(metadata=metadata, store_path=StorePath(store))
    # zarr takes the class of an array's pipeline from a configuration that the whole process shares, and that other
    # streams, or the user, may want otherwise: it is put in its place here instead
    object.__setattr__(array, "codec_pipeline", pipeline(metadata, store))
    return InlineArray(array, loops)


class _Array:
    """One array; see `library.LibraryArray`.

    zarrs writes over a file that exists: whoever reads it then, or finds it after a crash, has neither the old nor the
    new one. So the libraries write below a folder of their own, from where whole files are moved to their places.
    """

    begin = None

    def __init__(
        self,
        folder: Path,
        grid: RegionGrid,
        open_array: Callable[[Path], InlineArray],
        *,
        durable: bool,
    ) -> None:
        self._folder = folder
        self._durable = durable
        self._stage = folder / STAGE
        self._grid = grid
        self._staged = open_array(self._stage)
        self._array = open_array(folder)

    def store(self, where: Where, data: NDArray[np.generic]) -> None:
        """Write `data`."""
        files = list(self._grid.files(where))
        if self._grid.divides:
            for file in files:
                self._stage_copy(file)
        self._staged[where] = data
        for file in files:
            self._publish(file)

    def load(self, where: Where) -> NDArray[np.generic]:
        """Read a part back."""
        return np.asarray(self._array[where])

    def close(self) -> None:
        """Remove the folder of files that were not whole."""
        self._array.close()
        shutil.rmtree(self._stage, ignore_errors=True)

    def _stage_copy(self, file: str) -> None:
        """Copy a file that will be changed in part to where it will be changed."""
        with suppress(FileNotFoundError):
            (self._stage / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self._folder / file, self._stage / file)

    def _publish(self, file: str) -> None:
        """Move a file to its place; what holds only zeros has none."""
        place = self._folder / file
        if self._durable:
            with suppress(FileNotFoundError):
                sync_file(self._stage / file)
        try:
            rename(self._stage / file, place)
        except FileNotFoundError:
            if (self._stage / file).exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                rename(self._stage / file, place)
            else:
                place.unlink(missing_ok=True)
