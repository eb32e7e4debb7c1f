"""Checks of an OME-TIFF: its OME-XML against its pages and the other files of its set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.errors import UnsupportedError
from ome_writers.formats.ome_xml import image_elements, parse_ome_xml
from ome_writers.formats.ometiff.file_sets import TIFF_SUFFIXES, first_tiff, ome_xml_files
from ome_writers.formats.ometiff.first_page import read_ome_xml
from ome_writers.formats.ometiff.ifd_repair import IfdRepair
from ome_writers.formats.ometiff.layout import ifd_runs
from ome_writers.formats.ometiff.pixels_element import pixel_sizes, plane_runs
from ome_writers.formats.ometiff.stored_documents import load_documents
from ome_writers.formats.ometiff.stored_levels import StoredLevels
from ome_writers.formats.ometiff.tiff_pages import set_decoder
from ome_writers.formats.ometiff.tiff_structure import TiffStructure
from ome_writers.formats.report import QUICK, Check, Finding
from ome_writers.formats.validators import run_ome_types
from ome_writers.untrusted import open_regular

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from ome_writers.formats.ometiff.stored_documents import StoredDocuments

_MAX_FINDINGS = 10_000


def _dataset_files(path: Path) -> list[Path]:
    """Return the file, or the files of a directory."""
    if path.is_dir():
        first_tiff(path)  # raises if the files are not one set
        return sorted(ome_xml_files(path))
    if path.suffix.lower() not in (*TIFF_SUFFIXES, ".ome"):
        raise UnsupportedError(f"{path} is neither an OME-Zarr nor an OME-TIFF.")
    return [path]


def check(path: Path, *, quick: bool = False) -> Iterator[Check]:
    """Yield all checks of a file, or of the set in a directory; symbolic links may not lead out of that directory.

    With `quick`, pages are not decoded.
    """
    files, root = _dataset_files(path), path if path.is_dir() else None
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
        findings += _links(file, xml, documents)
    yield Check("metadata", tuple(findings))
    try:
        import tifffile  # noqa: F401  # only checked here, used in _pages
    except ImportError:
        yield Check("pages", skipped="not installed (pip install tifffile)")
    else:
        tiffs = [f for f in files if f.suffix.lower() in TIFF_SUFFIXES]
        yield Check(
            "pages", tuple(x for f in tiffs for x in _pages(f, root, documents, decode=not quick))
        )
    # another program wrote it, or it is damaged: see above
    with suppress(UnsupportedError, OSError):
        stored = load_documents(path)
        yield from _check_checksums(stored, quick=quick)
        yield from _check_levels(stored, quick=quick)
    yield run_ome_types(texts)


def _check_checksums(stored: StoredDocuments, *, quick: bool) -> Iterator[Check]:
    """Yield a check of the pages that were written with a checksum."""
    if not any(image.array.checksum for image in stored.plan.images):
        return
    if quick:
        yield Check("checksums", skipped=QUICK)
        return
    from ome_writers.formats.ometiff.page_checksums import damaged_pages

    yield Check("checksums", tuple(islice(damaged_pages(stored), _MAX_FINDINGS)))


def _check_levels(stored: StoredDocuments, *, quick: bool) -> Iterator[Check]:
    """Yield a check that each resolution level is the reduction of the level above."""
    if not any(image.reductions for image in stored.plan.images):
        return
    if quick or stored.closed is None:
        yield Check("levels", skipped=QUICK if quick else "the dataset is being written")
        return
    shapes = [stored.closed.shape(image) for image in stored.plan.images]
    runs = ifd_runs(stored.plan, stored.files, shapes, writing=False)
    yield Check("levels", tuple(_levels(stored, [run.pages() for run in runs])))


def _levels(stored: StoredDocuments, pages: Sequence[Sequence[int]]) -> Iterator[Finding]:
    layout = stored.layout
    for image, of_image in zip(stored.plan.images, pages, strict=True):
        if not image.reductions:
            continue
        file = layout.root / image.key
        contiguous = layout.root != layout.output
        try:
            levels = StoredLevels(IfdRepair(file), image, of_image, contiguous=contiguous)
            wrong = [each for each, _ in islice(levels.differences(), _MAX_FINDINGS)]
        except (UnsupportedError, OSError) as error:
            yield Finding(file, f"levels cannot be read: {error}", solved=False)
            continue
        if wrong:
            what = f"{len(wrong)} planes of resolution levels are not the reduction of the level above, the first: "
            yield Finding(
                file, f"{what}level {wrong[0].level} of page {wrong[0].page}", solved=False
            )


def _links(file: Path, xml: Element, documents: dict[Path, Element]) -> Iterator[Finding]:
    """Yield references to missing files, and to files with another UUID. `documents` are those of the set, by file."""
    references = {
        (link.get("FileName", ""), (link.text or "").strip())
        for link in xml.iterfind(".//{*}TiffData/{*}UUID")
    }
    pointer = xml.find("{*}BinaryOnly")
    if pointer is not None:
        references.add((pointer.get("MetadataFile", ""), pointer.get("UUID", "")))
    for name, uuid in sorted(references):
        other = file.parent / name
        if not name or Path(name).name != name or not other.is_file():
            yield Finding(file, f"refers to {name!r}, which does not exist", solved=False)
            continue
        found = None
        with suppress(UnsupportedError, ValueError, OSError):
            if other in documents:
                found = documents[other].get("UUID")
            else:  # a link out of the set
                found = parse_ome_xml(read_ome_xml(other, file.parent), other).get("UUID")
        if uuid and found != uuid:
            yield Finding(
                file, f"refers to {name!r} with UUID {uuid}, but its UUID is {found}", solved=False
            )


def _pages(
    file: Path, root: Path | None, documents: dict[Path, Element], *, decode: bool
) -> Iterator[Finding]:
    """Yield pages that differ from the OME-XML or cannot be read."""
    import tifffile

    try:
        images = list(_images(file, documents))
        with open(open_regular(file, root=root), "rb") as raw:
            structure = TiffStructure(raw.fileno(), file)
            for directory in structure.directories():  # before tifffile follows the chain
                structure.check_plane(directory)
            with tifffile.TiffFile(raw, name=file.name) as tiff:
                yield from _compare_pages(file, tiff.pages, images, decode=decode)
    except UnsupportedError as error:
        yield Finding(file, f"cannot be read: {error}", solved=False)
    except Exception as error:  # tifffile raises many classes
        yield Finding(file, f"cannot be read: {type(error).__name__}: {error}", solved=False)


def _compare_pages(
    file: Path,
    pages: Any,
    images: Sequence[tuple[int, int, tuple[int, int, str]]],
    *,
    decode: bool,
) -> Iterator[Finding]:
    size, count = file.stat().st_size, len(pages)
    if not count:
        yield Finding(file, "contains no pages", solved=False)
    for number, (first, planes, expected) in enumerate(images):
        if first + planes > count:
            what = f"image {number} needs {first + planes} pages, but the file has {count}"
            yield Finding(file, what, solved=False)
        elif planes and (found := _shape_and_dtype(pages[first])) != expected:
            what = f"image {number} is {expected} in the OME-XML, but page {first} is {found}"
            yield Finding(file, what, solved=False)
    for number, page in enumerate(pages):
        yield from _page(file, number, page.aspage(), size, decode=decode)


def _page(file: Path, number: int, page: Any, size: int, *, decode: bool) -> Iterator[Finding]:
    stored = zip(page.dataoffsets, page.databytecounts, strict=True)
    if any(offset + length > size for offset, length in stored):
        yield Finding(file, f"page {number} extends beyond the end of the file", solved=False)
    elif decode and page.compression != 1:
        try:
            set_decoder(page)
            page.asarray()
        except Exception as error:  # each codec has its own error classes
            yield Finding(file, f"page {number} cannot be decoded: {error}", solved=False)


def _images(
    file: Path, documents: dict[Path, Element]
) -> Iterator[tuple[int, int, tuple[int, int, str]]]:
    """Yield the first page, the number of planes and (y, x, dtype) of each run of planes in `file`."""
    xml, source = documents.get(file), file
    pointer = xml.find("{*}BinaryOnly") if xml is not None else None
    if pointer is not None:
        source = file.parent / pointer.get("MetadataFile", "")
        xml = documents.get(source)
    for _, pixels in image_elements(xml, source) if xml is not None else ():
        sizes = pixel_sizes(pixels, source)
        for run in plane_runs(pixels, sizes, source):
            if run.file in ("", file.name):
                yield run.ifd, run.planes, (sizes.sizes["Y"], sizes.sizes["X"], sizes.dtype.name)


def _shape_and_dtype(page: Any) -> tuple[int, int, str]:
    page = page.aspage()
    return page.imagelength, page.imagewidth, str(page.dtype)
