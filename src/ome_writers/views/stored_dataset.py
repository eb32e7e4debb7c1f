"""Open a dataset on disk, closed or still being written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.formats import FORMATS, detect_format, resolve_entry_file
from ome_writers.untrusted import guard_reader
from ome_writers.views.streamview import StreamView

if TYPE_CHECKING:
    from os import PathLike

__all__ = ["open_dataset"]


def open_dataset(path: str | PathLike[str], *, remember: int = 0) -> StreamView:
    """Open an OME-Zarr, an OME-TIFF file, or a folder with a set of OME-TIFF files as a read-only view.

    The dataset may still be written, by this process or another: each access reads the current shape and pixels.

    Parameters
    ----------
    path
        Folder of an OME-Zarr 0.5, an OME-TIFF file, or the folder of a set.
    remember
        Size in bytes of a cache of decoded chunks, for an OME-Zarr whose chunks contain several planes. Only for a
        dataset that is not being written: cached chunks are not read again.

    Returns
    -------
    StreamView
        An OME-Zarr of this library has the axes of its settings, in acquisition order. Other datasets have their
        stored axes; several images are stacked along a first axis ``p``.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    UnsupportedError
        If it is not a supported dataset, or no installed reader supports it.
    """
    path = resolve_entry_file(Path(path))
    with guard_reader(path):
        return StreamView.over(FORMATS[detect_format(path)].open_source(path, remember))
