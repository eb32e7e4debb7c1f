"""Uncompressed pages whose pixels are on disk, and when their records may say so.

A plane is written in its place, which takes a moment; until all of it is there, the page's record leads to the
file's blank plane. Compressed pages need none of this: they are appended, and then pointed to.
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ome_writers.storage.tiff.geometry import Geometry, Segment, Series
    from ome_writers.storage.tiff.ifd_encoder import IfdEncoder

    Runs = Sequence[tuple[int, int]]

__all__ = ["PageVisibility"]

_AT_ONCE = 2048  # records made at once: their memory stays in the cache, and is used again


class PageVisibility:
    """What is known of the uncompressed pages of one file; safe to use from any thread.

    Parameters
    ----------
    geometry
        Where the file's pages lie.
    structure
        What makes its records.
    """

    def __init__(self, geometry: Geometry, structure: IfdEncoder) -> None:
        self._geometry = geometry
        self._structure = structure
        self._none = all(series.compressed for series in geometry.series)
        self._lock = threading.Lock()
        self._landed: list[tuple[int, int]] = []  # (page, count) since the last `take`
        self._torn: list[tuple[int, int]] = []
        self._shown = np.zeros(0, bool)  # by page

    def add(self, page: int, count: int) -> None:
        """Note that the pixels of `count` pages are on disk."""
        with self._lock:
            self._landed.append((page, count))

    def is_shown(self, page: int, count: int) -> bool:
        """Whether readers find a frame in any of `count` pages."""
        return bool(self._shown[page : page + count].any())

    def hide(self, page: int, count: int) -> None:
        """Note that the frames of `count` pages are on disk in other places than those that are shown."""
        with self._lock:
            self._shown[page : page + count] = False

    def fail(self, page: int, count: int) -> None:
        """Note that of the pixels of `count` pages some may be on disk, and some not: nobody shall see them."""
        with self._lock:
            self._torn.append((page, count))

    def take(self) -> NDArray[np.int64]:
        """Return the pages that have landed and are not shown, sorted, and forget them."""
        with self._lock:
            landed, self._landed = self._landed, []
            return self._unshown(landed) if landed else np.zeros(0, np.int64)

    def put_back(self, pages: NDArray[np.int64]) -> None:
        """Have `take` return the pages again: they could not be shown."""
        with self._lock:
            self._landed += [(page, 1) for page in pages.tolist()]
            self._shown[pages] = False

    def mark(self, pages: NDArray[np.int64]) -> None:
        """Note that the records of pages lead to their places, or are about to."""
        self._shown[pages] = True

    def rest(self, kept: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of the pages that stay in the file, sorted, that can be shown and are not yet.

        Pages that never came are among them: in their places are zeros, too.
        """
        if self._none:
            return np.zeros(0, np.int64)
        unshown = self._unshown([(0, int(kept[-1]) + 1)])
        unshown = unshown[np.isin(unshown, kept, assume_unique=True)]
        torn = [np.arange(page, page + count) for page, count in self._torn]
        return np.setdiff1d(unshown, np.concatenate(torn)) if torn else unshown

    def records(
        self, pages: NDArray[np.int64], alone: NDArray[np.bool_]
    ) -> Iterator[tuple[int, memoryview]]:
        """Yield offset and bytes of the records of `pages` but those `alone`; those side by side come as one."""
        geometry = self._geometry
        rows, within = np.divmod(pages, geometry.pages_in_row)
        for segment in geometry.segments:
            there = (rows >= segment.first_row) & (rows < segment.first_row + segment.rows)
            for series in geometry.series:
                its = (within >= series.first) & (within < series.first + series.count)
                if not series.compressed:
                    yield from self._alike(segment, series, pages[there & its & ~alone])

    def _alike(
        self, segment: Segment, series: Series, pages: NDArray[np.int64]
    ) -> Iterator[tuple[int, memoryview]]:
        size, first = self._geometry.record, segment.first_row * self._geometry.pages_in_row
        for begin in range(0, len(pages), _AT_ONCE):
            part = pages[begin : begin + _AT_ONCE]
            made = memoryview(self._structure.landed(segment, series, part))
            joints = [0, *(np.flatnonzero(np.diff(part) != 1) + 1).tolist(), len(part)]
            for start, stop in itertools.pairwise(joints):
                offset = segment.records + (int(part[start]) - first) * size
                yield offset, made[start * size : stop * size]

    def _unshown(self, runs: Runs) -> NDArray[np.int64]:
        extent = self._geometry.rows * self._geometry.pages_in_row
        if len(self._shown) < extent:
            self._shown = np.append(self._shown, np.zeros(extent - len(self._shown), bool))
        now = np.zeros(extent, bool)
        for page, count in runs:
            now[page : page + count] = True
        return np.flatnonzero(now & ~self._shown[:extent])
