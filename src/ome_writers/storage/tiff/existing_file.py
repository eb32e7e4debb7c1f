"""Continue a file of an earlier stream: write another start of the file at its end, with the IFDs of all pages.

The new IFDs refer to the planes where they are. Nothing else in the file changes, so that it is as before until the
header refers to the new start.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.storage.positional_io import write_at
from ome_writers.storage.tiff.allocator import Extent
from ome_writers.storage.tiff.ifd import aligned
from ome_writers.storage.tiff.ifd_encoder import IfdEncoder
from ome_writers.storage.tiff.scattered_read import as_numbers, read_pieces
from ome_writers.storage.tiff.sparse_file import extend_file

if TYPE_CHECKING:
    from ome_writers.storage.tiff.geometry import Geometry, Segment

    Parts = Sequence[tuple[int, bytearray]]
    Numbers = NDArray[np.int64]

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
    pages: Numbers,
    ifds: Numbers,
) -> NewStart:
    """Write another start of an open file, which has `rows` rows of pages.

    `pages` and `ifds` are those of `storage.ExistingArray.ifds`.
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
    existing = []
    for level, of_level in enumerate((geometry, *geometry.levels)):
        old = ifds[:, level] if level < ifds.shape[1] else np.zeros(len(pages), np.int64)
        first = encoder if not level else None
        existing.append(
            _refer_to_planes(fd, of_level, first, offset, pages[old > 0], old[old > 0], parts)
        )
    write_at(fd, [description.ljust(capacity, b"\0"), head.blank_strips], extent.offset)
    for at, run in parts:
        write_at(fd, [memoryview(run)], at)
    extend_file(fd, head.segment.end)
    return NewStart(offset, encoder, head.segment, extent, existing)


def _refer_to_planes(
    fd: int,
    geometry: Geometry,
    full: IfdEncoder | None,
    first_ifd: int,
    pages: Numbers,
    ifds: Numbers,
    parts: Parts,
) -> ExistingPages:
    """Give the blank IFDs in `parts`, runs with their offsets, the strips of the old `ifds` of the same `pages`.

    `full` is the encoder of full resolution, None of a reduced one.
    """
    segment = geometry.segments[0]
    starts = np.array([at for at, _ in parts])
    planes: dict[int, int] = {}
    tables: dict[int, int] = {}
    blank: set[int] = set()
    within = pages % geometry.pages_per_row
    every = np.arange(segment.rows * geometry.pages_per_row)
    for series in geometry.series:
        of_series = (within >= series.first) & (within < series.first + series.count)
        is_first = of_series & (pages == 0) & (full is not None)
        for template, chosen in (
            (series.template, of_series & ~is_first),
            *(((full.first, is_first),) if full is not None else ()),
        ):
            if not chosen.any():
                continue
            old, strips_at = ifds[chosen], ifds[chosen] + template.strips_at
            if template.strips_at != template.offsets_at:
                # a copy of an IFD refers to the tables of the original
                strips_at = as_numbers(read_pieces(fd, old + template.offsets_at, 8))[:, 0]
            stored = read_pieces(fd, strips_at, template.strips_span)
            new = segment.ifds + pages[chosen] * geometry.ifd_stride
            at = np.where(is_first[chosen], first_ifd, new) + template.strips_at
            of_run = np.searchsorted(starts, at, side="right") - 1
            for number in np.unique(of_run).tolist():
                begin, run = parts[number]
                target = np.frombuffer(run, np.uint8)  # writable, as a bytearray is
                columns = np.arange(template.strips_span)
                target[(at[of_run == number] - begin)[:, None] + columns] = stored[of_run == number]
                if template.checksum_at:
                    columns = template.checksum_at - template.strips_at + np.arange(8)
                    checksums = read_pieces(fd, old[of_run == number] + template.checksum_at, 8)
                    target[(at[of_run == number] - begin)[:, None] + columns] = checksums
            if not series.compressed:
                found = as_numbers(stored[:, :8])[:, 0]
                if series.is_tiled:
                    tables.update(zip(pages[chosen].tolist(), found.tolist(), strict=True))
                    found = as_numbers(read_pieces(fd, found, 8))[:, 0]
                planes.update(zip(pages[chosen].tolist(), found.tolist(), strict=True))
        if not series.compressed:
            in_row = every % geometry.pages_per_row
            possible = every[(in_row >= series.first) & (in_row < series.first + series.count)]
            missing = np.setdiff1d(possible, pages).tolist()
            planes.update(dict.fromkeys(missing, segment.blank_plane))
            blank.update(missing)
            if series.is_tiled:
                at_tables = segment.blank_plane + series.tables_at
                tables.update(dict.fromkeys(missing, at_tables))
    return ExistingPages(planes, tables, blank, pages)
