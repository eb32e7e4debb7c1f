"""What a dataset contains, in any format, as one model; and the metadata of its frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ome_writers.dataset import DatasetSpec
from ome_writers.formats.detection import detect_format
from ome_writers.formats.ometiff.entry_file import resolve_entry_file
from ome_writers.formats.registry import FramesByImage, format_row
from ome_writers.untrusted import check_space, guard_reader, is_remote, member, path_or_url


def read(path: str | PathLike[str]) -> DatasetSpec:
    """Return images, levels, axes, channels, positions and status of a dataset; no pixel is read.

    Parameters
    ----------
    path
        An OME-Zarr 0.4 to 0.6 (a directory or an ``.ozx`` file), an OME-TIFF file or a folder with the files of one
        OME-TIFF, of any program, also while it is being written. An OME-Zarr may also be at a URL: ``s3://``,
        ``gs://``, ``az://`` or ``https://``, with credentials from the environment. Also an ImageJ hyperstack,
        ``.npy``, or a folder of Micro-Manager: NDTiff or image files.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    UnsupportedError
        If it is of none of these formats; InvalidFileError if it is damaged, or not safe to read.
    """
    path = resolve_entry_file(path_or_url(path))
    row = format_row(detect_format(path))
    with guard_reader(path):
        return row.parse(path)


@contextmanager
def local_copy(path: Path) -> Iterator[Path]:
    """Yield a dataset on this disk: `path` itself, or a temporary copy of a remote OME-Zarr.

    Raises UnsupportedError if this disk does not have enough space for the copy, and ListingError if the server does
    not list files; see `referenced_copy`.
    """
    if not is_remote(path):
        yield path
        return
    with TemporaryDirectory(prefix="ome-writers-") as folder:
        copy = Path(folder, path.name)
        objects = [path] if path.is_file() else list(path.rglob("*"))
        check_space(path, sum(item.stat().st_size for item in objects), folder)
        for item in objects:
            item.download(copy if item is path else member(copy, item.relative_to(path).as_posix()))
        yield copy


@contextmanager
def referenced_copy(path: Path) -> Iterator[Path]:
    """Yield a temporary copy of the files of a remote dataset that its metadata refer to; no list is needed."""
    with TemporaryDirectory(prefix="ome-writers-") as folder:
        copy = Path(folder, path.name)
        format_row(detect_format(path)).copy_referenced(path, copy)
        yield copy


def dataset_files(path: Path) -> Iterable[Path]:
    """Return the files of a dataset; see `read`. Raises ListingError if a server does not list them."""
    path = resolve_entry_file(path)
    return format_row(detect_format(path)).files(path)


def dataset_ome_xml(path: Path) -> bytes | None:
    """Return the OME-XML of a dataset, wherever it is stored; None for an OME-Zarr without OME-XML. See `read`."""
    path = resolve_entry_file(path)
    with guard_reader(path):
        text: bytes | None = format_row(detect_format(path)).ome_xml(path)
        return text


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
        One dict per frame with metadata, image by image. ``storage_index`` is its index in the image, in storage order
        without y and x; in OME-TIFF the three indices of T, C and Z in DimensionOrder, slowest first. In a dataset of
        several images, ``image`` is the path of the group in OME-Zarr, otherwise the number of the position; it is
        called ``image_`` if any frame has a key ``image``. For an index that was written twice, the later frame is
        listed.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    UnsupportedError
        If `path` is none of these. InvalidFileError if it is damaged, or not safe to read.
    """
    by_image = frame_metadata_by_image(path)
    if len(by_image) == 1:
        return by_image[0][1]
    key = "image"
    while any(key in frame for _, frames in by_image for frame in frames):
        key += "_"
    return [{**frame, key: image} for image, frames in by_image for frame in frames]


def frame_metadata_by_image(path: str | PathLike[str]) -> FramesByImage:
    """Return frame metadata by image: the path of its group in OME-Zarr, otherwise its number."""
    path = resolve_entry_file(path_or_url(path))
    with guard_reader(path):
        return format_row(detect_format(path)).frame_metadata(path)
