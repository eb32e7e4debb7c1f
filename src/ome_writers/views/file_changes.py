"""Has a file changed? Asked often, and answered without reading it where its time stamp can tell."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FileChanges"]

_TICK = 3.0  # seconds; the coarsest time stamps (FAT) count in twos
_WRITING = re.compile(rb'"status"(?::"|>"?)writing\b')


class FileChanges:
    """Tells whether a document must be read again.

    A change in the same tick of the file system's clock leaves the time stamp as it was; so a file counts as
    unchanged only when it was read long after its last change. One that says that it is being written
    never does: Windows may note the time of a change as late as when the writer closes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, ...] = ()
        self._since = 0.0
        self._settled = False
        self._quiet = False

    def may_differ(self) -> bool:
        """Whether the document may differ from what was last given to `read`."""
        stat = os.stat(self._path)
        version = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        now = time.monotonic()
        if version != self._version:
            self._version, self._since = version, now
            self._settled = False
        self._quiet = now - self._since > _TICK
        return not self._settled

    def read(self, text: bytes) -> None:
        """Note that the document was read after `may_differ` said yes, and what it is."""
        self._settled = self._quiet and _WRITING.search(text) is None
