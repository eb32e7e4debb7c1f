"""Reading of a TIFF's first IFD without a TIFF library: OME-XML, compression and Software tag."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.ome_xml import parse_ome_xml, reject_doctype
from ome_writers.formats.ometiff.tiff_structure import (
    MAX_LEVELS,
    TiffDirectory,
    TiffStructure,
    open_tiff,
)
from ome_writers.untrusted import Limit, member, read_regular

if TYPE_CHECKING:
    pass


_WIDTH, _LENGTH, _COMPRESSION, _DESCRIPTION, _SOFTWARE, _SUB_IFDS = 256, 257, 259, 270, 305, 330
_TILE = 323, 322  # TileLength and TileWidth


class FirstPage(NamedTuple):
    """Values of a TIFF's first IFD, read together."""

    offset: int  # file offset of the IFD
    description: bytes  # its ImageDescription, encoded
    compression: int  # its Compression tag; 1 means uncompressed
    # height and width of its resolution levels, largest first
    levels: tuple[tuple[int, int], ...] = ()
    # (y, x) of its tiles, and of those of each resolution level; None for strips
    tiles: tuple[tuple[int, int] | None, ...] = (None,)


def read_first_page(file: Path, root: Path | None = None) -> FirstPage:
    """Read the first IFD of a TIFF; symbolic links may not lead out of `root`, the folder of its set.

    Raises UnsupportedError if it is not a TIFF, is truncated, or does not have a description, or the description has a
    DOCTYPE.
    """
    with open_tiff(file, root=root) as tiff:
        page, description = read_description(tiff, file)
        compressions = tiff.integers(page.entries.get(_COMPRESSION))
        levels = tuple(_read_levels(tiff, page)) if _SUB_IFDS in page.entries else ()
        tile = _read_pair(tiff, page, *_TILE) if _TILE[0] in page.entries else None
        tiles = (tile, *(tile for _, tile in levels))
    compression = int(compressions[0]) if len(compressions) else 1
    shapes = tuple(shape for shape, _ in levels)
    return FirstPage(page.offset, description, compression, shapes, tiles)


def _read_levels(
    tiff: TiffStructure, page: TiffDirectory
) -> Iterator[tuple[tuple[int, int], tuple[int, int] | None]]:
    """Yield (y, x) of the resolution levels of a page, and of their tiles."""
    for offset in tiff.integers(page.entries.get(_SUB_IFDS))[:MAX_LEVELS].tolist():
        try:
            level = tiff.directory(offset)
        except InvalidFileError:  # full resolution may be readable nevertheless
            return
        shape = _read_pair(tiff, level, _LENGTH, _WIDTH)
        if shape is None:
            return
        yield shape, _read_pair(tiff, level, *_TILE)


def _read_pair(
    tiff: TiffStructure, ifd: TiffDirectory, length: int, width: int
) -> tuple[int, int] | None:
    """Return the values of two tags; None unless both are positive."""
    y, x = (tiff.integers(ifd.entries.get(tag)) for tag in (length, width))
    return (int(y[0]), int(x[0])) if len(y) and len(x) and y[0] and x[0] else None


def read_software(file: Path) -> bytes:
    """Return the Software tag of a TIFF's first IFD, or b""; UnsupportedError if it is not a TIFF."""
    with open_tiff(file) as tiff:
        entry = tiff.directory(tiff.first).entries.get(_SOFTWARE)
        return b"" if entry is None else tiff.content(entry)


def has_own_software_tag(file: Path) -> bool:
    """Whether the Software tag of a TIFF names this library; programs that rewrite a file replace the tag."""
    try:
        return not file.is_symlink() and read_software(file).startswith(b"ome-writers ")
    except (UnsupportedError, OSError):
        return False


def read_ome_xml(file: Path, root: Path | None = None) -> bytes:
    """Return the OME-XML of a file: the content of a companion file, or the ImageDescription of a TIFF.

    Raises UnsupportedError if there is none, or it has a DOCTYPE.
    """
    if file.suffix.lower() == ".ome":
        return reject_doctype(read_regular(file, Limit.XML, root=root), file)
    return read_first_page(file, root).description


def read_description(
    tiff: TiffStructure, file: Path, known: bytes = b""
) -> tuple[TiffDirectory, bytes]:
    """Return the first IFD and its ImageDescription; `known` was read before. See `read_first_page`."""
    page = tiff.directory(tiff.first)
    entry = page.entries.get(_DESCRIPTION)
    if entry is None:
        raise UnsupportedError(
            f"{file} does not contain OME-XML: its first IFD does not have an ImageDescription."
        )
    description = tiff.content(entry).rstrip(b"\0")
    return page, description if description == known else reject_doctype(description, file)


def metadata_file(text: bytes, file: Path) -> Path:
    """Return the file that contains the OME-XML of a set: `file`, or the one that its `text` only refers to.

    Raises UnsupportedError if a BinaryOnly element refers to a file that does not exist.
    """
    target = _binary_only_target(text, file) if b"BinaryOnly" in text[:4096] else None
    if target is None:
        return file
    path = member(file.parent, target) if target else file.parent
    if path.parent != file.parent or not path.is_file():
        raise UnsupportedError(
            f"The OME-XML of {file.parent} is in the file {target!r}, which does not exist. Copy it to the folder."
        )
    return path


@lru_cache(maxsize=64)  # views ask for each plane
def _binary_only_target(text: bytes, file: Path) -> str | None:
    """Return the name of the file that a BinaryOnly element refers to; None without one."""
    pointer = parse_ome_xml(text, file).find("{*}BinaryOnly")
    return None if pointer is None else pointer.get("MetadataFile", "")
