"""Pages of a TIFF that another process may still be writing."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.errors import EngineMissingError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["LivePages"]

_REST = 0.05  # seconds that a file is taken to be as it was
_SHARE = 0.1  # of the time that may go into following the chain of a file's pages again


class LivePages:
    """The pages of one file; the file is opened again when it has changed. Safe to use from any thread.

    Raises
    ------
    EngineMissingError
        If tifffile is not installed.
    """

    def __init__(self, path: Path) -> None:
        try:
            import tifffile
        except ImportError:
            raise EngineMissingError(
                "Reading OME-TIFF needs tifffile: pip install 'ome-writers[tifffile]'."
            ) from None
        self.path = path
        self._open = tifffile.TiffFile
        self._lock = threading.Lock()
        self._file: Any = None
        self._version: tuple[int, int] | None = None
        self._next_look = 0.0

    def description(self) -> str:
        """Return the ImageDescription of the first page."""
        with self._lock:
            return str(self._current().pages.first.description)

    def __len__(self) -> int:
        with self._lock:
            return len(self._current().pages)

    def page(self, number: int) -> NDArray[np.generic] | None:
        """Return page `number`: (y, x) or (y, x, samples); None when it is not there yet."""
        with self._lock:
            page = self._page(number)
            if page is None or not page.dataoffsets or not all(page.databytecounts):
                return None
            return np.asarray(page.asarray())

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            self._forget()

    def _page(self, number: int) -> Any:
        try:
            return self._current().pages[number]
        except IndexError:
            return None

    def _current(self) -> Any:
        """Return the open file, opened again if it has changed since."""
        now = time.monotonic()
        if self._file is None or now >= self._next_look:
            stat = os.stat(self.path)
            version = (stat.st_size, stat.st_mtime_ns)
            if version != self._version:
                self._forget()
                self._file = self._open(self.path)
                self._version = version
            took = time.monotonic() - now
            self._next_look = now + max(_REST, took / _SHARE)
        return self._file

    def _forget(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._version = None

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self._file.close()
