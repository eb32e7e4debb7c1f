"""Tracks which uncompressed pages have their pixels on disk, and which of them readers can see.

An IFD references the blank plane of its file until all pixels of its page are written. Compressed pages are not
tracked: their strips are appended first and referenced afterwards.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.tiff.ifd_template import ifds_per_batch

if TYPE_CHECKING:
    from ome_writers.storage.tiff.geometry import Geometry, Segment, Series
    from ome_writers.storage.tiff.ifd_encoder import IfdEncoder

    Runs = Sequence[tuple[int, int]]


class PageVisibility:
    """The visibility of the uncompressed pages of one file; thread-safe."""

    def __init__(
        self, geometry: Geometry, encoder: IfdEncoder, checksums: Mapping[int, int]
    ) -> None:
        self._checksums = checksums  # by page, of those with a frame that are not published
        self._geometry = geometry
        self._encoder = encoder
        self._lock = threading.Lock()
        self._completed: list[tuple[int, int]] = []  # (page, count) since `pop_completed`
        self._damaged: list[tuple[int, int]] = []
        self._published = np.zeros(0, bool)  # by page

    def complete(self, page: int, count: int) -> None:
        """Record that the pixels of `count` pages are on disk."""
        with self._lock:
            self._completed.append((page, count))

    def is_published(self, page: int, count: int) -> bool:
        """Whether readers can see the pixels of any of `count` pages."""
        return bool(self._published[page : page + count].any())

    def unpublish(self, page: int, count: int) -> None:
        """Record that newer frames of `count` pages are on disk, at other offsets than the IFDs reference."""
        with self._lock:
            self._published[page : page + count] = False

    def mark_damaged(self, page: int, count: int) -> None:
        """Record that writing `count` pages failed half-way: they are never published."""
        with self._lock:
            self._damaged.append((page, count))

    def pop_completed(self) -> NDArray[np.int64]:
        """Return, sorted, the completed pages that are not published, and forget them."""
        with self._lock:
            completed, self._completed = self._completed, []
            return self._unpublished(completed) if completed else np.zeros(0, np.int64)

    def publish(self, pages: NDArray[np.int64]) -> None:
        """Record that the IFDs of `pages` reference their pixels, or are about to."""
        if len(pages) and pages[-1] >= len(self._published):  # of a reopened file
            self._unpublished([])
        self._published[pages] = True

    def retry(self, pages: NDArray[np.int64]) -> None:
        """Have `pop_completed` return `pages` again, because their IFDs could not be written."""
        with self._lock:
            self._completed += [(page, 1) for page in pages.tolist()]
            self._published[pages] = False

    def publishable(self, pages: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of `pages` (sorted) that are neither published nor damaged.

        Pages without a frame are included: their planes are zeros.
        """
        if all(series.compressed for series in self._geometry.series):
            return np.zeros(0, np.int64)
        hidden = self._unpublished([(0, int(pages[-1]) + 1)])
        hidden = hidden[np.isin(hidden, pages, assume_unique=True)]
        damaged = [np.arange(page, page + count) for page, count in self._damaged]
        return np.setdiff1d(hidden, np.concatenate(damaged)) if damaged else hidden

    def encode_ifds(
        self, pages: NDArray[np.int64], exclude: NDArray[np.bool_]
    ) -> Iterator[tuple[int, memoryview]]:
        """Yield the IFDs of `pages` without those in the mask `exclude`, as offset and bytes of each contiguous run."""
        geometry = self._geometry
        rows, within = np.divmod(pages, geometry.pages_per_row)
        for segment in geometry.segments:
            in_segment = (rows >= segment.first_row) & (rows < segment.first_row + segment.rows)
            for series in geometry.series:
                in_series = (within >= series.first) & (within < series.first + series.count)
                if not series.compressed:
                    selected = pages[in_segment & in_series & ~exclude]
                    yield from self._encode_series(segment, series, selected)

    def _encode_series(
        self, segment: Segment, series: Series, pages: NDArray[np.int64]
    ) -> Iterator[tuple[int, memoryview]]:
        stride = self._geometry.ifd_stride
        first = segment.first_row * self._geometry.pages_per_row
        size = ifds_per_batch(stride)
        for begin in range(0, len(pages), size):
            batch = pages[begin : begin + size]
            of_batch: NDArray[np.uint32] | int = 0
            if series.kind.checksum:
                blank, known = series.blank_checksum, self._checksums
                of_batch = np.array([known.get(p, blank) for p in batch.tolist()], np.uint32)
            ifds = memoryview(self._encoder.plane_ifds(segment, series, batch, of_batch))
            breaks = [0, *(np.flatnonzero(np.diff(batch) != 1) + 1).tolist(), len(batch)]
            for start, stop in itertools.pairwise(breaks):
                offset = segment.ifds + (int(batch[start]) - first) * stride
                yield offset, ifds[start * stride : stop * stride]

    def _unpublished(self, runs: Runs) -> NDArray[np.int64]:
        pages = self._geometry.rows * self._geometry.pages_per_row
        if len(self._published) < pages:
            missing = pages - len(self._published)
            self._published = np.append(self._published, np.zeros(missing, bool))
        selected = np.zeros(pages, bool)
        for page, count in runs:
            selected[page : page + count] = True
        return np.flatnonzero(selected & ~self._published[:pages])
