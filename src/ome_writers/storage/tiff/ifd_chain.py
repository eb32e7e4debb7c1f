"""A second IFD chain through some pages of a file, made of copies of their IFDs."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.positional_io import read_at
from ome_writers.storage.tiff.ifd import aligned
from ome_writers.storage.tiff.ifd_template import ifds_per_batch

if TYPE_CHECKING:
    from ome_writers.storage.tiff.geometry import Geometry
    from ome_writers.storage.tiff.ifd_template import IfdTemplate


@dataclass(frozen=True)
class IfdChainCopy:
    """Copies the IFDs of some pages into a chain of their own.

    Only entries and next-IFD pointers are copied; the entries still reference the original tables and SubIFDs.
    """

    geometry: Geometry
    first: IfdTemplate
    pages: NDArray[np.int64]  # sorted, from 0
    first_ifd: int  # offset of the IFD of the first page

    @property
    def _step(self) -> int:
        return aligned(max(s.template.next_pointer_at for s in self.geometry.series) + 8)

    @property
    def _first_step(self) -> int:
        return aligned(self.first.next_pointer_at + 8)

    @property
    def nbytes(self) -> int:
        return self._first_step + (len(self.pages) - 1) * self._step

    def encode(
        self, fd: int, offset: int, description: tuple[int, int]
    ) -> Iterator[tuple[int, bytes]]:
        """Read the IFDs from `fd` and yield offset and bytes of the copies, which begin at `offset`.

        `description` is byte count and offset of the ImageDescription.
        """
        first, others = self.first, self.pages[1:]
        following = offset + self._first_step
        entries = bytearray(read_at(fd, first.next_pointer_at, self.first_ifd))
        struct.pack_into("<QQ", entries, first.description_at, *description)
        yield offset, bytes(entries) + struct.pack("<Q", following if len(others) else 0)
        for segment in self.geometry.segments:
            begin = segment.first_row * self.geometry.pages_per_row
            end = begin + segment.rows * self.geometry.pages_per_row
            in_segment = others[(others >= begin) & (others < end)]
            batch = ifds_per_batch(self.geometry.ifd_stride)
            for start in range(0, len(in_segment), batch):
                pages = in_segment[start : start + batch]
                out = self._read_ifds(fd, pages)
                following += len(pages) * self._step
                pointers = following - np.arange(len(pages) - 1, -1, -1, dtype="<i8") * self._step
                if pages[-1] == self.pages[-1]:
                    pointers[-1] = 0
                self._link(out, pages, pointers)
                yield following - len(pages) * self._step, out.tobytes()

    def _link(
        self, ifds: NDArray[np.uint8], pages: NDArray[np.int64], pointers: NDArray[np.int64]
    ) -> None:
        """Set the next-IFD pointers."""
        within = pages % self.geometry.pages_per_row
        for series in self.geometry.series:
            chosen = (within >= series.first) & (within < series.first + series.count)
            at = series.template.next_pointer_at
            ifds[chosen, at : at + 8] = pointers[chosen].view(np.uint8).reshape(-1, 8)

    def _read_ifds(self, fd: int, pages: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the IFDs of pages of one segment, shape (pages, bytes)."""
        stride, step = self.geometry.ifd_stride, self._step
        out = np.zeros((len(pages), step), np.uint8)
        runs = np.split(np.arange(len(pages)), np.flatnonzero(np.diff(pages) != 1) + 1)
        for run in runs:
            nbytes = len(run) * stride
            stored = read_at(fd, nbytes, self.geometry.ifd_offset(int(pages[run[0]])))
            ifds = np.frombuffer(stored.ljust(nbytes, b"\0"), np.uint8)
            out[run] = ifds.reshape(-1, stride)[:, :step]
        return out
