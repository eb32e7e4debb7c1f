"""Listing of the datasets in a directory that is not a dataset itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ome_writers import UnsupportedError
from ome_writers.toolkit import format_rows, locate, lock_owner, lock_path, resolve_entry_file


@dataclass(frozen=True)
class FolderContent:
    """The direct content of a directory."""

    # of any format and version: OME-Zarr, OME-TIFF files, directories with a set of OME-TIFF files; sorted by name
    datasets: tuple[Path, ...]
    folders: tuple[Path, ...]  # directories that are not datasets, but contain some
    others: tuple[Path, ...]  # TIFF files without OME-XML


def list_datasets(folder: Path) -> FolderContent | None:
    """Return the content of a directory of datasets.

    None if `folder` is not a directory, is a dataset itself (an OME-Zarr, or one set of OME-TIFF files), or does not
    contain any.
    """
    if not folder.is_dir() or _is_directory_dataset(folder):
        return None
    datasets, folders = [], []
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or not path.is_dir():
            continue
        try:
            if _is_dataset(path):
                datasets.append(path)
            elif _has_datasets(path):
                folders.append(path)
        except OSError:  # listed: describing it reports the error
            datasets.append(path)
    files, others = _file_datasets(folder)
    if not datasets and not folders and len(files) <= 1:
        return None
    return FolderContent(tuple(sorted((*datasets, *files))), tuple(folders), tuple(others))


def _is_directory_dataset(folder: Path) -> bool:
    rows = [row for row in format_rows().values() if row.readable and not row.file_datasets]
    try:
        return any(row.recognizes(folder) for row in rows)
    except UnsupportedError:  # of an older version: describing it reports the error
        return True


def _is_dataset(folder: Path) -> bool:
    """Whether a directory is a dataset, or its files form one without others beside it."""
    if _is_directory_dataset(folder):
        return True
    files, others = _file_datasets(folder)
    return len(files) + len(others) == 1 and not _has_directory_datasets(folder)


def _has_datasets(folder: Path) -> bool:
    files, others = _file_datasets(folder)
    return bool(files or others) or _has_directory_datasets(folder)


def _has_directory_datasets(folder: Path) -> bool:
    return any(path.is_dir() and _is_directory_dataset(path) for path in folder.iterdir())


def _file_datasets(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return one file per dataset among the files of a directory, and files of the same kind that are not datasets."""
    found = [row.file_datasets(folder) for row in format_rows().values() if row.file_datasets]
    return [f for files, _ in found for f in files], [f for _, others in found for f in others]


def writer_has_ended(path: Path) -> bool:
    """Whether the lock of a dataset belongs to a process that has ended; False for a process of another machine."""
    lock = _lock(path)
    return lock is not None and lock.exists() and lock_owner(lock) is None


def writer_state(path: Path) -> str:
    """Return what is known of the writer of a dataset that is not closed; empty if it is running."""
    if (lock := _lock(path)) is None:
        return ""
    if writer_has_ended(path):
        return "interrupted: its writer has ended without closing it"
    return "" if lock.exists() else "no process is writing it: a copy, or its writer has failed"


def _lock(path: Path) -> Path | None:
    return locate(resolve_entry_file(path)).lock(lock_path)
