"""Pages and ImageDescription of a TIFF file that another process may still be writing."""

# Longer than 300 lines: the same IFD is read with and without tifffile.
from __future__ import annotations

import itertools
import operator
import os
import re
import threading
import time
from array import array
from copy import copy
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import TIFF_COMPRESSIONS, compression_of_tag, tiff_codec
from ome_writers.dataset import Region
from ome_writers.errors import EngineMissingError, InvalidFileError
from ome_writers.formats.ome_xml import is_same_acquisition
from ome_writers.formats.ometiff.first_page import read_description, read_first_page
from ome_writers.formats.ometiff.tiff_structure import LoopDetector, TiffDirectory, TiffStructure
from ome_writers.untrusted import guard_reader, open_regular

_TIMESTAMP_RESOLUTION_S = 3.0  # the coarsest timestamps (FAT) have a resolution of two seconds
_WRITING_STATUS = re.compile(rb'"status"(?::"|>"?)writing\b')
_LENGTH, _WIDTH, _BITS, _SAMPLES, _FORMAT = 257, 256, 258, 277, 339
_COMPRESSION, _FILL_ORDER, _PLANAR, _PREDICTOR = 259, 266, 284, 317
_OFFSETS, _BYTE_COUNTS = 273, 279  # of strips
_TILE_OFFSETS = 324
_JPEG_TABLES = 347
_KINDS = {1: "u", 2: "i", 3: "f", 6: "c"}  # by SampleFormat
_MAX_UNCHECKED_BYTES = 2**26  # of a plane
_SUB_IFDS = 330  # tag with the offsets of the IFDs of a page's resolution levels
_MAX_PADDING_BYTES = 2**20  # of a decoded strip
_IFD_READ_AHEAD_BYTES = 2**16  # bytes after the start of an IFD that tifffile expects to exist


