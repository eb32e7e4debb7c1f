"""Metadata files that another process may replace at any time are read again only if they may have changed."""

from __future__ import annotations

import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from ome_writers.untrusted import is_archive, read_json

_TIMESTAMP_RESOLUTION_S = 3.0  # the coarsest timestamps (FAT) have a resolution of two seconds
_WRITING_STATUS = re.compile(rb'"status"(?::"|>"?)writing\b')


class ChangeDetector:
    """Detects whether a file may have changed since it was last read, from its ``stat`` result.

    Two changes within the resolution of the file system's clock have the same timestamp. A file therefore counts as
    unchanged only if it was read long after its last change. A file whose content has the status ``writing`` never
    counts as unchanged, because Windows may update the timestamp only when the writer closes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, ...] = ()
        self._version_since = 0.0
        self._unchanged = False
        self._timestamp_reliable = False

    def may_have_changed(self) -> bool:
        """Return whether the file may differ from the content last passed to `mark_read`."""
        stat = os.stat(self._path)
        version = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        now = time.monotonic()
        if version != self._version:
            self._version, self._version_since = version, now
            self._unchanged = False
        self._timestamp_reliable = now - self._version_since > _TIMESTAMP_RESOLUTION_S
        return not self._unchanged

    def mark_read(self, content: bytes) -> None:
        """Record the content that was read after `may_have_changed` returned True."""
        self._unchanged = self._timestamp_reliable and _WRITING_STATUS.search(content) is None


class CachedJsonFile:
    """A JSON file that is parsed again only after it was replaced. Safe to use from any thread.

    While the file is missing or being replaced, its previous content is returned. `root` is the folder of the dataset,
    which links in `path` must not lead out of.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self._root = root
        self._stored = root if is_archive(root) else path  # the file that is replaced
        self._lock = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._content: dict[str, Any] | None = None

    def read(self) -> dict[str, Any]:
        """Return the content, which is shared and must not be modified.

        Raises OSError, ValueError if the file cannot be read and has not been read before.
        """
        with self._lock:
            try:
                stat = self._stored.stat()
                version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if version != self._version:
                    self._content = read_json(self.path, root=self._root)
                    self._version = version
            except (OSError, ValueError):
                if self._content is None:
                    raise
            assert self._content is not None
            return self._content
