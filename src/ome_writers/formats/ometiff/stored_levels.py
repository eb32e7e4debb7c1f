"""Resolution levels in a file that no writer has open: planes that are not the reduction of the level above."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import ImageSpec
from ome_writers.downsampling import downsample
from ome_writers.errors import UnsupportedError
from ome_writers.file_sync import sync
from ome_writers.storage import open_file, read_at, read_fully, write_at
from ome_writers.storage.tiff import (
    IfdTemplate,
    PageKind,
    TileGrid,
    aligned,
    checksum_of,
    write_reference,
)
from ome_writers.untrusted import open_regular

if TYPE_CHECKING:
    from ome_writers.formats.ometiff.ifd_repair import Ifd, IfdRepair

    Plane = NDArray[np.generic]


class PageLevel(NamedTuple):
    """A resolution level, at least 1, of a page in the chain."""

    page: int
    level: int


class StoredLevels:
    """The resolution levels of one image in a file of this library.

    `pages` are the numbers of the image's pages in the chain; `contiguous`: see `PageKind.of`.

    Raises UnsupportedError if a page does not have all levels, because another program has rewritten the file.
    """

    def __init__(
        self, chain: IfdRepair, image: ImageSpec, pages: Sequence[int], *, contiguous: bool
    ) -> None:
        self._path: Path = chain.path
        self._ifds = [(page, chain.page(page)) for page in pages if page < len(chain)]
        count = len(image.reductions)
        for page, ifd in self._ifds:
            if len(ifd.levels) != count:
                raise UnsupportedError(
                    f"{chain.path}: page {page} has {len(ifd.levels)} resolution levels instead of {count}, so another "
                    f"program has rewritten the file."
                )
        full = PageKind.of(image.array, contiguous=contiguous, levels=count)
        self._reductions = image.reductions
        self._kinds = [full] + [
            PageKind.of(level, contiguous=contiguous, full=image.array)
            for level in image.levels[1:]
        ]
        tiles = {tuple(each.tile for each in (ifd, *ifd.levels)) for _, ifd in self._ifds}
        if len(tiles) > 1:
            raise UnsupportedError(
                f"{chain.path}: its pages have different tiles, so another program has rewritten the file."
            )
        for stored in tiles:  # those of the settings may differ in a file of another version
            pairs = zip(self._kinds, stored, strict=True)
            self._kinds = [replace(kind, tile=tile) for kind, tile in pairs]

    def differences(self) -> Iterator[tuple[PageLevel, Plane]]:
        """Yield each plane that is not what full resolution implies, with the pixels that it should have.

        Levels of pages that cannot be decoded at full resolution are left out.
        """
        fd = open_regular(self._path)
        try:
            for page, ifd in self._ifds:
                plane = self._read(fd, 0, ifd)
                before: tuple[int, ...] = (1, 1)
                for k, reduction in enumerate(self._reductions, start=1):
                    if plane is None:
                        break
                    factors = reduction.factors[-2:]
                    fy, fx = (f // b for f, b in zip(factors, before, strict=True))
                    plane, before = (
                        downsample((plane,), reduction.pyramid.method, (fy, fx)),
                        factors,
                    )
                    stored = self._read(fd, k, ifd.levels[k - 1])
                    if stored is None or not np.array_equal(
                        plane, stored, equal_nan=plane.dtype.kind == "f"
                    ):
                        yield PageLevel(page, k), plane
        finally:
            os.close(fd)

    def write(self, planes: Iterable[tuple[PageLevel, Plane]]) -> int:
        """Append planes to the file, then make their IFDs refer to them; return their number."""
        ifds, moved = dict(self._ifds), []
        fd = open_file(self._path)
        try:
            for (page, k), plane in planes:
                strips = self._append(fd, k, plane)
                checksum = None
                if self._kinds[k].checksum:
                    checksum = checksum_of(read_fully(fd, count, at) for at, count in strips)
                moved.append((ifds[page].levels[k - 1], k, strips, checksum))
            sync(fd)
            templates = [IfdTemplate(kind) for kind in self._kinds]
            for ifd, k, strips, checksum in moved:
                offsets, counts = zip(*strips, strict=True)
                if checksum is not None:
                    write_reference(fd, ifd.offset, templates[k], offsets, counts, checksum)
                    continue
                at, span = ifd.offset + templates[k].strips_at, templates[k].strips_span
                encoded = templates[k].encode_strips(read_at(fd, span, at), offsets, counts)
                write_at(fd, [encoded], at)
            sync(fd)
        finally:
            os.close(fd)
        return len(moved)

    def _read(self, fd: int, k: int, ifd: Ifd) -> Plane | None:
        """Return the plane of an IFD; None if it cannot be decoded."""
        kind = self._kinds[k]
        size = os.fstat(fd).st_size
        strips = ifd.strips
        if len(strips) != len(kind.strip_bytes) or any(a + n > size for a, n in strips):
            return None
        out = np.zeros(kind.shape, kind.dtype)
        decoded = (
            kind.decode(read_fully(fd, nbytes, offset), size)
            for (offset, nbytes), size in zip(strips, kind.strip_bytes, strict=True)
        )
        try:
            if kind.tile is not None:
                TileGrid.of(kind).join(decoded, out)
                return out
            flat = out.reshape(-1).view(np.uint8)
            for (top, _), rows in zip(kind.strips, decoded, strict=True):
                begin = top * kind.row_bytes
                flat[begin : begin + len(rows)] = np.frombuffer(rows, np.uint8)
        except OSError:
            raise
        except Exception:  # each codec has its own error classes
            return None
        return out

    def _append(self, fd: int, k: int, plane: Plane) -> list[tuple[int, int]]:
        """Write a plane at the end of the file; return offset and byte count of each strip.

        Of a plane with tiles, they are the offsets of its tables of offsets and byte counts.
        """
        kind = self._kinds[k]
        flat = plane.reshape(-1).view(np.uint8).data
        row = kind.row_bytes
        strips: Iterable[memoryview] = (flat[a * row : b * row] for a, b in kind.strips)
        if kind.tile is not None:
            tiles = TileGrid.of(kind).split(plane)
            strips = (tile.reshape(-1).view(np.uint8).data for tile in tiles)
        found: list[tuple[int, int]] = []
        for strip in strips:
            content = kind.codec.encode(strip)
            offset = aligned(os.fstat(fd).st_size) + (kind.gap if found else 0)
            write_at(fd, [content], offset)
            found.append((offset, len(content)))
        if kind.tile is None:
            return found
        tables_at = aligned(os.fstat(fd).st_size)
        tables = np.array(found, "<u8").T.tobytes()
        write_at(fd, [tables], tables_at)
        return [(tables_at, tables_at + len(tables) // 2)]