class ChangeDetector:
    """Detects whether a file may have changed since it was last read, from its ``stat`` result.

    Two changes within the resolution of the file system's clock have the same timestamp. A file therefore counts as
    unchanged only if it was read long after its last change. A file whose content has the status ``writing`` never
    counts as unchanged, because Windows may update the timestamp only when the writer closes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: tuple[int, ...] = ()
        self._version_since = 0.0
        self._unchanged = False
        self._timestamp_reliable = False

    def may_have_changed(self) -> bool:
        """Return whether the file may differ from the content last passed to `mark_read`."""
        stat = os.stat(self._path)
        version = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
        now = time.monotonic()
        if version != self._version:
            self._version, self._version_since = version, now
            self._unchanged = False
        self._timestamp_reliable = now - self._version_since > _TIMESTAMP_RESOLUTION_S
        return not self._unchanged

    def mark_read(self, content: bytes) -> None:
        """Record the content that was read after `may_have_changed` returned True."""
        self._unchanged = self._timestamp_reliable and _WRITING_STATUS.search(content) is None


class TiffPages:
    """Pages of one file. Safe to use from any thread.

    IFDs are read again at each access, because an IFD refers to the blank plane until its pixels are on disk. Only the
    offsets of IFDs are cached; they are valid until the ImageDescription changes. A running acquisition only appends to
    the chain, so that the offsets remain valid while its description grows. `root` is the folder of the set,
    which links in `path` must not lead out of.

    Raises EngineMissingError if tifffile is not installed.
    """

    def __init__(self, path: Path, root: Path | None = None) -> None:
        try:
            import tifffile
        except ImportError:
            raise EngineMissingError(
                'Reading OME-TIFF needs tifffile: pip install "ome-writers[tifffile]".'
            ) from None
        self.path = path
        self._folder = root
        self._tiff_file, self._tiff_page = tifffile.TiffFile, tifffile.TiffPage
        self._lock = threading.Lock()
        self._raw: CompleteReads | None = None
        self._tiff: Any = None
        self._size = 0
        self._identity: tuple[int, int] | None = None
        self._offsets = array("Q")
        self._loops = LoopDetector(path)
        self._text = b""
        self._root = 0  # first IFD of the chain that the description refers to
        self._changes = ChangeDetector(path)

    def description(self) -> bytes:
        """Return the current ImageDescription of the first page."""
        with self._lock:
            if self._changes.may_have_changed():
                if self._raw is None:  # the file stays closed until a page is read
                    root, text, *_ = read_first_page(self.path, self._folder)
                else:
                    tiff = TiffStructure(self._open().fileno(), self.path)
                    page, text = read_description(tiff, self.path, self._text)
                    root = page.offset
                if text != self._text or root != self._root:
                    if root != self._root or not is_same_acquisition(text, self._text):
                        self._reset()
                    self._text, self._root = text, root
                self._changes.mark_read(text)
            return self._text

    def page(
        self, number: int, level: int = 0, region: Region | None = None
    ) -> NDArray[np.generic] | None:
        """Return the pixels of page `number`, (y, x) or (y, x, samples); None if it is not written yet.

        Tiles outside of `region` are not read; their pixels are zeros.

        Raises InvalidFileError if the page does not have this resolution level, or the file is damaged.
        """
        with self._lock:
            raw = self._open()
            known = number < len(self._offsets)
            offset = self._offsets[number] if known else self._ifd_offset(number)
            if offset is None:
                return None
            tiff = TiffStructure(raw.fileno(), self.path)
            directory = tiff.directory(offset)
            if level:
                offsets = tiff.integers(directory.entries.get(_SUB_IFDS))
                if len(offsets) < level:
                    raise InvalidFileError(
                        f"{self.path}: page {number} has {len(offsets)} resolution levels, level {level} is needed."
                    )
                offset = int(offsets[level - 1])
                directory = tiff.directory(offset)
            if plane := _raw_plane(tiff, directory):
                pixels = np.empty(plane.shape, plane.dtype)
                raw.seek(plane.offset)
                if raw.readinto(pixels.reshape(-1).view(np.uint8).data) == pixels.nbytes:
                    return pixels
            with guard_reader(self.path, "tifffile"):
                page = self._parse(number, offset)
                if not page.dataoffsets or not all(page.databytecounts):
                    return None
                tiff.check_plane(directory)
                tiff.check_strips(directory)
                if page.compression != 1:
                    set_decoder(page)
                if region is not None and page.is_tiled and _has_plain_tiles(page):
                    return _read_tiles(page, raw, region)
                return np.asarray(page.asarray())

    def has_page(self, number: int, *, growing: bool) -> bool:
        """Return whether page `number` exists.

        In a `growing` file of this library, pages without pixels share a blank plane between the first two IFDs. If the
        file was resumed, pixels of earlier pages precede them.
        """
        with self._lock:
            offset, second = self._ifd_offset(number), self._ifd_offset(1) if growing else 0
            if offset is None or not second:
                return offset is not None
            tiff = TiffStructure(self._open().fileno(), self.path)
            entries = tiff.directory(offset).entries
            offsets = tiff.integers(entries.get(_OFFSETS) or entries.get(_TILE_OFFSETS))
            first = self._ifd_offset(0) or 0
            return bool(len(offsets)) and not first <= offsets[0] < second

    def close(self) -> None:
        """Close the file. The next access opens it again."""
        with self._lock:
            self._reset()

    def _open(self) -> FileIO:
        """Return the file, reopened if it was replaced; unbuffered, because a buffer would return old content."""
        stat = os.stat(self.path)
        identity = (stat.st_dev, stat.st_ino)
        if self._raw is None or identity != self._identity:
            self._reset()
            fd = open_regular(self.path, root=self._folder)
            self._raw = CompleteReads(fd, "rb")
            self._identity = identity
        return self._raw

    def _ifd_offset(self, number: int) -> int | None:
        """Return the offset of the IFD of a page; None if the chain is shorter."""
        raw = self._open()
        tiff = TiffStructure(raw.fileno(), self.path)
        if not self._offsets:
            self._offsets.append(self._root or tiff.first)
        while len(self._offsets) <= number:
            offset = tiff.next_directory(self._offsets[-1])
            if not offset:
                return None
            self._loops.visit(offset)
            self._offsets.append(offset)
        return self._offsets[number]

    def _parse(self, number: int, offset: int) -> Any:
        """Return tifffile's page `number`, whose IFD is at `offset`."""
        raw = self._open()
        # tifffile keeps the size that the file had when it was opened
        if self._tiff is None or offset + _IFD_READ_AHEAD_BYTES > self._size:
            size = os.fstat(raw.fileno()).st_size
            if self._tiff is None or size != self._size:
                structure = TiffStructure(raw.fileno(), self.path)
                structure.directory(structure.first)  # checks the IFD that tifffile reads at open
                raw.seek(0)
                self._tiff, self._size = self._tiff_file(raw, name=self.path.name), size
        self._tiff.filehandle.seek(offset)
        return self._tiff_page(self._tiff, number)

    def _reset(self) -> None:
        if self._raw is not None:
            self._raw.close()
        self._raw = self._tiff = None
        self._offsets = array("Q")
        self._loops = LoopDetector(self.path)

    def __del__(self) -> None:
        raw = getattr(self, "_raw", None)
        if raw is not None:
            raw.close()


