"""Ownership: proof that this library wrote every file at a path, before anything there is removed.

The metadata of a dataset proves its origin by an id. A file belongs to the dataset if its key is part of the layout in
that metadata, or if it has a UUID that the metadata lists. File names and substrings are not proof.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats.registry import format_rows
from ome_writers.settings import temporary_targets
from ome_writers.untrusted import is_link

_TEMPORARY = re.compile(r"\.(?P<target>.+?)\.[0-9]+-[0-9]+\.tmp", re.DOTALL)  # of metadata
_VERSION_0 = re.compile(r"0\.[0-9]+\.[0-9]+.*")
_STAGING_FOLDER = "/.stage.tmp/"  # where a library assembles what it moves into the dataset
SYSTEM_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}
_PARSE_ERRORS: tuple[type[Exception], ...] = (UnsupportedError, OSError, ArithmeticError)
_PARSE_ERRORS += (AttributeError, LookupError, TypeError, ValueError)


def foreign_files(path: Path, is_lock: Callable[[str], bool]) -> list[str] | None:
    """Return the files at `path`, relative to it, that do not provably belong to a dataset of this library.

    None if nothing proves that it is such a dataset. A link at `path` is not followed. `is_lock` recognizes the
    names of lock files.
    """
    if is_link(path):
        return None
    try:
        proofs = (row.owned_files(path) for row in format_rows().values())
        belongs = next(filter(None, proofs), None)
    except _PARSE_ERRORS:
        return None  # its metadata is damaged
    if belongs is None or not path.is_dir():
        return None if belongs is None else []
    return _foreign(path, belongs, is_lock)


def foreign_files_of_aborted_start(
    path: Path, is_lock: Callable[[str], bool], *, locked: bool
) -> list[str]:
    """Return the files at `path` that a stream killed during its creation cannot have written.

    A stream that has not `locked` the output yet creates only a folder. See `foreign_files`.
    """

    def belongs(key: str) -> bool:
        rows = format_rows().values()
        return locked and any(row.is_startup_file(path, key) for row in rows)

    if is_link(path) or not path.is_dir():
        return [] if not is_link(path) and belongs("") else [path.name]
    return _foreign(path, belongs, is_lock)


def _foreign(
    folder: Path, belongs: Callable[[str], object], is_lock: Callable[[str], bool]
) -> list[str]:
    """Return the relative paths of files that neither belong to the dataset nor to a lock, library or system."""

    def known(file: str) -> bool:
        if belongs(file) or is_lock(file):
            return True
        if _STAGING_FOLDER in f"/{file}":
            return known(f"/{file}".replace(_STAGING_FOLDER, "/", 1)[1:])
        name = file[file.rfind("/") + 1 :]
        own, folder = _TEMPORARY.fullmatch(name), file[: len(file) - len(name)]
        targets = [own["target"]] if own else temporary_targets(name)
        is_temporary = any(belongs(folder + target) for target in targets)
        return is_temporary or name in SYSTEM_FILES

    return sorted(file for file in _files(folder) if not known(file))


def _files(folder: Path, prefix: str = "") -> Iterator[str]:
    """Yield relative POSIX paths of all files and links below a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not is_link(entry.path):
                yield from _files(folder / entry.name, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name


def is_version_0(version: str) -> bool:
    """Whether a version number is one of the releases before 1.0, which wrote no id."""
    return _VERSION_0.fullmatch(version) is not None


def is_proof(info: Any, *, without_id: bool) -> bool:
    """Whether `info` has the version and id that this library writes; `without_id` is the result if it has no id."""
    if not isinstance(info, dict) or not isinstance(info.get("version"), str):
        return False
    if "id" not in info:
        return without_id
    try:
        return bool(uuid.UUID(info["id"]).urn == info["id"])
    except (ValueError, TypeError, AttributeError):
        return False
