"""TIFF files without OME-XML, and folders of them, which are only read.

Axes are those that tifffile finds, otherwise the last of t, c, z, y, x. In a folder, each number that varies in the
names of the files is an axis, named by the letter before it if that is t, c or z: ``img_t001_c2.tif``.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import EngineMissingError, UnsupportedError
from ome_writers.formats.complete_pixels import CompletePixels, Planes
from ome_writers.formats.ometiff.file_sets import is_plain_tiff, tiff_files
from ome_writers.formats.ometiff.tiff_pages import TiffPages
from ome_writers.formats.ometiff.tiff_structure import open_tiff
from ome_writers.formats.plane_files import axes_of_shape, image_of_planes
from ome_writers.formats.registry import FormatRow, read_only_settings
from ome_writers.untrusted import MAX_FRAMES, check_count, check_shape, guard_reader

_NUMBER = re.compile(r"[0-9]+")
_AXIS = re.compile(r"(?:^|[^a-z])([tcz])[-_ =]?$")  # of the text before a number
_TYPE_TAGS = (257, 256, 258, 277, 339)  # length, width, bits, samples, format


class Stack(NamedTuple):
    """Planes of one file, or of each file in a folder."""

    axes: str  # of the planes in a file, without y and x; "?" for an axis without a name
    shape: tuple[int, ...]  # with y and x, and the samples if there are several
    dtype: np.dtype[np.generic]  # with the byte order of the file
    samples: int
    offset: int | None  # of the pixels, if they are contiguous and uncompressed
    # number of the page of each plane; and of the sample, if the samples of pixels are separate planes
    planes: tuple[tuple[int, int | None], ...]
    description: str


class Folder(NamedTuple):
    """Files of a folder, by their index along `axes`."""

    axes: str
    shape: tuple[int, ...]
    files: dict[tuple[int, ...], Path]


@contextmanager
def open_with_tifffile(path: Path) -> Iterator[Any]:
    """Yield tifffile's `TiffFile`. Raises EngineMissingError without tifffile; its errors are InvalidFileError."""
    try:
        from tifffile import TiffFile
    except ImportError:
        raise EngineMissingError(
            'Reading a TIFF needs tifffile: pip install "ome-writers[tifffile]".'
        ) from None
    with guard_reader(path, "tifffile"), TiffFile(path) as tiff:
        yield tiff


def read_stack(path: Path, root: Path | None = None) -> Stack:
    """Return what tifffile finds in a file.

    Raises EngineMissingError without tifffile; UnsupportedError if its pages are not one stack of planes with a single
    sample or RGB; InvalidFileError if it is damaged.
    """
    with open_tiff(path, root=root) as structure:
        for count, ifd in enumerate(structure.directories(), 1):
            check_count(count, f"{path}: the number of pages", MAX_FRAMES)
            structure.check_plane(ifd)
    with open_with_tifffile(path) as tiff:
        found = tiff.series
        if len(found) != 1:
            shapes = ", ".join(str(series.shape) for series in found[:3])
            raise UnsupportedError(
                f"{path} contains {len(found)} series of pages with different shape or type ({shapes}"
                f"{', ...' * (len(found) > 3)}); supported is one. Save each as a file of its own."
            )
        (series,) = found
        match = re.fullmatch("([^YXS]*)(S?)YX(S?)", series.axes)
        samples = series.shape[-1] if match and match[3] else 1
        if match is None or samples not in (1, 3):
            raise UnsupportedError(
                f"{path} has the axes {series.axes!r} and shape {series.shape}; supported are planes of y and x, with "
                f"one sample or RGB per pixel."
            )
        shape = tuple(check_shape(list(series.shape), path))
        numbers = [0 if page is None else page.index for page in series.pages]
        parts = range(shape[len(match[1])]) if match[2] else [None]
        planes = tuple((number, part) for number in numbers for part in parts)
        offset = None
        if len(planes) != math.prod(shape[: len(match[1]) + len(match[2])]):
            offset = series.dataoffset
            if offset is None or root is not None:
                raise UnsupportedError(
                    f"{path} has {len(numbers)} pages for an image of shape {series.shape} ({series.axes}); supported "
                    f"is one plane per page."
                )
        names = match[1].lower() if set(match[1]) <= set("TCZ") else "?" * len(match[1])
        return Stack(
            axes=names + ("?" if "c" in names else "c") * len(match[2]),
            shape=shape,
            dtype=np.dtype(tiff.byteorder + series.dtype.str[1:]),
            samples=samples,
            offset=offset,
            planes=planes,
            description=str(tiff.pages.first.description),
        )


