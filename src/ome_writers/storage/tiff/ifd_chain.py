"""A second chain through pages of a file: copies of their directories that lead to one another."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ome_writers.storage.positional_io import read_at
from ome_writers.storage.tiff.ifd import HEADER, aligned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from ome_writers.storage.tiff.geometry import Geometry
    from ome_writers.storage.tiff.ifd import Records

__all__ = ["IfdChainCopy"]

_AT_ONCE = 2048  # directories made at once: their memory stays in the cache, and is used again


@dataclass(frozen=True)
class IfdChainCopy:
    """The copies of some pages' directories.

    Only entries and pointers are copied: tables of strips, which the entries lead to, stay where they are.

    Attributes
    ----------
    geometry, first
        Where the directories are, and the form of the first.
    kept
        The pages, sorted; the file's first page is the first of them.
    """

    geometry: Geometry
    first: Records
    kept: NDArray[np.int64]

    @property
    def _step(self) -> int:
        return aligned(self.geometry.series[0].records.next_at + 8)

    @property
    def _first_step(self) -> int:
        return aligned(self.first.next_at + 8)

    @property
    def nbytes(self) -> int:
        """Bytes of all copies."""
        return self._first_step + (len(self.kept) - 1) * self._step

    def parts(self, fd: int, at: int, description: tuple[int, int]) -> Iterator[tuple[int, bytes]]:
        """Yield offset and bytes of the copies that are to lie from `at` on.

        Parameters
        ----------
        fd
            The file, from which the directories are read.
        at
            Where the first copy is to stand.
        description
            Count and offset of the first page's description.
        """
        first, rest = self.first, self.kept[1:]
        following = at + self._first_step
        entries = bytearray(read_at(fd, first.next_at, len(HEADER)))
        struct.pack_into("<QQ", entries, first.description_at, *description)
        yield at, bytes(entries) + struct.pack("<Q", following if len(rest) else 0)
        for segment in self.geometry.segments:
            begin = segment.first_row * self.geometry.pages_in_row
            end = begin + segment.rows * self.geometry.pages_in_row
            its = rest[(rest >= begin) & (rest < end)]
            for start in range(0, len(its), _AT_ONCE):
                pages = its[start : start + _AT_ONCE]
                out = self._copied(fd, pages)
                following += len(pages) * self._step
                chained = following - np.arange(len(pages) - 1, -1, -1, dtype="<i8") * self._step
                if pages[-1] == self.kept[-1]:
                    chained[-1] = 0
                next_at = self.geometry.series[0].records.next_at
                out[:, next_at : next_at + 8] = chained.view(np.uint8).reshape(-1, 8)
                yield following - len(pages) * self._step, out.tobytes()

    def _copied(self, fd: int, pages: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return directories of pages of one segment, shape (pages, bytes)."""
        record, step = self.geometry.record, self._step
        out = np.zeros((len(pages), step), np.uint8)
        runs = np.split(np.arange(len(pages)), np.flatnonzero(np.diff(pages) != 1) + 1)
        for run in runs:
            stored = read_at(
                fd, len(run) * record, self.geometry.record_at(int(pages[run[0]]))
            ).ljust(len(run) * record, b"\0")
            out[run] = np.frombuffer(stored, np.uint8).reshape(-1, record)[:, :step]
        return out
