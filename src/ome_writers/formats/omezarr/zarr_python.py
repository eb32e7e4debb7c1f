"""Arrays that only zarr-python can read, with a store that opens only regular files inside the dataset."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers.errors import InvalidFileError
from ome_writers.formats.omezarr.node_metadata import array_metadata_file
from ome_writers.untrusted import (
    check_memory,
    check_shape,
    guard_reader,
    member,
    open_regular,
    read_json,
)

_READER = "zarr-python"


def open_with_zarr_python(folder: Path, root: Path) -> GuardedArray:
    """Return the array in `folder` of the dataset `root`.

    Raises ImportError if zarr-python 3 is not installed, and InvalidFileError if zarr-python cannot read it either.
    """
    from zarr import open_array
    from zarr.storage import LocalStore

    class RegularFileStore(LocalStore):
        """LocalStore that refuses special files, links that lead out of the dataset, and files too large for memory."""

        async def get(self, key: str, prototype: Any = None, byte_range: Any = None) -> Any:
            try:
                fd = open_regular(member(folder, key), root=root)
                check_memory(os.fstat(fd).st_size, f"{folder}/{key}")
                os.close(fd)
            except (FileNotFoundError, NotADirectoryError):
                return None
            return await super().get(key, prototype, byte_range)

    metadata = read_json(array_metadata_file(folder), root=root)
    shape = check_shape(metadata.get("shape"), folder)
    with guard_reader(folder, _READER):
        array = open_array(store=RegularFileStore(folder, read_only=True), mode="r")
        check_memory((*shape[-2:], array.dtype.itemsize), f"{folder}: a plane")
        chunks = (array.shards or array.chunks) if hasattr(array, "shards") else array.chunks
        check_memory((*chunks, array.dtype.itemsize), f"{folder}: a chunk")
    return GuardedArray(array, folder)


class GuardedArray:
    """An array of zarr-python whose errors are InvalidFileError."""

    def __init__(self, array: Any, folder: Path) -> None:
        self._array = array
        self._folder = folder
        self.dtype: np.dtype[np.generic] = array.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self._array.shape)

    def __getitem__(self, index: tuple[int, ...]) -> NDArray[np.generic]:
        with guard_reader(self._folder, _READER):
            plane: NDArray[np.generic] = self._array[index]
        if plane.ndim != 2:
            raise InvalidFileError(
                f"{self._folder}: its planes have {plane.ndim} axes, not y and x."
            )
        return plane
