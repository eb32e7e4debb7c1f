"""What a dataset says of itself, whoever wrote it. This room reads documents, and never a pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.cli.description.description import Description
from ome_writers.cli.description.folder import FolderContent, list_datasets
from ome_writers.cli.description.ometiff import describe_tiff
from ome_writers.cli.description.omezarr import describe_zarr
from ome_writers.formats import detect_format, resolve_entry_file
from ome_writers.storage.lock_file import lock_owner, lock_path

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Description", "FolderContent", "describe", "list_datasets", "writer_is_gone"]


def describe(path: Path) -> Description:
    """Describe an OME-Zarr, an OME-TIFF, or a folder with a set of OME-TIFF files.

    Raises
    ------
    FileNotFoundError
        Nothing is there.
    UnsupportedError, CommandError
        It is something else.
    """
    path = resolve_entry_file(path)
    return describe_zarr(path) if detect_format(path) == "ome-zarr" else describe_tiff(path)


def writer_is_gone(path: Path) -> bool:
    """Whether a writer has left its lock and lives no more; of one on another machine that is not known."""
    path = resolve_entry_file(path)
    lock = lock_path(path, folder=path.is_dir())
    return lock.exists() and lock_owner(lock) is None
