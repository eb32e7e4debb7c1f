"""JSON documents that another process may replace at any moment."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from ome_writers.untrusted import read_json

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["LiveDocument"]


class LiveDocument:
    """The content of a JSON file, parsed again only when the file was replaced.

    A document that is gone for a moment, or whose replacement is under way, is what it was before.

    Parameters
    ----------
    path
        The file.
    root
        The folder of the dataset, which `path` may not lead out of.
    """

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        self._root = root
        self._lock = threading.Lock()
        self._version: tuple[int, int, int] | None = None
        self._content: dict[str, Any] | None = None

    def read(self) -> dict[str, Any]:
        """Return the content; it is shared, and must not be changed.

        Raises
        ------
        OSError, ValueError
            If it never could be read.
        """
        with self._lock:
            try:
                stat = os.stat(self.path)
                version = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
                if version != self._version:
                    self._content = read_json(self.path, root=self._root)
                    self._version = version
            except (OSError, ValueError):
                if self._content is None:
                    raise
            assert self._content is not None
            return self._content
