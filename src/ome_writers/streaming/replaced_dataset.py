"""Move a dataset that is to be replaced aside, to ``.NAME.replaced-*``, and remove it when the new one exists.

An interrupted recording is not removed: it is kept beside the new dataset, as ``NAME.interrupted-N``.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress
from functools import partial
from pathlib import Path

from ome_writers import file_sharing
from ome_writers.dataset import DatasetSpec
from ome_writers.errors import OMEWritersError, OutputExistsError
from ome_writers.formats import foreign_files, foreign_files_of_aborted_start
from ome_writers.settings import split_suffix
from ome_writers.storage import (
    LOCK_NAME,
    acquire_lock,
    is_part_of_lock,
    is_running,
    lock_content,
    lock_owner,
    lock_path,
    remove_attempts,
    sibling_path,
)
from ome_writers.untrusted import is_link

_MARK = ".ome-writers.replaced"
"""File in a folder that was moved aside and is being removed: proves that the rest of it may be removed, too."""
_MAX_ASIDE = 1000


def is_mark(name: str) -> bool:
    """Return whether a file name in an output folder is that of a lock file or of `_MARK`."""
    return name == _MARK or is_part_of_lock(name, LOCK_NAME)


def free_name(path: Path) -> Path:
    """Return an unused path to which an output can be moved aside."""
    for number in range(1, _MAX_ASIDE):
        aside = sibling_path(path, f"replaced-{os.getpid()}-{number}")
        if not os.path.lexists(aside):
            return aside
    raise OutputExistsError(
        f"{path.parent} contains {_MAX_ASIDE - 1} files {sibling_path(path, 'replaced-')}*. Remove them."
    )


def left_aside(path: Path, entry: Path | None = None) -> list[Path]:
    """Return the datasets of this library that killed processes had moved aside, latest first.

    Removes temporary files of attempts to lock the path, or that of its entry file.
    """
    found: list[tuple[float, Path]] = []
    with suppress(OSError):  # no permission to list the folder
        names = os.listdir(path.parent)
        for each in (path, entry or path):
            for lock in (sibling_path(each, "claim"), sibling_path(each, "lock")):
                remove_attempts(lock, names)
        if entry is not None:  # replaced by renaming a temporary file beside it
            remove_attempts(entry.with_name(f".{entry.name}"), names)
        prefix = re.escape(sibling_path(path, "replaced").name)
        pattern = re.compile(prefix + "-([0-9]{1,20})(-[0-9]{1,9})?")
        for name in names:
            match = pattern.fullmatch(name)
            if match is None:
                continue
            # versions without claim files put the process that is moving into the name
            moving = match[2] is None and int(match[1]) != os.getpid() and is_running(int(match[1]))
            aside = path.with_name(name)
            if not moving and _may_be_removed(aside):
                found.append((aside.lstat().st_mtime, aside))
    return [aside for _, aside in sorted(found, reverse=True)]


def _may_be_removed(aside: Path) -> bool:
    if is_link(aside):
        return False
    return is_half_removed(aside) or foreign_files(aside, is_mark) == []


def interrupted_recording(path: Path) -> DatasetSpec | None:
    """Return the dataset at a path if its writer was killed; None if it was closed, or is not a dataset."""
    from ome_writers.formats import read

    try:
        spec = read(path)
    except (OMEWritersError, OSError, ValueError):
        return None
    return spec if spec.settings is not None and spec.status == "writing" else None


def keep_interrupted(aside: Path, path: Path) -> Path:
    """Rename an interrupted recording that was moved aside to ``NAME.interrupted-N``; return its new path."""
    stem, suffix = split_suffix(path.name)
    for number in range(1, _MAX_ASIDE):
        kept = path.with_name(f"{stem}.interrupted-{number}{suffix}")
        if not os.path.lexists(kept):
            file_sharing.rename(aside, kept)
            return kept
    raise OutputExistsError(
        f"{path.parent} contains {_MAX_ASIDE - 1} files {stem}.interrupted-*. Repair or remove them."
    )


def is_half_removed(aside: Path) -> bool:
    """Return whether a process was killed while it removed this folder."""
    return aside.is_dir() and ((aside / _MARK).is_file() or not os.listdir(aside))


def remove_killed_start(path: Path) -> bool:
    """Remove what a stream left that was killed before it had created its dataset; return whether that is at the path.

    Such a path has the lock of a process that has ended, or is an empty folder, and contains nothing of a frame.
    """
    claim = acquire_lock(sibling_path(path, "claim"), path)
    try:
        lock = lock_path(path, folder=path.is_dir())
        locked = lock.exists()
        if lock_owner(lock) is not None or not (locked or is_half_removed(path)):
            return False
        if foreign_files_of_aborted_start(path, is_mark, locked=locked):
            return False
        remove(path, last=LOCK_NAME)
        return True
    finally:
        claim.release()


def remove_aside(aside: Path) -> None:
    """Remove a dataset that was moved aside; if interrupted, `_MARK` identifies the rest."""
    if aside.is_dir():
        (aside / _MARK).write_bytes(lock_content())
    remove(aside, last=_MARK)


def remove(path: Path, *, last: str) -> None:
    """Remove a file or a folder, the file called `last` after all others. Files may be open for a moment.

    Metadata documents are removed before folders, and pages of a TIFF before their metadata, so that an interrupted
    removal does not leave frames without their metadata.
    """
    if not path.is_dir() or is_link(path):
        file_sharing.remove(path)
        return
    with os.scandir(path) as entries:
        order = sorted(
            entries, key=lambda e: (e.is_dir(follow_symlinks=False), e.name.endswith(".jsonl"))
        )
        for entry in order:
            if entry.is_dir(follow_symlinks=False):
                file_sharing.retry_while_open(partial(shutil.rmtree, entry.path))
            elif entry.name != last:
                file_sharing.remove(entry.path)
    (path / last).unlink(missing_ok=True)
    path.rmdir()
