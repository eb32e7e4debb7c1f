"""Tags and field types of the entries of each kind of page that this library writes, for programs that check them."""

from __future__ import annotations

from ome_writers.storage.tiff.ifd import (
    ASCII,
    CHECKSUM,
    DESCRIPTION,
    SOFTWARE,
    STRIP_BYTE_COUNTS,
    STRIP_OFFSETS,
    SUBFILE_TYPE,
    TILE_BYTE_COUNTS,
    TILE_LENGTH,
    TILE_OFFSETS,
    TILE_WIDTH,
)

_SHORT, _LONG, _RATIONAL, _LONG8 = 3, 4, 5, 16
_ROWS_PER_STRIP = 278
_PAGE_TAGS = [
    (256, _LONG),
    (257, _LONG),
    (258, _SHORT),
    (259, _SHORT),
    (262, _SHORT),
    (STRIP_OFFSETS, _LONG8),
    (277, _SHORT),
    (_ROWS_PER_STRIP, _LONG),
    (STRIP_BYTE_COUNTS, _LONG8),
    (282, _RATIONAL),
    (283, _RATIONAL),
    (284, _SHORT),
    (296, _SHORT),
    (339, _SHORT),
]
_TILED_PAGE_TAGS = sorted(
    [tag for tag in _PAGE_TAGS if tag[0] not in (STRIP_OFFSETS, _ROWS_PER_STRIP, STRIP_BYTE_COUNTS)]
    + [(TILE_WIDTH, _LONG), (TILE_LENGTH, _LONG)]
    + [(TILE_OFFSETS, _LONG8), (TILE_BYTE_COUNTS, _LONG8)]
)
_FIRST_PAGE_TAGS = [(DESCRIPTION, ASCII), (SOFTWARE, ASCII)]
_LEVEL_TAGS = [(SUBFILE_TYPE, _LONG)]
_CHECKSUM_TAGS = [(CHECKSUM, _LONG)]


def expected_tags(
    *, first: bool, reduced: bool, tiled: bool, checksum: bool
) -> list[tuple[int, int]]:
    """Return tags and field types of the IFD of a page, sorted, without that of its resolution levels.

    `first` is the page with the ImageDescription; `reduced` is a resolution level.
    """
    tags = _TILED_PAGE_TAGS if tiled else _PAGE_TAGS
    parts = ((first, _FIRST_PAGE_TAGS), (reduced, _LEVEL_TAGS), (checksum, _CHECKSUM_TAGS))
    return sorted(tags + [tag for wanted, more in parts if wanted for tag in more])
