"""The output path: claimed by one stream at a time, in one step, and restored if that stream cannot begin.

The order of the steps makes it safe to be killed, or to meet another process, between any two of them: first the claim
beside the path (see `storage.lock_file`), then a look at the path, then the replaced dataset is moved aside, then
the path is locked, then files are created. When the new dataset exists, the old one is removed, and the claim is
released. A start that was killed leaves its claim, its lock, or both: evidence for the next one, which restores.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ome_writers.errors import OutputExistsError
from ome_writers.formats import (
    foreign_files,
    foreign_files_of_aborted_start,
    is_own_entry,
)
from ome_writers.formats.ometiff import entry_file_target
from ome_writers.storage.exclusive_lock import Lock, acquire
from ome_writers.storage.files import rename
from ome_writers.storage.lock_file import (
    LOCK_NAME,
    lock_owner,
    lock_path,
    locked_error,
    sibling_path,
)
from ome_writers.streaming.replaced_dataset import (
    free_name,
    is_half_removed,
    is_mark,
    left_aside,
    remove,
    remove_aside,
)

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.formats import Layout

__all__ = ["OutputClaim"]

_TRIES = 20
_SHOWN = 5
_log = logging.getLogger("ome_writers")


class OutputClaim:
    """A claim on an output path.

    Parameters
    ----------
    layout
        Where the files of the dataset go.
    overwrite
        Whether an earlier dataset of this library may be replaced.

    Raises
    ------
    OutputLockedError
        If another stream writes there now, or begins to.
    OutputExistsError
        If there is something that may not be replaced. It is untouched then.
    """

    def __init__(self, layout: Layout, *, overwrite: bool) -> None:
        self.path = layout.output
        self._folder = layout.root == layout.output
        self._lock_path = lock_path(self.path, folder=self._folder)
        self._lock: Lock | None = None
        self._claim: Lock | None = None
        self._aside: list[
            Path
        ] = []  # what is removed when the stream has begun; the first is what was at the path
        self._restore: Path | None = None
        self._created = False  # whether what is at the path was made by this stream
        self._made: list[Path] = []
        self._overwrite = overwrite
        self._entry = layout.entry_path
        self._entry_claim: Lock | None = None
        self._entry_is_old = self._entry is not None and os.path.lexists(self._entry)
        if os.path.lexists(self.path) and not overwrite:
            self._refuse_if_locked()
            raise self._exists()
        try:
            self._claim = self._acquire_claim()
            self._refuse_if_locked()
            if self._entry is not None:
                self._entry_claim = acquire(sibling_path(self._entry, "claim"), self._entry)
                self._refuse_unless_entry_is_free(self._entry)
            if overwrite:
                self._clear_path()
            elif self._claim.replaced is not None and (left := left_aside(self.path)):
                _log.warning(
                    "A stream that was to replace %s was killed as it began. What it had moved aside is at %s: "
                    "rename it, or it is removed by the next stream with overwrite=True.",
                    self.path,
                    left[0],
                )
            if os.path.lexists(self.path):
                raise self._exists()
            if self._folder:
                self.path.mkdir()
                self._created = True
                self._lock = acquire(self._lock_path, self.path)
            else:
                self._lock = acquire(self._lock_path, self.path)
                self._created = True
        except BaseException:
            self.restore()
            raise

    @property
    def stands(self) -> bool:
        """Whether the output, and the lock in it, have not been removed since the stream began."""
        return self._lock_path.exists() and os.path.lexists(self.path)

    def settle(self) -> None:
        """Remove what was moved aside, now that the new stream has begun, and release the claim.

        What cannot be removed is named in the log; the stream goes on.
        """
        for aside in self._aside:
            try:
                remove_aside(aside)
            except OSError as error:
                _log.warning(
                    "What lay at %s before could not be removed (%s). Remove %s yourself.",
                    self.path,
                    error,
                    aside,
                )
        self._aside, self._restore, self._entry_is_old = [], None, False
        self._release_claim()

    def release(self) -> None:
        """Let others write here."""
        if self._lock is not None:
            self._lock.release()

    def restore(self) -> None:
        """Remove what this stream has created, and put back what was at the path before.

        The lock goes last, so that no other process finds the path half removed and free.
        """
        if self._created and os.path.lexists(self.path):
            remove(self.path, last=LOCK_NAME)
        if self._lock is not None:
            self._lock.release()
        if self._created and not self._entry_is_old and self._entry is not None:
            self._entry.unlink(missing_ok=True)
        self._created, self._lock = False, None
        if self._restore is not None:
            try:
                if os.path.lexists(self.path):
                    raise FileExistsError(f"{self.path} exists")
                rename(self._restore, self.path)
            except OSError as error:  # the error that ended the start is the one to raise
                _log.warning(
                    "What lay at %s before could not be put back (%s). It is at %s: rename it yourself.",
                    self.path,
                    error,
                    self._restore,
                )
        refused = not self._aside and os.path.lexists(self.path)
        self._aside, self._restore = [], None
        self._release_claim(refused=refused)
        for folder in reversed(self._made):
            with suppress(OSError):  # another stream has made something in it
                folder.rmdir()

    def _acquire_claim(self) -> Lock:
        claim = sibling_path(self.path, "claim")
        for rest in reversed(range(_TRIES)):
            missing = [p for p in (self.path.parent, *self.path.parent.parents) if not p.exists()]
            self._made += [p for p in reversed(missing) if p not in self._made]
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                return acquire(claim, self.path)
            except (
                FileNotFoundError
            ):  # a stream that could not begin has removed the folder that it had made
                if not rest:
                    raise
        raise AssertionError

    def _release_claim(self, *, refused: bool = False) -> None:
        """Release the claim; a stream that was refused leaves the stale one that it found."""
        claims, self._claim, self._entry_claim = (self._claim, self._entry_claim), None, None
        for claim in claims:
            if claim is not None:
                with suppress(OSError):
                    claim.release(restore=refused and claim is claims[0])

    def _refuse_if_locked(self) -> None:
        _refuse_if_locked(self._lock_path, self.path)
        folder = None if self._folder else entry_file_target(self.path)
        if folder is not None:
            _refuse_if_locked(lock_path(folder, folder=True), folder)

    def _refuse_unless_entry_is_free(self, entry: Path) -> None:
        """Refuse an entry path that something else takes; an entry file whose set was removed is replaced."""
        if not os.path.lexists(entry):
            return
        _refuse_if_locked(lock_path(entry, folder=False), entry)
        folder = entry_file_target(entry) if is_own_entry(entry) else None
        if folder is not None and not folder.exists():
            return
        if not self._overwrite:
            raise _exists(entry)
        if folder != self.path and (folder is not None or foreign_files(entry, is_mark) != []):
            raise _exists(
                entry,
                f" and is not the entry file of {self.path}; overwrite=True does not replace it",
            )

    def _exists(self, why: str = "") -> OutputExistsError:
        return _exists(self.path, why)

    def _clear_path(self) -> None:
        """Move aside what may be replaced; put back first what a start that was killed had moved aside."""
        left = left_aside(self.path, self._entry)
        whole = [path for path in left if not is_half_removed(path)]
        if os.path.lexists(self.path):
            foreign = [] if is_own_entry(self.path) else foreign_files(self.path, is_mark)
            if foreign is None:
                foreign = self._foreign_at_killed_start()
                if whole and not foreign:
                    remove(self.path, last=LOCK_NAME)
            if foreign:
                raise self._exists(_explain(foreign))
        if whole and not os.path.lexists(self.path):
            rename(whole[0], self.path)
            left.remove(whole[0])
        if os.path.lexists(self.path):
            aside = free_name(self.path)
            rename(self.path, aside)
            self._restore = aside
            self._aside.append(aside)
        self._aside += left

    def _foreign_at_killed_start(self) -> list[str]:
        """Return the foreign files in what a killed start left at the path; refuse what no such start made."""
        assert self._claim is not None
        locked = self._lock_path.exists()
        is_folder = self.path.is_dir() and not self.path.is_symlink()
        begun = locked or (
            is_folder
            and (self._claim.replaced is not None or any(map(is_mark, os.listdir(self.path))))
        )
        if not begun or is_folder != self._folder:
            raise self._exists(
                " and is not a dataset that this library wrote; overwrite=True does not remove it"
            )
        return foreign_files_of_aborted_start(self.path, is_mark, locked=locked)


def _exists(path: Path, why: str = "") -> OutputExistsError:
    return OutputExistsError(
        f"{path} exists{why}. Choose another path, or "
        + ("remove it yourself." if why else "set overwrite=True to replace it.")
    )


def _refuse_if_locked(lock: Path, path: Path) -> None:
    owner = lock_owner(lock)
    if owner is not None:
        raise locked_error(lock, path, owner)


def _explain(foreign: list[str]) -> str:
    shown = ", ".join(map(repr, foreign[:_SHOWN]))
    more = f" and {len(foreign) - _SHOWN} more" if len(foreign) > _SHOWN else ""
    return (
        f" and contains files that are not part of the dataset that this library wrote ({shown}{more}); "
        f"overwrite=True does not remove them"
    )
