"""The files of a dataset, and their content between two writes."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from ome_writers import InvalidFileError, UnsupportedError
from ome_writers.toolkit import SYSTEM_FILES, is_link, is_temporary, moved_files, retry_while_open

_MAX_READS = 5  # of a file that is being written
_INTERNAL = ".ome-writers."  # locks, and resolution levels that are being computed
_SETTLED_S = 10.0  # age of a modification time, for which no pause is needed
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


def refuse_moved(dataset: Path, purpose: str) -> None:
    """Raise UnsupportedError if files of a dataset were moved to a mirror: those would be missing from `purpose`."""
    if (moved := moved_files(dataset)) is not None and (items := moved.items()):
        raise UnsupportedError(
            f"{dataset}: {len(items)} of its files were moved to {moved.url}, and would be missing from {purpose}. "
            f"Use the dataset at {moved.url}, or a copy by `ome-writers convert`, which reads them there."
        )


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
    """Return a file and its content between two writes; None instead of the content if it is written all the time.

    Modification times are only compared with each other: the clock may be set back, or be that of a file server.
    """
    before = stat(file.path)
    settled = time.time_ns() - before[1] > _SETTLED_S * 1e9
    for _ in range(_MAX_READS):
        if (
            not settled
        ):  # a write before this time may have left the same modification time as one after it
            time.sleep(_TIMESTAMP_RESOLUTION_S)
        data = read(file) if stat(file.path) == before else None
        after = stat(file.path)
        if data is not None and after == before and len(data) == before[0]:
            return file._replace(size=before[0], mtime_ns=before[1]), data
        before, settled = after, False
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


def chunk_keys(dataset: Path, keys: Collection[str]) -> set[str]:
    """Return those of `keys` that readers take as chunks or metadata of the arrays of a dataset."""
    arrays = {
        file.key.rpartition("/")[0]
        for file in scan(dataset, chunks=False)
        if file.path.name == ".zarray" or (file.path.name == "zarr.json" and _is_array(file.path))
    }
    return {key for key in keys if not arrays.isdisjoint(map(str, PurePosixPath(key).parents))}


def _is_array(metadata: Path) -> bool:
    with suppress(ValueError, RecursionError, OSError):
        return bool(json.loads(metadata.read_bytes()).get("node_type") == "array")
    return False
