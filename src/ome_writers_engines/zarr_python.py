"""The engines on zarr-python, with its codecs or those of zarrs. No other module imports these libraries."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.codec_pipeline import BatchedCodecPipeline
from zarr.core.metadata import ArrayV3Metadata
from zarr.storage import LocalStore, StorePath

from ome_writers import LevelSpec
from ome_writers.toolkit import Options, rename, sync_file
from ome_writers_engines.engine import LibraryEngine
from ome_writers_engines.inline_event_loop import EventLoops
from ome_writers_engines.region_grid import RegionGrid, Selection

Pipeline = Callable[[ArrayV3Metadata, LocalStore], Any]

STAGE = ".stage.tmp"
"""Directory beside an array's chunks in which the library writes files until they are complete. `repair` uses the name
too."""
_STAGED_KEYS = {"name": "default", "configuration": {"separator": "."}}  # without folders


def open_engine(root: Path, targets: Sequence[LevelSpec], options: Options) -> LibraryEngine:
    """Create the arrays of `targets` below `root` and return the engine that fills them."""
    return _open(
        root, targets, options, lambda meta, _: BatchedCodecPipeline.from_codecs(meta.codecs)
    )


def open_zarrs_engine(root: Path, targets: Sequence[LevelSpec], options: Options) -> LibraryEngine:
    """Like `open_engine`, with the codecs of zarrs."""
    from zarrs import ZarrsCodecPipeline

    return _open(root, targets, options, ZarrsCodecPipeline.from_array_metadata_and_store)


def _open(
    root: Path, targets: Sequence[LevelSpec], options: Options, pipeline: Pipeline
) -> LibraryEngine:
    loops = EventLoops()

    def open_array(folder: Path, array_metadata: dict[str, Any], grid: RegionGrid) -> _Array:
        opened = partial(_library_array, pipeline=pipeline, loops=loops)
        staged = opened(folder / STAGE, array_metadata | {"chunk_key_encoding": _STAGED_KEYS})
        array = opened(folder, array_metadata)
        return _Array(folder, grid, staged, array, loops, durable=options.durable)

    return LibraryEngine(root, targets, options, open_array)


def _library_array(
    folder: Path, array_metadata: dict[str, Any], pipeline: Pipeline, loops: EventLoops
) -> Any:
    """Return a zarr-python `AsyncArray`."""
    metadata = ArrayV3Metadata.from_dict(array_metadata)
    # open it now: several threads make the first calls, but only one may open a store
    store = loops.run(LocalStore.open(folder))
    array: Any = zarr.AsyncArray(metadata=metadata, store_path=StorePath(store))
    # zarr-python selects the codec pipeline by a process-wide setting, which other streams or the user may need to be
    # different, so set the pipeline of this array only
    object.__setattr__(array, "codec_pipeline", pipeline(metadata, store))
    return array


class _Array:
    """One array; see `library.LibraryArray`.

    zarrs overwrites existing files in place, so that a concurrent reader, or a crash, finds neither the old nor the new
    contents. So the libraries write to a staging directory, and complete files are renamed into the array.
    """

    begin = None

    def __init__(
        self,
        folder: Path,
        grid: RegionGrid,
        staged: Any,
        array: Any,
        loops: EventLoops,
        *,
        durable: bool,
    ) -> None:
        self._folder = folder
        self._durable = durable
        self._stage = folder / STAGE
        self._grid = grid
        self._loops = loops
        self._staged = staged
        self._array = array

    def store(self, selection: Selection, data: NDArray[np.generic]) -> None:
        files = list(self._grid.files(selection))
        if self._grid.divides_files:
            for file in files:
                self._stage_copy(file)
        self._loops.run(self._staged.setitem(selection, data))
        for file in files:
            self._publish(file)

    def load(self, selection: Selection) -> NDArray[np.generic]:
        return np.asarray(self._loops.run(self._array.getitem(selection)))

    def close(self) -> None:
        """Remove the staging directory; `load` still works."""
        self._loops.close()
        shutil.rmtree(self._stage, ignore_errors=True)

    def _stage_copy(self, file: str) -> None:
        """Copy a file that will be partly overwritten to the staging directory."""
        with suppress(FileNotFoundError):
            self._stage.mkdir(exist_ok=True)
            shutil.copyfile(self._folder / file, self._staged_file(file))

    def _publish(self, file: str) -> None:
        """Move a file from the staging directory; a chunk of zeros does not have a file."""
        staged, target = self._staged_file(file), self._folder / file
        if self._durable:
            with suppress(FileNotFoundError):
                sync_file(staged)
        try:
            rename(staged, target)
        except FileNotFoundError:
            if staged.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                rename(staged, target)
            else:
                target.unlink(missing_ok=True)

    def _staged_file(self, file: str) -> Path:
        return self._stage / file.replace("/", ".")
