"""Pages and description of a TIFF that another process may still be writing."""

from __future__ import annotations

import os
import threading
from array import array
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from ome_writers.errors import EngineMissingError
from ome_writers.formats.ometiff import read_first_page
from ome_writers.untrusted import LoopDetector, TiffStructure, guard_reader, open_regular
from ome_writers.views.file_changes import FileChanges

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["LivePages"]

_REACH = 2**16  # bytes behind the start of a directory that tifffile must know to be there


class LivePages:
    """The pages of one file. Safe to use from any thread.

    What is asked for is read anew: a page's directory leads to the blank plane until its pixels are on disk, and
    what was seen a moment ago may no longer hold. Only the places of directories are kept; they hold until the
    description changes.

    Parameters
    ----------
    path
        The file.
    root
        The folder of its set, which no link in `path` may lead out of.

    Raises
    ------
    EngineMissingError
        If tifffile is not installed.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        try:
            import tifffile
        except ImportError:
            raise EngineMissingError(
                "Reading OME-TIFF needs tifffile: pip install 'ome-writers[tifffile]'."
            ) from None
        self.path = path
        self._folder = root
        self._tiff_file, self._tiff_page = tifffile.TiffFile, tifffile.TiffPage
        self._lock = threading.Lock()
        self._raw: BinaryIO | None = None
        self._tiff: Any = None
        self._size = 0
        self._identity: tuple[int, int] | None = None
        self._offsets = array("Q")
        self._loops = LoopDetector(path)
        self._text = b""
        self._root = 0  # where the chain begins that the description means
        self._freshness = FileChanges(path)

    def description(self) -> bytes:
        """Return the ImageDescription of the first page as it is now."""
        with self._lock:
            if self._freshness.may_differ():
                root, text, _ = read_first_page(self.path, self._folder)
                if text != self._text or root != self._root:
                    self._text, self._root = text, root
                    self._forget()
                self._freshness.read(text)
            return self._text

    def page(self, number: int) -> NDArray[np.generic] | None:
        """Return page `number`: (y, x) or (y, x, samples); None when it is not there yet."""
        with self._lock:
            offset = self._find(number)
            if offset is None:
                return None
            tiff = TiffStructure(self._open().fileno(), self.path)
            directory = tiff.directory(offset)
            with guard_reader(self.path, "tifffile"):
                page = self._parse(number, offset)
                if not page.dataoffsets or not all(page.databytecounts):
                    return None
                tiff.check_plane(directory)
                tiff.check_strips(directory)
                return np.asarray(page.asarray())

    def close(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            self._forget()

    def _open(self) -> BinaryIO:
        """Return the file that has the name at present, without a buffer that would show what was there once."""
        stat = os.stat(self.path)
        identity = (stat.st_dev, stat.st_ino)
        if self._raw is None or identity != self._identity:
            self._forget()
            fd = open_regular(self.path, root=self._folder)
            self._raw = open(fd, "rb", buffering=0)  # noqa: SIM115  # closed in _forget
            self._identity = identity
        return self._raw

    def _find(self, number: int) -> int | None:
        """Return where the directory of a page stands; None when the chain does not reach so far."""
        raw = self._open()
        tiff = TiffStructure(raw.fileno(), self.path)
        if not self._offsets:
            self._offsets.append(self._root or tiff.first)
        while len(self._offsets) <= number:
            following = tiff.next_directory(self._offsets[-1])
            if not following:
                return None
            self._loops.visit(following)
            self._offsets.append(following)
        return self._offsets[number]

    def _parse(self, number: int, offset: int) -> Any:
        raw = self._open()
        tiff = self._known(raw, offset)
        tiff.filehandle.seek(offset)
        return self._tiff_page(tiff, number)

    def _known(self, raw: BinaryIO, offset: int) -> Any:
        """Return tifffile's idea of the file, which is as long as the file was when it was looked at."""
        if self._tiff is None or offset + _REACH > self._size:
            size = os.fstat(raw.fileno()).st_size
            if self._tiff is None or size != self._size:
                first = TiffStructure(raw.fileno(), self.path)
                first.directory(first.first)  # tifffile reads it as it opens the file
                raw.seek(0)
                self._tiff, self._size = self._tiff_file(raw, name=self.path.name), size
        return self._tiff

    def _forget(self) -> None:
        if self._raw is not None:
            self._raw.close()
        self._raw = self._tiff = None
        self._offsets = array("Q")
        self._loops = LoopDetector(self.path)

    def __del__(self) -> None:
        if getattr(self, "_raw", None) is not None:
            self._forget()
