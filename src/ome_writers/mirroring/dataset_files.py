"""The files of a dataset, and their content between two writes."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from ome_writers.errors import InvalidFileError
from ome_writers.file_sharing import retry_while_open
from ome_writers.formats import SYSTEM_FILES
from ome_writers.storage import is_temporary
from ome_writers.untrusted import is_link

_MAX_READS = 5  # of a file that is being written
_INTERNAL = ".ome-writers."  # locks, and resolution levels that are being computed
_TIMESTAMP_RESOLUTION_S = 0.02  # two writes within this time may leave the same modification time


class DatasetFile(NamedTuple):
    """A file, its key in the store, and its size and modification time when it was found."""

    key: str
    path: Path
    size: int
    mtime_ns: int


def scan(dataset: Path, *, chunks: bool = True) -> Iterator[DatasetFile]:
    """Yield the files of a dataset, without locks and temporary files; without `chunks`, skip their folders.

    Raises InvalidFileError if the dataset contains a link, whose target would be missing from a copy.
    """
    if not dataset.is_dir():
        yield DatasetFile(dataset.name, dataset, *stat(dataset))
        return
    for folder, folders, names in os.walk(dataset):
        skipped = () if chunks or "zarr.json" not in names else ("c",)
        for name in (*folders, *names):
            if is_link(os.path.join(folder, name)):
                raise InvalidFileError(
                    f"{os.path.join(folder, name)} is a link to another location. Replace it with a copy of its target."
                )
        folders[:] = sorted(n for n in folders if not _is_internal(n) and n not in skipped)
        for name in sorted(n for n in names if not _is_internal(n)):
            path = Path(folder, name)
            with suppress(FileNotFoundError):
                yield DatasetFile(path.relative_to(dataset).as_posix(), path, *stat(path))


def _is_internal(name: str) -> bool:
    return name.startswith(_INTERNAL) or is_temporary(name) or name in SYSTEM_FILES


def stat(path: Path) -> tuple[int, int]:
    """Return size and modification time."""
    found = retry_while_open(path.stat)
    return found.st_size, found.st_mtime_ns


def read(file: DatasetFile) -> bytes:
    """Return the content of a file, which its writer may be replacing."""
    return retry_while_open(file.path.read_bytes)


def read_unchanged(file: DatasetFile) -> tuple[DatasetFile, bytes | None]:
    """Return a file and its content between two writes; None instead of the content if it is written all the time."""
    for _ in range(_MAX_READS):
        size, mtime_ns = stat(file.path)
        if time.time_ns() - mtime_ns > _TIMESTAMP_RESOLUTION_S * 1e9:
            data = read(file)
            if stat(file.path) == (size, mtime_ns) and len(data) == size:
                return file._replace(size=size, mtime_ns=mtime_ns), data
        time.sleep(_TIMESTAMP_RESOLUTION_S)
    return file, None


def is_metadata(file: DatasetFile) -> bool:
    """Whether a file contains metadata of the dataset."""
    return file.path.name in (
        "zarr.json",
        ".zattrs",
        ".zgroup",
        ".zarray",
        ".zmetadata",
    ) or file.key.endswith((".ome.xml", ".companion.ome"))
