"""What a dataset contains, in any format, as one model; and the metadata of its frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ome_writers.dataset import DatasetSpec
from ome_writers.errors import checked_call
from ome_writers.formats.frame_index import frame_index
from ome_writers.formats.ome_xml import parse_once
from ome_writers.formats.registry import FramesByImage, detect_format, resolve_entry_file
from ome_writers.untrusted import guard_reader, locate, path_or_url

IndexedFrame = tuple[int, dict[str, Any], dict[str, Any]]
"""Image number, index by axis, and frame metadata."""


@checked_call
def read(path: str | PathLike[str]) -> DatasetSpec:
    """Return images, levels, axes, channels, positions and status of a dataset; no pixel is read.

    Parameters
    ----------
    path
        An OME-Zarr 0.4 to 0.6 (a directory or an ``.ozx`` file), an OME-TIFF file or a folder with the files of one
        OME-TIFF, of any program, also while it is being written. An OME-Zarr may also be at a URL: ``s3://``,
        ``gs://``, ``az://`` or ``https://``, with credentials from the environment. Also an ImageJ hyperstack,
        ``.npy``, a TIFF or a folder of TIFF files without OME-XML, a Zarr array without OME metadata, or a folder of
        Micro-Manager: NDTiff or image files.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    UnsupportedError
        If it is of none of these formats; InvalidFileError if it is damaged, or not safe to read.
    """
    path = resolve_entry_file(path_or_url(path))
    row = detect_format(path)
    with guard_reader(path):
        return row.parse(path)


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """Yield a dataset on this disk: `path` itself, or a temporary copy of a remote OME-Zarr.

    Raises UnsupportedError if this disk does not have enough space for the copy, and ListingError if the server does
    not list files; see `referenced_copy`.
    """
    with locate(path).local() as local:
        yield local


@contextmanager
def referenced_copy(path: Path) -> Iterator[Path]:
    """Yield a temporary copy of the files of a remote dataset that its metadata refer to; no list is needed."""
    with TemporaryDirectory(prefix="ome-writers-") as folder:
        copy = Path(folder, path.name)
        detect_format(path).copy_referenced(path, copy)
        yield copy


def dataset_files(path: Path) -> Iterable[Path]:
    """Return the files of a dataset; see `read`. Raises ListingError if a server does not list them."""
    path = resolve_entry_file(path)
    return detect_format(path).files(path)


def dataset_ome_xml(path: Path) -> bytes | None:
    """Return the OME-XML of a dataset, wherever it is stored; None for an OME-Zarr without OME-XML. See `read`."""
    path = resolve_entry_file(path)
    with guard_reader(path):
        text: bytes | None = detect_format(path).ome_xml(path)
        return text


@checked_call
def read_frame_metadata(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """Return the `frame_metadata` of each frame in a dataset that is finished or still being written.

    Parameters
    ----------
    path
        An OME-Zarr (or the group of one image in it), an OME-TIFF (a file, or the folder of a set), or a scratch
        store.

    Returns
    -------
    list of dict
        One dict per frame with metadata, image by image, with these keys and those of the frame:

        - ``index``: the index of the frame by axis, the same in every format: ``{"t": 1, "c": 0, "p": "a"}``. A
          position has its name, as in the coordinates of views (``"A1/f0"`` on a plate). It is called ``index_`` if
          any frame has a key ``index``.
        - ``storage_index``: the index in the image, in storage order without y and x; in OME-TIFF the three indices of
          T, C and Z in DimensionOrder, slowest first.
        - ``image``: in a dataset of several images, the number of the image in ``read(path).images``. Omitted if any
          frame has a key ``image``.

        For an index that was written twice, the later frame is listed.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    UnsupportedError
        If `path` is none of these. InvalidFileError if it is damaged, or not safe to read.
    """
    frames = indexed_frames(path)
    taken = {key for *_, frame in frames for key in frame}
    key = "index"
    while key in taken:
        key += "_"
    several = len({image for image, *_ in frames}) > 1 and "image" not in taken
    return [
        {key: index, **frame, **({"image": image} if several else {})}
        for image, index, frame in frames
    ]


def indexed_frames(path: str | PathLike[str]) -> list[IndexedFrame]:
    """Return image number, index by axis and metadata of each frame; see `read_frame_metadata`."""
    path = resolve_entry_file(path_or_url(path))
    row = detect_format(path)
    with guard_reader(path), parse_once():
        by_image = row.frame_metadata(path)
        index_of = frame_index(row, path)
        return [
            (number, index_of(number, frame["storage_index"]), frame)
            for number, (_, frames) in enumerate(by_image)
            for frame in frames
        ]


def frame_metadata_by_image(path: str | PathLike[str]) -> FramesByImage:
    """Return frame metadata by image: the path of its group in OME-Zarr, otherwise its number."""
    path = resolve_entry_file(path_or_url(path))
    with guard_reader(path):
        return detect_format(path).frame_metadata(path)
