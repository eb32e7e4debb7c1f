"""Format detection: which format is at a path."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ome_writers.errors import InvalidFileError, UnsupportedError
from ome_writers.formats.registry import FormatRow, format_row, iterate_formats
from ome_writers.settings import format_suffixes


def entry_folder(path: Path, *, own: bool = False) -> Path | None:
    """Return the folder of the set of files that `path` is the entry file of, whether it exists or not, otherwise None.

    With `own`, only if this library wrote the entry file.
    """
    entry_target = _entry_target(path.suffix.lower())
    return entry_target(path, own=own) if entry_target and path.is_file() else None


@cache
def _entry_target(suffix: str) -> Callable[..., Path | None] | None:
    """Return `FormatRow.entry_target` of the format with a suffix."""
    name = format_suffixes().get(suffix)
    return None if name is None else format_row(name).entry_target


def resolve_entry_file(path: Path) -> Path:
    """Return the folder of a set of files if `path` is its entry file, otherwise `path` itself."""
    entry_target = _entry_target(path.suffix.lower())
    folder = entry_target(path) if entry_target else None
    return path if folder is None or not folder.is_dir() else folder


def detect_format(path: Path) -> FormatRow:
    """Return the format of the dataset at `path`; a file that no format recognizes is taken for a TIFF.

    Raises FileNotFoundError if `path` does not exist, and UnsupportedError if it is a folder that contains neither
    format; InvalidFileError if it is neither a file nor a folder.
    """
    from ome_writers.untrusted import locate

    for row in iterate_formats():
        if (row.remote or locate(path).is_local) and row.recognizes(path):
            return row
    if not locate(path).is_local:
        raise _not_readable(path)
    if not path.is_file() and not path.is_dir():
        raise _not_found(path)
    if path.is_file():
        return format_row("ome-tiff")
    folders = [row for row in iterate_formats() if row.remote]
    datasets = sorted(f.name for f in path.iterdir() if any(row.recognizes(f) for row in folders))
    hint = f" It contains {abbreviated_list(datasets)}: name one of them." if datasets else ""
    raise UnsupportedError(f"{path} contains neither an OME-Zarr nor TIFF files.{hint}")


def _not_readable(path: Path) -> Exception:
    """Return the error for a URL that is not a dataset."""
    if not path.is_file():
        return FileNotFoundError(
            f"{path} does not exist, or is not an OME-Zarr: the server has neither zarr.json nor .zattrs, .zgroup "
            f"or .zarray there (404 Not Found). Check the URL."
        )
    return UnsupportedError(
        f"{path} is not an OME-Zarr, which contains zarr.json or .zattrs. If it is a folder of "
        f"datasets, add the name of one. Of remote files, only OME-Zarr is read. Copy it to this disk first."
    )


def _not_found(path: Path) -> Exception:
    if path.exists():
        return InvalidFileError(
            f"{path} is neither a file nor a folder, but a FIFO, a device or the like. Only regular files are opened."
        )
    folder = path.with_name(re.sub(r"(\.ome)?\.tiff?$", "", path.name, flags=re.IGNORECASE))
    if folder != path and folder.is_dir():
        return FileNotFoundError(
            f"{path} does not exist, but the folder {folder} does: several positions are a folder of files."
        )
    return FileNotFoundError(f"{path} does not exist.")


def abbreviated_list(names: list[str], most: int = 3) -> str:
    """Return the first names and the number of the others, for a message."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
