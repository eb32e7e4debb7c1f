"""The output path: taken by one stream at a time, and given back clean.

What lay there before is moved aside first, and removed only when the new stream has begun; when that fails,
everything is as it was.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from ome_writers.errors import OutputExistsError, OutputLockedError
from ome_writers.formats.recognition import is_ours
from ome_writers.storage.lock import lock_document, lock_owner, lock_path

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers.formats import Layout

__all__ = ["Output"]


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
        self._made = [p for p in reversed([layout.root, *layout.root.parents]) if not p.exists()]
        self._refuse_if_locked()
        if os.path.lexists(self.path) or self._leads_back():
            if not overwrite:
                raise OutputExistsError(
                    f"{self.path} exists. Choose another path, or set overwrite=True to replace it."
                )
            if not is_ours(self.path):
                raise OutputExistsError(
                    f"{self.path} exists and is no dataset that this library wrote; overwrite=True does "
                    f"not remove it. Choose another path, or remove it yourself."
                )
            self._aside = self.path.with_name(f".{self.path.name}.replaced-{os.getpid()}")
            os.rename(self.path, self._aside)
        try:
            layout.root.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except BaseException:
            self.restore()
            raise

    @property
    def stands(self) -> bool:
        """Whether nobody has removed the output, or the lock in it, since the stream began."""
        return self._lock.exists() and os.path.lexists(self.path)

    def settle(self) -> None:
        """Remove what was moved aside: the new stream has begun."""
        if self._aside is not None:
            _remove(self._aside)
            self._aside = None

    def release(self) -> None:
        """Let others write here."""
        self._lock.unlink(missing_ok=True)

    def restore(self) -> None:
        """Remove what the failed start left, and put back what lay here before."""
        self._lock.unlink(missing_ok=True)
        if os.path.lexists(self.path):
            _remove(self.path)
        for folder in reversed(self._made):
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        if self._aside is not None:
            os.rename(self._aside, self.path)
            self._aside = None

    def _leads_back(self) -> bool:
        """Whether the path is there once the folders exist that ".." leads out of again."""
        return ".." in self.path.parts and os.path.lexists(self.path.resolve())

    def _refuse_if_locked(self) -> None:
        owner = lock_owner(self._lock)
        if owner is not None:
            raise OutputLockedError(
                f"{self.path} is being written by process {owner['pid']} on {owner['host']}. Wait for its end, "
                f"or, if that process is gone, remove {self._lock}."
            )

    def _take_lock(self) -> None:
        self._lock.unlink(missing_ok=True)  # a stale one
        try:
            fd = os.open(self._lock, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        except FileExistsError:
            self._refuse_if_locked()
            raise
        with os.fdopen(fd, "wb") as file:
            file.write(lock_document())


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
