"""Datasets on disk as the source of views, finished or still growing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.formats import detect_format, resolve_entry_file
from ome_writers.untrusted import guard_reader
from ome_writers.views.streamview import StreamView

if TYPE_CHECKING:
    from os import PathLike

    from ome_writers.views.source import Source

__all__ = ["open_dataset"]


def open_dataset(path: str | PathLike[str], *, remember: int = 0) -> StreamView:
    """Return a view of a dataset: an OME-Zarr, an OME-TIFF, or a folder with a set of OME-TIFF files.

    The dataset may still be written, by this process or another: shapes and pixels are looked up each time.

    Parameters
    ----------
    path
        Folder of an OME-Zarr (0.5), a TIFF file, or the folder of a set.
    remember
        Bytes of decoded chunks to keep for the next planes, where chunks of an OME-Zarr hold several planes. Only
        for a dataset that nobody writes any more: what is kept is not looked up again.

    Returns
    -------
    StreamView
        For an OME-Zarr of this library the axes are those of the settings, in acquisition order. For other
        datasets they are the stored ones, with the images along a first axis ``p`` where there are several.

    Raises
    ------
    FileNotFoundError
        If nothing is there.
    UnsupportedError
        If it is something else, or stored in a way that nothing installed can read.
    """
    path = resolve_entry_file(Path(path))
    with guard_reader(path):
        return StreamView.over(_source(path, remember))


def _source(path: Path, remember: int) -> Source:
    if detect_format(path) == "ome-zarr":
        from ome_writers.views.omezarr import open_zarr

        return open_zarr(path, remember)
    from ome_writers.views.ometiff import open_tiff

    return open_tiff(path)
