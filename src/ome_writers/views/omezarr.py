"""Pixels of an OME-Zarr on disk, closed or still being written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.omezarr import parse_dataset, recorded_progress
from ome_writers.untrusted import member
from ome_writers.views.file_cache import CachedJsonFile
from ome_writers.views.zarr_array import ZarrArray
from ome_writers.views.zarr_python import open_with_zarr_python


def open_array(root: Path, key: str, cache_bytes: int) -> Any:
    """Open an array with `ZarrArray`, or with zarr-python (if installed) where that does not support it."""
    folder = member(root, key)
    try:
        return ZarrArray(folder, root, cache_bytes)
    except InvalidFileError:
        raise
    except UnsupportedError:
        try:
            return open_with_zarr_python(folder, root)
        except ImportError:
            pass
        raise


class ZarrPixels:
    """The images of an OME-Zarr; implements `OpenPixels`. Status and shapes are read again after each flush.

    `cache_bytes` is for decoded chunks, see `ZarrArray`.

    Raises UnsupportedError if it is not an OME-Zarr 0.4 to 0.6.
    """

    def __init__(self, path: Path, cache_bytes: int = 0) -> None:
        self._spec = parse_dataset(path)
        name = ".zattrs" if self._spec.version == "0.4" else "zarr.json"
        self._root = CachedJsonFile(path / name, path)
        self._cache_bytes = cache_bytes // len(self._spec.images)

    def spec(self) -> DatasetSpec:
        if self._spec.status is None:
            return self._spec
        return replace(self._spec, **recorded_progress(self._own_attributes()))

    def array(self, image: int, level: int) -> Any:
        key = self._spec.images[image].levels[level].key
        return open_array(self._spec.path, key, self._cache_bytes)

    def extents(self) -> Mapping[str, Any]:
        if self._spec.status is None:
            return {}
        extents = self._own_attributes().get("extents")
        return extents if isinstance(extents, dict) else {}

    def _own_attributes(self) -> dict[str, Any]:
        """Return the current attributes of the root group in our namespace."""
        content = self._root.read()
        attributes = content.get("attributes", content).get("ome_writers")
        return attributes if isinstance(attributes, dict) else {}
