"""`OutputClaim`: exclusive use of an output path, as a transaction with `commit` and `rollback`.

The order of the steps makes it safe to be killed, or to race with another process, between any two of them: create the
claim file beside the path (see `storage.lock_file`), check the path, move the replaced dataset aside, lock the path,
create the files of the new dataset. `commit` then removes the old dataset and releases the claim. A process that is
killed before `commit` leaves its claim file, its lock file, or both; the next stream finds them and restores the path.
"""

# Longer than 300 lines: one transaction.
from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.errors import OutputExistsError
from ome_writers.file_sharing import rename
from ome_writers.storage import (
    LOCK_NAME,
    Lock,
    ProgressFile,
    acquire_lock,
    lock_owner,
    lock_path,
    locked_error,
    sibling_path,
)
from ome_writers.untrusted import is_link

if TYPE_CHECKING:
    from ome_writers.formats import Layout

_MAX_CLAIM_ATTEMPTS = 20
_MAX_LISTED_FILES = 5
_log = logging.getLogger("ome_writers")


class OutputClaim:
    """A claim on an output path; `overwrite` permits to replace an earlier dataset of this library.

    Raises OutputLockedError if another stream is writing there, or is being created; OutputExistsError if the path
    contains something that may not be replaced; it is unchanged.
    """

    def __init__(self, layout: Layout, *, overwrite: bool) -> None:
        self.path = layout.output
        self._is_folder = layout.root == layout.output
        self._lock_path = lock_path(self.path, folder=self._is_folder)
        self._lock: Lock | None = None
        self._claim: Lock | None = None
        # datasets that were moved aside, to be removed by `commit`
        self._to_remove: list[Path] = []
        self._replaced: Path | None = None  # the one of them that `rollback` moves back to the path
        self._created = False  # whether this stream created what is at the path
        self._created_parents: list[Path] = []
        self._overwrite = overwrite
        self._entry = layout.entry_path
        self._entry_claim: Lock | None = None
        self._entry_existed = self._entry is not None and os.path.lexists(self._entry)
        if os.path.lexists(self.path) and not overwrite:
            self._refuse_if_locked()
            raise self._exists_error()
        self.progress: ProgressFile | None = None
        try:
            self._claim = self._acquire_claim()
            self._refuse_if_locked()
            if self._entry is not None:
                self._entry_claim = acquire_lock(sibling_path(self._entry, "claim"), self._entry)
                self._refuse_unless_entry_is_free(self._entry)
            if overwrite:
                self._move_aside()
            elif self._claim.replaced is not None:
                self._warn_of_left_aside()
            if os.path.lexists(self.path):
                raise self._exists_error()
            if self._is_folder:
                self.path.mkdir()
                self._created = True
                self._lock = acquire_lock(self._lock_path, self.path)
            else:
                self._lock = acquire_lock(self._lock_path, self.path)
                self._created = True
            self.progress = ProgressFile(self._lock_path)
        except BaseException:
            self.rollback()
            raise

    @property
    def exists(self) -> bool:
        """Whether the output and its lock file still exist."""
        return self._lock_path.exists() and os.path.lexists(self.path)

    def commit(self) -> None:
        """Keep the new dataset: remove what was moved aside, and release the claim.

        Interrupted recordings are renamed instead. This is logged, as are files that cannot be removed.
        """
        for aside in self._to_remove:
            from ome_writers.streaming.replaced_dataset import (
                interrupted_recording,
                keep_interrupted,
                remove_aside,
            )

            try:
                if interrupted_recording(aside) is None:
                    remove_aside(aside)
                else:
                    _log.warning(
                        "%s contained an interrupted recording. It is kept at %s: finalize it with "
                        '`ome-writers repair "%s"`, or remove it.',
                        self.path,
                        kept := keep_interrupted(aside, self.path),
                        kept,
                    )
            except OSError as error:
                _log.warning(
                    "The dataset that %s has replaced could not be removed (%s). Remove %s yourself.",
                    self.path,
                    error,
                    aside,
                )
        self._to_remove, self._replaced, self._entry_existed = [], None, False
        self._release_claim()

    def release(self) -> None:
        """Release the lock of the output path. `progress` must be closed before."""
        if self._lock is not None:
            self._lock.release()

    def rollback(self) -> None:
        """Remove what this stream has created, and move the replaced dataset back.

        The lock is released last, so that no other process finds the path partly removed and unlocked.
        """
        if self.progress is not None:
            self.progress.close("replaced")
        if self._created and os.path.lexists(self.path):
            from ome_writers.streaming.replaced_dataset import remove

            remove(self.path, last=LOCK_NAME)
        if self._lock is not None:
            self._lock.release()
        if self._created and not self._entry_existed and self._entry is not None:
            self._entry.unlink(missing_ok=True)
        self._created, self._lock = False, None
        if self._replaced is not None:
            try:
                if os.path.lexists(self.path):
                    raise FileExistsError(f"{self.path} exists")
                rename(self._replaced, self.path)
            except OSError as error:  # only logged: the original error is raised
                _log.warning(
                    "The replaced dataset could not be moved back to %s (%s). It is at %s: rename it yourself.",
                    self.path,
                    error,
                    self._replaced,
                )
        refused = not self._to_remove and os.path.lexists(self.path)
        self._to_remove, self._replaced = [], None
        self._release_claim(refused=refused)
        for folder in reversed(self._created_parents):
            with suppress(OSError):  # not empty: another stream uses it
                folder.rmdir()

    def _acquire_claim(self) -> Lock:
        claim = sibling_path(self.path, "claim")
        for attempts_left in reversed(range(_MAX_CLAIM_ATTEMPTS)):
            missing = [p for p in (self.path.parent, *self.path.parent.parents) if not p.exists()]
            self._created_parents += [
                p for p in reversed(missing) if p not in self._created_parents
            ]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return acquire_lock(claim, self.path)
            except FileNotFoundError:
                # the rollback of another stream has removed the parent folder
                if not attempts_left:
                    raise
        raise AssertionError

    def _release_claim(self, *, refused: bool = False) -> None:
        """Release the claim; a stream that was refused restores the stale claim file that it has replaced."""
        claims, self._claim, self._entry_claim = (self._claim, self._entry_claim), None, None
        for claim in claims:
            if claim is not None:
                with suppress(OSError):
                    claim.release(restore=refused and claim is claims[0])

    def _refuse_if_locked(self) -> None:
        _refuse_if_locked(self._lock_path, self.path)
        if self._is_folder or not os.path.lexists(self.path):
            return
        from ome_writers.formats import entry_folder

        folder = entry_folder(self.path)
        if folder is not None:
            _refuse_if_locked(lock_path(folder, folder=True), folder)

    def _refuse_unless_entry_is_free(self, entry: Path) -> None:
        """Refuse an entry path that is in use; an entry file whose file set was removed may be replaced."""
        if not os.path.lexists(entry):
            return
        from ome_writers.formats import entry_folder, foreign_files
        from ome_writers.streaming.replaced_dataset import is_mark

        _refuse_if_locked(lock_path(entry, folder=False), entry)
        folder = entry_folder(entry, own=True)
        if folder is not None and not folder.exists():
            return
        if not self._overwrite:
            raise _exists_error(entry)
        if folder != self.path and (folder is not None or foreign_files(entry, is_mark) != []):
            raise _exists_error(
                entry,
                f" and is not the entry file of {self.path}; overwrite=True does not replace it",
            )

    def _exists_error(self, reason: str = "") -> OutputExistsError:
        return _exists_error(self.path, reason)

    def _warn_of_left_aside(self) -> None:
        from ome_writers.streaming.replaced_dataset import left_aside

        if left := left_aside(self.path):
            _log.warning(
                "A stream that was to replace %s was killed while it was created. The replaced dataset is at %s. "
                "Rename it to keep it; the next stream with overwrite=True removes it.",
                self.path,
                left[0],
            )

    def _move_aside(self) -> None:
        """Move a dataset that may be replaced aside; first restore what a killed process had moved aside."""
        from ome_writers.streaming.replaced_dataset import (
            free_name,
            is_half_removed,
            is_mark,
            left_aside,
            remove,
        )

        left = left_aside(self.path, self._entry)
        whole = [path for path in left if not is_half_removed(path)]
        if os.path.lexists(self.path):
            from ome_writers.formats import entry_folder, foreign_files

            is_entry = entry_folder(self.path, own=True) is not None
            foreign = [] if is_entry else foreign_files(self.path, is_mark)
            if foreign is None:
                foreign = self._foreign_at_killed_start()
                if whole and not foreign:
                    remove(self.path, last=LOCK_NAME)
            if foreign:
                raise self._exists_error(_foreign_files_reason(foreign))
        if whole and not os.path.lexists(self.path):
            rename(whole[0], self.path)
            left.remove(whole[0])
        if os.path.lexists(self.path):
            aside = free_name(self.path)
            rename(self.path, aside)
            self._replaced = aside
            self._to_remove.append(aside)
        self._to_remove += left

    def _foreign_at_killed_start(self) -> list[str]:
        """Return the foreign files in an incomplete dataset of a killed process; refuse anything else."""
        from ome_writers.formats import foreign_files_of_aborted_start
        from ome_writers.streaming.replaced_dataset import is_mark

        assert self._claim is not None
        locked = self._lock_path.exists()
        is_folder = self.path.is_dir() and not is_link(self.path)
        incomplete = locked or (
            is_folder
            and (self._claim.replaced is not None or any(map(is_mark, os.listdir(self.path))))
        )
        if not incomplete or is_folder != self._is_folder:
            raise self._exists_error(
                " and is not a dataset that this library wrote; overwrite=True does not remove it"
            )
        return foreign_files_of_aborted_start(self.path, is_mark, locked=locked)