def read_folder(path: Path) -> Folder:
    """Return the TIFF files in a folder by the numbers in their names; without a grid of numbers, in natural order.

    Raises UnsupportedError if one of them has another frame shape or type than the first.
    """
    files = tiff_files(path)
    check_count(len(files), f"{path}: the number of TIFF files", MAX_FRAMES)
    types: dict[object, Path] = {}
    for file in files:
        types.setdefault(_frame_type(file, path), file)
    if len(types) > 1:
        first, other = itertools.islice(types.values(), 2)
        raise UnsupportedError(
            f"{path}: {other.name} has another frame size or pixel type than {first.name}. Move files that do not "
            f"belong to the same image to another folder."
        )
    axes, shape, indices = _grid([file.stem for file in files])
    return Folder(axes, shape, dict(zip(indices, files, strict=True)))


def parse(path: Path) -> DatasetSpec:
    return spec_of_folder(path)[0] if path.is_dir() else spec_of(path, read_stack(path))


def spec_of_folder(path: Path) -> tuple[DatasetSpec, Folder, Stack]:
    """Return the image of a folder, its files, and the stack of the first file."""
    folder = read_folder(path)
    stack = read_stack(next(iter(folder.files.values())), path)
    return spec_of(path, stack, folder), folder, stack


def spec_of(path: Path, stack: Stack, folder: Folder | None = None) -> DatasetSpec:
    axes, outer = (folder.axes, folder.shape) if folder else ("", ())
    shape = (*outer, *stack.shape[: len(stack.axes) + 2])
    dimensions = axes_of_shape(shape, path, axes + stack.axes)
    image = image_of_planes(
        path.name, path.name, dimensions, stack.dtype.name, samples=stack.samples
    )
    return DatasetSpec(
        path=path,
        format="tiff",
        version="",
        layout="image",
        images=(image,),
        dimensions=dimensions,
        metadata={"tiff": {"ImageDescription": stack.description}} if stack.description else {},
    )


def _frame_type(file: Path, root: Path) -> tuple[tuple[int, ...], ...]:
    with open_tiff(file, root=root) as tiff:
        entries = tiff.directory(tiff.first).entries
        return tuple(tuple(tiff.integers(entries.get(tag)).tolist()) for tag in _TYPE_TAGS)


def _grid(names: Sequence[str]) -> tuple[str, tuple[int, ...], list[tuple[int, ...]]]:
    """Return the axes of the numbers in names, their extents, and the index of each name."""
    numbers = [[int(digits[-18:]) for digits in _NUMBER.findall(name)] for name in names]
    texts = [_NUMBER.split(name.lower()) for name in names]
    if all(text == texts[0] for text in texts):
        columns = [sorted(set(column)) for column in zip(*numbers, strict=True)]
        ranks = [{value: rank for rank, value in enumerate(values)} for values in columns]
        varying = [n for n, values in enumerate(columns) if len(values) > 1]
        shape = tuple(len(columns[n]) for n in varying)
        indices = [tuple(ranks[n][each[n]] for n in varying) for each in numbers]
        if math.prod(shape) == len(names) == len(set(indices)):
            letters = (_AXIS.search(texts[0][n]) for n in varying)
            return "".join(found[1] if found else "?" for found in letters), shape, indices
    keys = [
        [*zip(text, [*each, 0], strict=True)] for text, each in zip(texts, numbers, strict=True)
    ]
    order = sorted(range(len(names)), key=keys.__getitem__)
    return (
        "?",
        (len(names),),
        [(rank,) for _, rank in sorted(zip(order, range(len(names)), strict=True))],
    )


def open_pixels(path: Path, _cache_bytes: int = 0) -> CompletePixels:
    """Return the planes of a file, or of the files in a folder."""
    array: Any
    if path.is_dir():
        spec, folder, stack = spec_of_folder(path)

        def read(plane: tuple[Path, tuple[int, int | None]]) -> NDArray[np.generic] | None:
            with closing(TiffPages(plane[0], path)) as pages:
                return _page_part(pages, plane[1])

        planes = {
            (*index, *inner): (file, plane)
            for index, file in folder.files.items()
            for inner, plane in _indexed(stack).items()
        }
        array = Planes(spec, 0, planes, read)
    else:
        stack = read_stack(path)
        spec = spec_of(path, stack)
        if stack.offset is not None:
            array = np.memmap(path, stack.dtype, "r", stack.offset, stack.shape)
        else:
            array = Planes(spec, 0, _indexed(stack), partial(_page_part, TiffPages(path)))
    return CompletePixels(spec, [array])


def _indexed(stack: Stack) -> dict[tuple[int, ...], tuple[int, int | None]]:
    indices = np.ndindex(*stack.shape[: len(stack.axes)])
    return dict(zip(indices, stack.planes, strict=True))


def _page_part(pages: TiffPages, plane: tuple[int, int | None]) -> NDArray[np.generic] | None:
    """Return a page, or one of its samples."""
    number, sample = plane
    page = pages.page(number)
    return page if page is None or sample is None else page[sample]


FORMAT = FormatRow(
    settings=read_only_settings("tiff", "TIFF"),
    recognizes=is_plain_tiff,
    file_datasets=lambda _: ([], []),  # OME-TIFF lists them
    parse=parse,
    frame_metadata=lambda _: [],
    open_pixels=open_pixels,
)
