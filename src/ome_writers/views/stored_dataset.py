"""Open a dataset on disk, closed or still being written."""

from __future__ import annotations

from functools import lru_cache, partial
from os import PathLike

from ome_writers.formats import detect_format, format_row, resolve_entry_file
from ome_writers.untrusted import guard_reader, path_or_url
from ome_writers.views.streamview import StreamView


def open_dataset(path: str | PathLike[str], *, remember: int = 0, level: int = 0) -> StreamView:
    """Open an OME-Zarr, an OME-TIFF file, or a folder with a set of OME-TIFF files as a read-only view.

    The dataset may still be written, by this process or another: each access reads the current shape and pixels.

    Parameters
    ----------
    path
        Folder of an OME-Zarr 0.4 to 0.6 or its URL (``s3://``, ``gs://``, ``az://``, ``https://``), an OME-TIFF file,
        or the folder of a set; also the other formats that `read` supports.
    remember
        Size in bytes of a cache of decoded chunks, for an OME-Zarr whose chunks contain several planes. Only for a
        dataset that is not being written: cached chunks are not read again.
    level
        Resolution level, 0 for full resolution; `read` lists the levels of each image.

    Returns
    -------
    StreamView
        Its axes are those of `DatasetSpec.dimensions`: of a dataset of this library in acquisition order, otherwise as
        stored, with several images stacked along a first axis ``p``. It can be pickled: as the path and these options.

    Raises
    ------
    FileNotFoundError
        If `path` does not exist.
    UnsupportedError
        If it is not a supported dataset, does not have this level, or no installed reader supports it.
    """
    path = resolve_entry_file(path_or_url(path))
    with guard_reader(path):
        source = format_row(detect_format(path)).open_source(path, remember, level)
    return StreamView.over(source, reopen=partial(_reopen, str(path.absolute()), remember, level))


def _reopen(path: str, remember: int, level: int) -> StreamView:
    """Open a dataset that was pickled as its path. The tasks of one process share the view."""
    stat = path_or_url(path).stat()
    return _opened(path, remember, level, (stat.st_dev, stat.st_ino, stat.st_mtime_ns))


@lru_cache(maxsize=4)
def _opened(path: str, remember: int, level: int, _version: tuple[int, ...]) -> StreamView:
    return open_dataset(path, remember=remember, level=level)


# The public name, as in h5py, tifffile and zarr; the builtin is not used here.
open = open_dataset  # noqa: A001 # see above