def _exists_error(path: Path, reason: str = "") -> OutputExistsError:
    from ome_writers.streaming.replaced_dataset import interrupted_recording

    recording = None if reason else interrupted_recording(path)
    if recording is not None:
        frames = (
            f"{recording.frames_written or 0} of {recording.frames_expected or 'unknown'} frames"
        )
        return OutputExistsError(
            f"{path} exists and contains {frames} of an interrupted recording. Continue it with "
            f"create_stream(settings, resume=True), choose another path, or finalize the "
            f'recording with `ome-writers repair "{path}"`. overwrite=True keeps it, under another name.'
        )
    return OutputExistsError(
        f"{path} exists{reason}. Choose another path, or "
        + ("remove it yourself." if reason else "set overwrite=True to replace it.")
    )


def _refuse_if_locked(lock: Path, path: Path) -> None:
    owner = lock_owner(lock)
    if owner is not None:
        raise locked_error(lock, path, owner)


def _foreign_files_reason(foreign: list[str]) -> str:
    from ome_writers.formats import abbreviated_list

    listed = abbreviated_list(list(map(repr, foreign)), _MAX_LISTED_FILES)
    return (
        f" and contains files that are not part of the dataset that this library wrote ({listed}); "
        f"overwrite=True does not remove them. Move them elsewhere (labels, for example), and it replaces the dataset"
    )
