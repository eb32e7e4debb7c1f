"""Checks of pages with checksums: the stored strips, and the entries of the IFD that decide how they are read."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from ome_writers.dataset import ImageSpec
from ome_writers.errors import UnsupportedError
from ome_writers.formats.ometiff.ifd_repair import Ifd, IfdRepair
from ome_writers.formats.ometiff.stored_documents import StoredDocuments
from ome_writers.formats.report import Finding
from ome_writers.formats.threads import map_in_threads
from ome_writers.routing import PageOrder
from ome_writers.storage import files, read_at
from ome_writers.storage.tiff import PageKind, checksum_of
from ome_writers.untrusted import open_regular

_BLOCK_BYTES = 2**18  # stays in the cache of the processor
# XResolution, YResolution and ResolutionUnit, which programs correct
_EDITABLE_TAGS = {282, 283, 296}


def damaged_pages(stored: StoredDocuments) -> Iterator[Finding]:
    """Yield the frames whose stored bytes or IFD differ from what was written, by image and index."""
    writing = stored.closed is None
    document = stored.closed or stored.latest
    for key in dict.fromkeys(image.key for image in stored.plan.images):
        file = files.path_below(stored.layout.root, key)
        members = [image for image in stored.plan.images if image.key == key]
        shapes = [document.shape(image) for image in members]
        order = PageOrder([image.array for image in members])
        kept = order.pages_within(shapes) if stored.files.renumbers and not writing else None
        try:
            chain = IfdRepair(file)
            fd = open_regular(file)
        except (UnsupportedError, OSError) as error:
            yield Finding(file, f"its IFDs cannot be read: {error}", solved=False)
            continue
        try:
            for number, (image, shape) in enumerate(zip(members, shapes, strict=True)):
                kinds = _kinds(image, contiguous=stored.layout.root != stored.layout.output)
                pages = order.pages(number, shape)
                pages = pages if kept is None else np.searchsorted(kept, pages)
                found = map_in_threads(partial(_problems, fd, chain, kinds), pages.ravel().tolist())
                for index, (page, problems) in zip(np.ndindex(pages.shape), found, strict=True):
                    where = f"image {image.number}, index {_text(index)}"
                    if page >= len(chain) and not writing:
                        yield Finding(file, f"{where}: there is no page", solved=False)
                    for what in problems:
                        yield Finding(file, f"{where}, page {page}{what}", solved=False)
            if not writing and len(chain) > sum(map(_planes, shapes)) and kept is not None:
                what = f"{len(chain)} pages, the OME-XML has {sum(map(_planes, shapes))} planes"
                yield Finding(file, what, solved=False)
        finally:
            os.close(fd)


def _text(index: Sequence[int]) -> str:
    return f"({', '.join(map(str, index))})"


def _planes(shape: Sequence[int]) -> int:
    return int(np.prod(shape[:-2], dtype=np.int64))


def _kinds(image: ImageSpec, *, contiguous: bool) -> list[PageKind]:
    """Return the kind of the pages of each level."""
    full = PageKind.of(image.array, contiguous=contiguous, levels=len(image.reductions))
    return [full] + [
        PageKind.of(level, contiguous=contiguous, full=image.array) for level in image.levels[1:]
    ]


def _problems(fd: int, chain: IfdRepair, kinds: Sequence[PageKind], number: int) -> list[str]:
    """Return what is wrong with a page and its levels."""
    return [*_page_problems(fd, chain.page(number), kinds)] if number < len(chain) else []


def _page_problems(fd: int, page: Ifd, kinds: Sequence[PageKind]) -> Iterator[str]:
    if len(page.levels) != len(kinds) - 1:
        yield f": {len(page.levels)} resolution levels instead of {len(kinds) - 1}"
    for k, (ifd, kind) in enumerate(zip((page, *page.levels), kinds, strict=False)):
        where = f", level {k}" if k else ""
        wrong = _wrong_tags(ifd, kind)
        if wrong:
            yield f"{where}: its IFD was changed, tag {', '.join(map(str, wrong))}"
        if ifd.checksum is None:
            yield f"{where}: it has no checksum, another program has rewritten it"
        elif checksum_of(_stored(fd, ifd)) != ifd.checksum:
            yield f"{where}: the CRC-32C does not match"


def _wrong_tags(ifd: Ifd, kind: PageKind) -> list[int]:
    """Return the tags that are missing, or do not have the value that all pages of this kind have."""
    entries = {
        tag: (type_, count, value)
        for tag, type_, count, value in struct.iter_unpack("<HHQ8s", ifd.entries[8:])
    }
    wrong = []
    for tag, type_, count, value in kind.entries():
        found = entries.get(tag)
        expected = type_, count, value.ljust(8, b"\0") if value or found is None else found[2]
        if found != expected and tag not in _EDITABLE_TAGS:
            wrong.append(tag)
    return wrong


def _stored(fd: int, ifd: Ifd) -> Iterator[bytes]:
    """Yield the bytes of the strips or tiles; fewer if the file is too short."""
    size = os.fstat(fd).st_size
    for offset, nbytes in ifd.strips:
        for at in range(offset, min(offset + nbytes, size), _BLOCK_BYTES):
            yield read_at(fd, min(_BLOCK_BYTES, offset + nbytes - at), at)
