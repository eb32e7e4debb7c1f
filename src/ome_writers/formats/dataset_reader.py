"""`read`: what a dataset contains, in any format, as one model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.formats.detection import detect_format
from ome_writers.formats.ometiff.entry_file import resolve_entry_file
from ome_writers.formats.registry import FORMATS
from ome_writers.untrusted import guard_reader

if TYPE_CHECKING:
    from collections.abc import Iterable
    from os import PathLike

    from ome_writers.dataset import DatasetSpec

__all__ = ["dataset_files", "dataset_ome_xml", "read"]


def read(path: str | PathLike[str]) -> DatasetSpec:
    """Return images, levels, axes, channels, positions and status of a dataset; no pixel is read.

    Parameters
    ----------
    path
        An OME-Zarr 0.5 or 0.6 (a directory or an ``.ozx`` file), an OME-TIFF file or a folder with the files of one
        OME-TIFF, of any program, also while it is being written.

    Raises
    ------
    FileNotFoundError
        If there is nothing at `path`.
    UnsupportedError
        If it is of neither format; InvalidFileError if it is damaged, or not safe to read.
    """
    path = resolve_entry_file(Path(path))
    row = FORMATS[detect_format(path)]
    with guard_reader(path):
        return row.parse(path)


def dataset_files(path: Path) -> Iterable[Path]:
    """Return the files of a dataset; see `read`."""
    path = resolve_entry_file(path)
    return FORMATS[detect_format(path)].files(path)


def dataset_ome_xml(path: Path) -> bytes | None:
    """Return the OME-XML of a dataset, wherever it is stored; None for an OME-Zarr without OME-XML. See `read`."""
    path = resolve_entry_file(path)
    with guard_reader(path):
        text: bytes | None = FORMATS[detect_format(path)].ome_xml(path)
        return text
