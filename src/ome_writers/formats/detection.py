"""Format detection: which format is at a path."""

from __future__ import annotations

import re
from pathlib import Path

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.registry import FormatRow, format_row, format_rows
from ome_writers.untrusted import is_archive, is_remote

_ZARR_2_FILES = (".zattrs", ".zgroup", ".zarray")


def resolve_entry_file(path: Path) -> Path:
    """Return the folder of a set of OME-TIFF files if `path` is its entry file, otherwise `path` itself."""
    if path.suffix.lower() not in (".tiff", ".tif"):
        return path
    from ome_writers.formats.ometiff.entry_file import entry_file_target

    folder = entry_file_target(path)
    return path if folder is None or not folder.is_dir() else folder


def detect_format(path: Path) -> FormatRow:
    """Return the format of the dataset at `path`; a file that no format recognizes is taken for a TIFF.

    Raises FileNotFoundError if `path` does not exist, and UnsupportedError if it is a folder that contains neither
    format; InvalidFileError if it is neither a file nor a folder.
    """
    remote = bool(is_remote(path))
    if remote and is_omezarr(path):
        return format_row("ome-zarr")
    if remote and is_zarr_v2(path):
        return format_row("ome-zarr-0.4")
    if remote:
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} does not exist, or is not an OME-Zarr: the server has neither zarr.json nor .zattrs, .zgroup "
                f"or .zarray there (404 Not Found). Check the URL."
            )
        raise UnsupportedError(
            f"{path} is not an OME-Zarr, which contains zarr.json or .zattrs. If it is a folder of "
            f"datasets, add the name of one. Of remote files, only OME-Zarr is read. Copy it to this disk first."
        )
    if not path.exists():
        folder = path.with_name(re.sub(r"(\.ome)?\.tiff?$", "", path.name, flags=re.IGNORECASE))
        if folder != path and folder.is_dir():
            raise FileNotFoundError(
                f"{path} does not exist, but the folder {folder} does: several positions are a folder of files."
            )
        raise FileNotFoundError(f"{path} does not exist.")
    if not path.is_file() and not path.is_dir():
        raise InvalidFileError(
            f"{path} is neither a file nor a folder, but a FIFO, a device or the like. Only regular files are opened."
        )
    for row in format_rows().values():
        if row.recognizes(path):
            return row
    if path.is_file():
        return format_row("ome-tiff")
    datasets = sorted(f.name for f in path.iterdir() if is_omezarr(f) or is_zarr_v2(f))
    hint = f" It contains {abbreviated_list(datasets)}: name one of them." if datasets else ""
    raise UnsupportedError(f"{path} contains neither an OME-Zarr nor TIFF files.{hint}")


def is_omezarr(path: Path) -> bool:
    return (path / "zarr.json").is_file() or is_archive(path)


def is_zarr_v2(path: Path) -> bool:
    return not is_omezarr(path) and any((path / name).is_file() for name in _ZARR_2_FILES)


def abbreviated_list(names: list[str], most: int = 3) -> str:
    """Return the first names and the number of the others, for a message."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