def _has_plain_tiles(page: Any) -> bool:
    """Whether each tile of tifffile's `page` has all samples of its pixels, and is decoded without shared tables."""
    samples = page.samplesperpixel
    frame = (page.imagelength, page.imagewidth, *((samples,) if samples > 1 else ()))
    return page.planarconfig == 1 and page.shape == frame and _JPEG_TABLES not in page.tags


def _read_tiles(page: Any, raw: FileIO, region: Region) -> NDArray[np.generic]:
    """Return tifffile's `page` with the tiles that overlap `region`, and zeros elsewhere."""
    out = np.zeros(page.shape, page.dtype)
    height, width = page.tilelength, page.tilewidth
    columns = -(-page.imagewidth // width)
    rows, cols = (
        range(part.start // size, -(-part.stop // size))
        for part, size in zip(region, (height, width), strict=True)
    )
    for row, column in itertools.product(rows, cols):
        number = row * columns + column
        raw.seek(page.dataoffsets[number])
        tile = page.decode(raw.read(page.databytecounts[number]), number)[0]
        part = out[row * height : (row + 1) * height, column * width : (column + 1) * width]
        tile = tile[0] if out.ndim == 3 else tile[0, ..., 0]
        part[...] = tile[: part.shape[0], : part.shape[1]]
    return out


def set_decoder(page: Any) -> None:
    """Have the table of compressions decode tifffile's `page` if tifffile cannot; before anything else uses it."""
    import tifffile

    compression = compression_of_tag(page.compression)
    if page.compression in tifffile.TIFF.DECOMPRESSORS or compression not in TIFF_COMPRESSIONS:
        return
    codec = tiff_codec(compression)
    uncompressed = copy(page)  # before tifffile caches the decoder of the page
    uncompressed.compression = 1
    max_bytes = 2 * page.nbytes + _MAX_PADDING_BYTES

    def decode(stored: bytes | None, index: int, **options: Any) -> Any:
        content = None if stored is None else codec.decode(stored, max_bytes)
        return uncompressed.decode(content, index, **options)

    page.decode = decode


class RawPlane(NamedTuple):
    """Uncompressed samples of a plane: offset in bytes, shape and dtype."""

    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]


def _raw_plane(tiff: TiffStructure, ifd: TiffDirectory) -> RawPlane | None:
    """Return where the plane of an IFD is; None unless it is uncompressed and contiguous in the file.

    Its shape is (y, x), or (y, x, samples). Raises InvalidFileError if it does not fit into memory.
    """
    found = {
        tag: tiff.integers(ifd.entries.get(tag)).tolist()
        for tag in (_LENGTH, _WIDTH, _SAMPLES, _BITS, _FORMAT, _OFFSETS, _BYTE_COUNTS)
    }
    # 1 is the default of each
    plain = (_COMPRESSION, _FILL_ORDER, _PLANAR, _PREDICTOR)
    if any(tiff.integers(ifd.entries.get(tag)).tolist() not in ([], [1]) for tag in plain):
        return None
    offsets, counts = found[_OFFSETS], found[_BYTE_COUNTS]
    bits, formats = set(found[_BITS]), set(found[_FORMAT] or [1])
    extents = [*found[_LENGTH], *found[_WIDTH], *(found[_SAMPLES] or [1])]
    if len(extents) != 3 or len(bits) != 1 or len(formats) != 1 or not offsets:
        return None
    height, width, samples = extents
    try:
        dtype = np.dtype(f"{_KINDS[formats.pop()]}{bits.pop() / 8:g}")
    except (KeyError, TypeError):
        return None
    nbytes = height * width * samples * dtype.itemsize
    ends = map(operator.add, offsets, counts)
    if (
        not nbytes
        or len(offsets) != len(counts)
        or sum(counts) != nbytes
        or [*ends][:-1] != offsets[1:]
    ):
        return None
    if nbytes > _MAX_UNCHECKED_BYTES:
        tiff.check_plane(ifd)
    shape = (height, width, samples) if samples > 1 else (height, width)
    return RawPlane(offsets[0], shape, dtype.newbyteorder(tiff.byteorder))


class CompleteReads(FileIO):
    """An unbuffered file whose reads end early at the end of the file only; a system call reads less than 2 GiB."""

    def readinto(self, buffer: Any, /) -> int:
        rest = memoryview(buffer).cast("B")
        while count := super().readinto(rest):
            rest = rest[count:]
        return memoryview(buffer).nbytes - len(rest)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return super().readall()
        content = bytearray(size)
        del content[self.readinto(content) :]
        return bytes(content)
