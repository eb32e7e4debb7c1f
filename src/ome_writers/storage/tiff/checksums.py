"""Checksums of pages: the value of the tag `CHECKSUM`, and an IFD that is changed together with it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from ome_writers.storage.positional_io import read_at, write_at
from ome_writers.storage.tiff.ifd import encode_zeros

if TYPE_CHECKING:
    from ome_writers.storage.tiff.ifd import PageKind
    from ome_writers.storage.tiff.ifd_template import IfdTemplate


def checksum_of(strips: Iterable[Any]) -> int:
    """Return the checksum of stored strips, which are contiguous buffers."""
    checksum = 0
    for strip in strips:
        # it accepts bytes and arrays, but no memoryview
        checksum = int(google_crc32c.extend(checksum, np.frombuffer(strip, np.uint8)))
    return checksum


def blank_checksum(kind: PageKind) -> int:
    """Return the checksum of a page of zeros, which all pages are before they are written."""
    return checksum_of(encode_zeros(kind.compression, nbytes) for nbytes in kind.strip_bytes)


def write_reference(
    fd: int,
    ifd: int,
    template: IfdTemplate,
    offsets: Sequence[int],
    counts: Sequence[int],
    checksum: int,
) -> None:
    """Make the IFD at an offset reference other strips, and change its checksum, with one write.

    Without `counts`, these stay. Between the checksum and the tables of several strips is
    the next-IFD pointer, which no other thread may change meanwhile.
    """
    begin = min(template.strips_at, template.checksum_at)
    end = max(template.strips_at + template.strips_span, template.checksum_at + 8)
    content = bytearray(read_at(fd, end - begin, ifd + begin))
    at = template.strips_at - begin
    strips = bytes(content[at : at + template.strips_span])
    counts = counts or [count for _, count in template.decode_strips(strips)]
    content[at : at + template.strips_span] = template.encode_strips(strips, offsets, counts)
    struct.pack_into("<I", content, template.checksum_at - begin, checksum)
    write_at(fd, [bytes(content)], ifd + begin)
