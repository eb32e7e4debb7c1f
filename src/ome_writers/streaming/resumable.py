"""Datasets on disk that a stream can continue: which they are, and exclusive use of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats import detect_format, resolve_entry_file
from ome_writers.storage import (
    Lock,
    ProgressFile,
    acquire_lock,
    lock_owner,
    lock_path,
    locked_error,
    sibling_path,
)
from ome_writers.untrusted import guard_reader, local_path, refuse_archive

if TYPE_CHECKING:
    from ome_writers.formats import FormatRow, ResumableDataset
    from ome_writers.settings import AcquisitionSettings


class ResumeClaim:
    """Exclusive use of a dataset that is resumed; like `OutputClaim`, but never removes anything.

    Raises OutputLockedError if another process is writing it.
    """

    def __init__(self, root: Path) -> None:
        self.path = root
        self._lock_path = lock_path(root, folder=root.is_dir())
        self.progress: ProgressFile | None = None
        self._claim: Lock | None = acquire_lock(sibling_path(root, "claim"), root)
        try:
            owner = lock_owner(self._lock_path)
            if owner is not None:
                raise locked_error(self._lock_path, root, owner)
            self._lock = acquire_lock(self._lock_path, root)
        except BaseException:
            self.commit()
            raise

    @property
    def is_stale(self) -> bool:
        """Whether the process that wrote the dataset before was killed."""
        return self._lock.replaced is not None

    @property
    def exists(self) -> bool:
        """Whether the dataset and its lock file still exist."""
        return self._lock_path.exists() and os.path.lexists(self.path)

    def start_progress(self) -> None:
        """Create the progress file, which `repair` has removed."""
        self.progress = ProgressFile(self._lock_path, resumed=True)

    def commit(self) -> None:
        """Release the claim on the path; the lock is held until `release`."""
        claim, self._claim = self._claim, None
        if claim is not None:
            claim.release()

    def release(self) -> None:
        """Release the lock of the dataset."""
        self._lock.release()

    def rollback(self) -> None:
        """Release lock and claim; a dataset whose writer was killed keeps the lock of that writer."""
        if self.progress is not None:
            self.progress.close("failed")
        self._lock.release(restore=True)
        self.commit()


def existing_dataset(settings: AcquisitionSettings, folder: str) -> Path | None:
    """Return the output path of settings if something is there; what a stream left that was killed at its start is not.

    That is removed. `folder` is that of a relative path.
    """
    path = Path(folder, settings.output_path)
    if not os.path.lexists(path):
        return None
    try:
        find_resumable(path)
    except (UnsupportedError, InvalidFileError):
        from ome_writers.streaming.replaced_dataset import remove_killed_start

        if remove_killed_start(path):
            return None
    return path


def find_resumable(path: str | os.PathLike[str]) -> tuple[Path, FormatRow, ResumableDataset]:
    """Return the dataset at a path, as its metadata describes it.

    Raises UnsupportedError with the reason if it cannot be resumed; FileNotFoundError if there is nothing.
    """
    root = resolve_entry_file(local_path(path)).absolute()
    try:
        refuse_archive(root)
        row = detect_format(root)
        with guard_reader(root):
            return root, row, row.resumable(root)
    except UnsupportedError as error:
        reason = str(error).removeprefix(f"{root}: ").rstrip(".")
        raise UnsupportedError(
            f"{root} cannot be resumed: {reason}. Record to another path, or copy it with `ome-writers convert` "
            f"to a dataset that can be continued."
        ) from error
