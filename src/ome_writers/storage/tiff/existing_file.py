"""Continue a file of an earlier stream: write another start of the file at its end, with the IFDs of all pages.

The new IFDs refer to the planes where they are. Nothing else in the file changes, so that it is as before until the
header refers to the new start.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.positional_io import read_at, write_at
from ome_writers.storage.tiff.allocator import Extent
from ome_writers.storage.tiff.ifd import aligned
from ome_writers.storage.tiff.ifd_encoder import IfdEncoder
from ome_writers.storage.tiff.sparse_file import extend_file

if TYPE_CHECKING:
    from ome_writers.storage.tiff.geometry import Geometry, Segment

    Parts = Sequence[tuple[int, bytearray]]

_SECTOR_BYTES = 512


class ExistingPages(NamedTuple):
    """The pages of an existing file at one resolution level."""

    planes: dict[int, int]  # offset of the plane of uncompressed pages
    tile_tables: dict[int, int]  # offset of the table of tile offsets of such pages
    blank: set[
        int
    ]  # uncompressed pages without a frame, which get their plane when they are written
    published: NDArray[np.int64]  # pages with a frame


class NewStart(NamedTuple):
    """Another start of a file: its offset, which is that of the first IFD, and what is there."""

    offset: int
    encoder: IfdEncoder
    segment: Segment
    description: Extent
    pages: list[ExistingPages]  # full resolution first


def append_start(
    fd: int,
    geometry: Geometry,
    description: bytes,
    rows: int,
    ifds: Mapping[int, Sequence[int]],
) -> NewStart:
    """Write another start of an open file, which has `rows` rows of pages.

    `ifds` has the offsets of the IFDs of each page with pixels, full resolution first, by page number.
    """
    offset = aligned(os.fstat(fd).st_size, _SECTOR_BYTES)
    geometry = geometry.without_segments()
    encoder = IfdEncoder(geometry, origin=offset)
    capacity = aligned(len(description), 256)
    head = encoder.make_head(capacity, rows)
    geometry.append_segment(head.segment)
    start, extent = bytearray(head.start), Extent(offset + encoder.first.nbytes, capacity)
    pointer = struct.pack("<QQ", len(description), extent.offset)
    start[encoder.first.description_at : encoder.first.description_at + 16] = pointer
    # the IFD of the first page, then runs of others
    parts = [(offset, start)]
    parts += [(at, bytearray(run)) for at, run in encoder.blank_ifds(head.segment, capacity)]
    parts.sort(key=lambda part: part[0])
    pages = []
    for level, of_level in enumerate((geometry, *geometry.levels)):
        of_pages = {page: of[level] for page, of in ifds.items() if level < len(of)}
        first = encoder if not level else None
        pages.append(_refer_to_planes(fd, of_level, first, offset, of_pages, parts))
    write_at(fd, [description.ljust(capacity, b"\0"), head.blank_strips], extent.offset)
    for at, run in parts:
        write_at(fd, [memoryview(run)], at)
    extend_file(fd, head.segment.end)
    return NewStart(offset, encoder, head.segment, extent, pages)


def _refer_to_planes(
    fd: int,
    geometry: Geometry,
    full: IfdEncoder | None,
    first_ifd: int,
    ifds: Mapping[int, int],
    parts: Parts,
) -> ExistingPages:
    """Give the blank IFDs in `parts`, runs with their offsets, the strips of the old IFDs of the same pages.

    `full` is the encoder of full resolution, None of a reduced one.
    """
    segment = geometry.segments[0]
    starts = [at for at, _ in parts]
    planes: dict[int, int] = {}
    tables: dict[int, int] = {}
    for page, old in ifds.items():
        series = geometry.series_of(page)
        is_first = page == 0 and full is not None
        template = full.first if full is not None and is_first else series.template
        strips_at = old + template.strips_at
        if (
            template.strips_at != template.offsets_at
        ):  # a copy of an IFD refers to the tables of the original
            (strips_at,) = struct.unpack("<Q", read_at(fd, 8, old + template.offsets_at))
        stored = read_at(fd, template.strips_span, strips_at)
        at = (first_ifd if is_first else geometry.ifd_offset(page)) + template.strips_at
        begin, run = parts[bisect_right(starts, at) - 1]
        run[at - begin : at - begin + len(stored)] = stored
        if template.checksum_at:
            moved = at - template.strips_at + template.checksum_at - begin
            run[moved : moved + 8] = read_at(fd, 8, old + template.checksum_at)
        if not series.compressed:
            plane = template.decode_strips(stored)[0][0]
            if series.is_tiled:
                tables[page] = plane
                (plane,) = struct.unpack("<Q", read_at(fd, 8, plane))
            planes[page] = plane
    blank = set()
    every = np.arange(segment.rows * geometry.pages_per_row)
    for page in (every if full is not None else geometry.pages_of_series(every)).tolist():
        series = geometry.series_of(page)
        if page not in ifds and not series.compressed:
            planes[page] = segment.blank_plane
            blank.add(page)
            if series.is_tiled:
                tables[page] = segment.blank_plane + series.tables_at
    return ExistingPages(planes, tables, blank, np.array(sorted(ifds), np.int64))
