"""The output path: taken by one stream at a time, and given back clean.

What lay there before is moved aside first, and removed only when the new stream has begun; when that fails,
everything is as it was. What a start leaves that was killed is replaced and removed as what it was to become.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from ome_writers.errors import OutputExistsError, OutputLockedError
from ome_writers.formats.ometiff.entry import set_of_entry
from ome_writers.formats.recognition import is_document, is_ours
from ome_writers.storage.files import is_leftover
from ome_writers.storage.lock import LOCK_NAME, lives, lock_document, lock_owner, lock_path

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.formats import Layout

__all__ = ["Output"]

_TRIES = 3
_log = logging.getLogger("ome_writers")


class Output:
    """A claim on an output path.

    Parameters
    ----------
    layout
        Where things will lie.
    overwrite
        Whether an earlier dataset of this library may be replaced.

    Raises
    ------
    OutputLockedError
        If another stream writes there now.
    OutputExistsError
        If something lies there that may not be replaced. The disk is untouched then.
    """

    def __init__(self, layout: Layout, *, overwrite: bool) -> None:
        self.path = layout.output
        self._folder = layout.root == layout.output
        self._lock = lock_path(self.path, folder=self._folder)
        self._aside: Path | None = None
        self._overwrite = overwrite
        self._held = False  # whether the lock is of this stream
        self._ours = False  # whether what lies at the path is
        self._entry = layout.entry_path
        self._settled = False
        above = layout.root.parent if self._folder else layout.root
        self._made = [p for p in reversed([above, *above.parents]) if not p.exists()]
        self._refuse_if_locked()
        exists = os.path.lexists(self.path) or self._leads_back()
        if exists:
            self._refuse_unless_replaceable()
        if self._entry is not None:
            self._refuse_unless_entry_is_free(self._entry)
        try:
            if self._folder:
                if exists:
                    self._move_aside()
                self._make_folder(layout.root)
                self._ours = True
                self._take_lock()
            else:
                layout.root.mkdir(parents=True, exist_ok=True)
                self._take_lock()
                if exists:
                    self._move_aside()
                elif os.path.lexists(self.path):
                    raise self._exists()  # since a moment ago
                self._ours = True
        except BaseException:
            self.restore()
            raise

    @property
    def stands(self) -> bool:
        """Whether nobody has removed the output, or the lock in it, since the stream began."""
        return self._lock.exists() and os.path.lexists(self.path)

    def settle(self) -> None:
        """Remove what was moved aside: the new stream has begun, and goes on where that cannot be done."""
        for aside in self._all_aside() if self._overwrite else ():
            try:
                _remove(aside)
            except OSError as error:
                _log.warning(
                    "What lay at %s before could not be removed (%s). Remove %s yourself.",
                    self.path,
                    error,
                    aside,
                )
        self._aside = None
        self._settled = True

    def release(self) -> None:
        """Let others write here."""
        self._lock.unlink(missing_ok=True)

    def restore(self) -> None:
        """Remove what the failed start left, and put back what lay here before."""
        if self._held:
            self._lock.unlink(missing_ok=True)
            self._held = False
        if self._ours and os.path.lexists(self.path):
            _remove(self.path)
        if self._settled and self._entry is not None:
            self._entry.unlink(missing_ok=True)
        for folder in reversed(self._made):
            with suppress(OSError):  # another stream has made something in it
                folder.rmdir()
        if self._aside is not None:
            try:
                os.rename(self._aside, self.path)
            except OSError as error:  # the one that ended the start is the one that tells
                _log.warning(
                    "What lay at %s before could not be put back (%s). It is at %s: rename it yourself.",
                    self.path,
                    error,
                    self._aside,
                )
            self._aside = None

    def _leads_back(self) -> bool:
        """Whether the path is there once the folders exist that ".." leads out of again."""
        return ".." in self.path.parts and os.path.lexists(self.path.resolve())

    def _refuse_if_locked(self) -> None:
        _refuse_if_locked(self._lock, self.path)
        folder = None if self._folder else set_of_entry(self.path)
        if folder is not None:
            _refuse_if_locked(lock_path(folder, folder=True), folder)

    def _refuse_unless_entry_is_free(self, entry: Path) -> None:
        """Refuse an entry path that something else takes; an entry file whose set was removed is replaced."""
        if not os.path.lexists(entry):
            return
        _refuse_if_locked(lock_path(entry, folder=False), entry)
        folder = set_of_entry(entry)
        if folder is not None and not folder.exists():
            return
        if not self._overwrite:
            raise _exists(entry)
        if folder != self.path and (folder is not None or not is_ours(entry)):
            raise OutputExistsError(
                f"{entry} exists and is not the entry file of {self.path}; overwrite=True does not replace it. "
                f"Choose another path, or remove it yourself."
            )

    def _refuse_unless_replaceable(self) -> None:
        if not self._overwrite:
            raise self._exists()
        if not (is_ours(self.path) or self._is_a_killed_start()):
            raise OutputExistsError(
                f"{self.path} exists and is no dataset that this library wrote; overwrite=True does "
                f"not remove it. Choose another path, or remove it yourself."
            )

    def _is_a_killed_start(self) -> bool:
        """Whether a stream that was killed had begun to make what lies here: its lock tells, and nobody added to it."""
        if self.path.is_symlink() or self.path.is_dir() != self._folder:
            return False
        if not self._folder:
            return self._lock.exists() and self.path.stat().st_size == 0
        files = [f for f in self.path.rglob("*") if f.is_symlink() or not f.is_dir()]
        locked = any(f.parent == self.path and f.name.startswith(self._lock.name) for f in files)
        return locked and all(map(_is_of_a_start, files))

    def _exists(self) -> OutputExistsError:
        return _exists(self.path)

    def _move_aside(self) -> None:
        aside = self.path.with_name(f"{self._aside_name}{os.getpid()}")
        os.rename(self.path, aside)
        if self._folder and lock_owner(aside / self._lock.name) is not None:
            os.rename(aside, self.path)  # a stream that has begun since a moment ago
            self._refuse_if_locked()
        self._aside = aside

    @property
    def _aside_name(self) -> str:
        """What the name of all that is moved aside begins with; the number of the process follows."""
        return f".{self.path.name}.replaced-"

    def _all_aside(self) -> list[Path]:
        """Return what was moved aside by this stream, and by those that were killed before they had removed it."""
        found = [] if self._aside is None else [self._aside]
        with suppress(OSError):  # a folder that may be written to, and not be looked at
            for path in self.path.parent.iterdir():
                pid = path.name.removeprefix(self._aside_name)
                if pid != path.name and pid.isdecimal() and not lives(int(pid)):
                    found.append(path)
        return found

    def _make_folder(self, folder: Path) -> None:
        """Make the folder of the output; of two streams that come at the same moment, one can."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir()
        except FileExistsError:
            self._refuse_if_locked()
            raise self._exists() from None

    def _take_lock(self) -> None:
        """Make the lock: whole at once, and by one of several that try."""
        mine = self._lock.with_name(f"{self._lock.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            mine.write_bytes(lock_document())
            for _ in range(_TRIES):
                try:
                    _link(mine, self._lock)
                    self._held = True
                    return
                except FileExistsError:
                    self._refuse_if_locked()
                    self._lock.unlink(missing_ok=True)  # a stale one
            raise self._exists()
        finally:
            mine.unlink(missing_ok=True)


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(
        f"{path} exists. Choose another path, or set overwrite=True to replace it."
    )


def _refuse_if_locked(lock: Path, path: Path) -> None:
    owner = lock_owner(lock)
    if owner is not None:
        raise OutputLockedError(
            f"{path} is being written by {owner}. Wait for its end, "
            f"or, if that process is gone, remove {lock}."
        )


def _link(content: Path, name: Path) -> None:
    """Give a file a further name, unless that is taken (FileExistsError)."""
    try:
        os.link(content, name)
    except FileExistsError:
        raise
    except OSError:  # a file system where each file has one name
        fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        with os.fdopen(fd, "wb") as file:
            file.write(content.read_bytes())


def _is_of_a_start(file: Path) -> bool:
    """Whether a file may be there when a dataset begins: a document, a lock, or a file that is empty or says enough."""
    if file.is_symlink() or not file.is_file():
        return False
    name = file.name
    known = name == LOCK_NAME or is_document(name) or is_leftover(name)
    return known or not file.stat().st_size or is_ours(file)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
