"""Descriptions of datasets of any writer, from their metadata; pixels are not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.cli.description.description import Description
from ome_writers.cli.description.folder import FolderContent, list_datasets
from ome_writers.cli.description.ometiff import describe_tiff
from ome_writers.cli.description.omezarr import describe_zarr
from ome_writers.formats import detect_format, resolve_entry_file
from ome_writers.storage import lock_owner, lock_path

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Description", "FolderContent", "describe", "list_datasets", "writer_has_ended"]


def describe(path: Path) -> Description:
    """Describe an OME-Zarr, an OME-TIFF, or a directory with a set of OME-TIFF files.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    UnsupportedError, CommandError
        If it is none of these.
    """
    path = resolve_entry_file(path)
    return describe_zarr(path) if detect_format(path) == "ome-zarr" else describe_tiff(path)


def writer_has_ended(path: Path) -> bool:
    """Whether the lock of a dataset belongs to a process that has ended; False for a process of another machine."""
    path = resolve_entry_file(path)
    lock = lock_path(path, folder=path.is_dir())
    return lock.exists() and lock_owner(lock) is None
