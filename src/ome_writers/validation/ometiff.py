"""An OME-TIFF: its OME-XML against its pages and against the other files of its set."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats import TIFF_SUFFIXES, first_tiff, ome_xml_files
from ome_writers.formats.ometiff import (
    image_elements,
    parse_ome_xml,
    pixel_sizes,
    plane_runs,
    read_ome_xml,
)
from ome_writers.untrusted import TiffStructure, open_regular
from ome_writers.validation.report import Check, Finding
from ome_writers.validation.validators import ask_ome_types

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from xml.etree.ElementTree import Element

__all__ = ["checks", "files_of"]

_UUID = "UUID"


def files_of(path: Path) -> list[Path]:
    """Return the files of an OME-TIFF: the one, or those of the folder of a set; none if it is no such thing."""
    if path.is_dir():
        first_tiff(path)  # refuses files that are not one set
        return sorted(ome_xml_files(path))
    return [path] if path.suffix.lower() in (*TIFF_SUFFIXES, ".ome") else []


def checks(files: list[Path], root: Path | None = None) -> Iterator[Check]:
    """Look at all that an OME-TIFF promises; no link may lead out of `root`, the folder of a set."""
    documents: dict[Path, Element] = {}
    texts: list[tuple[Path, str]] = []
    findings: list[Finding] = []
    for file in files:
        try:
            text = read_ome_xml(file, root)
            documents[file] = parse_ome_xml(text, file)
            texts.append((file, text.decode()))
        except (UnsupportedError, ValueError, OSError) as error:
            findings.append(Finding(file, str(error), solved=False))
    for file, xml in documents.items():
        findings += _links(file, xml)
    yield Check("documents", tuple(findings))
    try:
        import tifffile  # noqa: F401  # asked once, used file by file below
    except ImportError:
        yield Check("pages", skipped="it takes tifffile, which is not installed")
    else:
        tiffs = [f for f in files if f.suffix.lower() in TIFF_SUFFIXES]
        yield Check("pages", tuple(x for f in tiffs for x in _pages(f, root, documents)))
    yield ask_ome_types(texts)


def _links(file: Path, xml: Element) -> Iterator[Finding]:
    """Yield references to other files that lead nowhere, or to another file than was meant."""
    wanted = {
        (link.get("FileName", ""), (link.text or "").strip())
        for link in xml.iterfind(".//{*}TiffData/{*}UUID")
    }
    pointer = xml.find("{*}BinaryOnly")
    if pointer is not None:
        wanted.add((pointer.get("MetadataFile", ""), pointer.get(_UUID, "")))
    for name, uuid in sorted(wanted):
        other = file.parent / name
        if not name or Path(name).name != name or not other.is_file():
            yield Finding(file, f"it refers to {name!r}, which is not there", solved=False)
            continue
        found = None
        with suppress(UnsupportedError, ValueError, OSError):
            found = parse_ome_xml(read_ome_xml(other, file.parent), other).get(_UUID)
        if uuid and found != uuid:
            yield Finding(file, f"it refers to {name!r} as {uuid}, which is {found}", solved=False)


def _pages(file: Path, root: Path | None, documents: dict[Path, Element]) -> Iterator[Finding]:
    """Yield where the pages of a file are not those that the OME-XML tells of, or cannot be read."""
    import tifffile

    try:
        images = list(_images(file, documents))
        with open(open_regular(file, root=root), "rb") as raw:
            structure = TiffStructure(raw.fileno(), file)
            for directory in structure.directories():  # before tifffile follows the chain
                structure.check_plane(directory)
            with tifffile.TiffFile(raw, name=file.name) as tiff:
                yield from _compared(file, tiff.pages, images)
    except UnsupportedError as error:
        yield Finding(file, f"it cannot be read: {error}", solved=False)
    except Exception as error:  # tifffile raises what it likes
        yield Finding(file, f"it cannot be read: {type(error).__name__}: {error}", solved=False)


def _compared(
    file: Path, pages: Any, images: Sequence[tuple[int, int, tuple[int, int, str]]]
) -> Iterator[Finding]:
    size, count = file.stat().st_size, len(pages)
    if not count:
        yield Finding(file, "it has no page", solved=False)
    for number, (first, planes, facts) in enumerate(images):
        if first + planes > count:
            what = f"image {number} has planes up to page {first + planes}, the file {count} pages"
            yield Finding(file, what, solved=False)
        elif planes and (found := _facts(pages[first])) != facts:
            what = f"image {number} is {facts}, and page {first} {found}"
            yield Finding(file, what, solved=False)
    for number, page in enumerate(pages):
        yield from _page(file, number, page.aspage(), size)


def _page(file: Path, number: int, page: Any, size: int) -> Iterator[Finding]:
    stored = zip(page.dataoffsets, page.databytecounts, strict=True)
    if any(offset + length > size for offset, length in stored):
        yield Finding(file, f"page {number} lies beyond the end of the file", solved=False)
    elif page.compression != 1:
        try:
            page.asarray()
        except Exception as error:  # each codec has errors of its own
            yield Finding(file, f"page {number} cannot be decoded: {error}", solved=False)


def _images(
    file: Path, documents: dict[Path, Element]
) -> Iterator[tuple[int, int, tuple[int, int, str]]]:
    """Yield, of each run of planes that lie in `file`: its first page, its length, and (y, x, dtype)."""
    xml, source = documents.get(file), file
    pointer = xml.find("{*}BinaryOnly") if xml is not None else None
    if pointer is not None:
        source = file.parent / pointer.get("MetadataFile", "")
        xml = documents.get(source)
    for _, pixels in image_elements(xml, source) if xml is not None else ():
        found = pixel_sizes(pixels, source)
        for run in plane_runs(pixels, found, source):
            if run.file in ("", file.name):
                yield run.page, run.planes, (found.sizes["Y"], found.sizes["X"], found.dtype.name)


def _facts(page: Any) -> tuple[int, int, str]:
    page = page.aspage()
    return page.imagelength, page.imagewidth, str(page.dtype)
