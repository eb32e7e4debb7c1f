"""Arguments that several commands have, and the conversion of their text to values."""

from __future__ import annotations

import argparse
import os
import re
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from ome_writers import OMEWritersError, SettingsError
from ome_writers.toolkit import COMPRESSIONS, TIFF_COMPRESSIONS, ZARR_COMPRESSIONS, engine_rows
from ome_writers_tools.cli.command import CommandError, UsageError

MAX_WORKERS = 1000
_MAX_COUNT = 10**9
_MAX_SIDE = 10**6  # pixels
_MAX_DIGITS = 20


def add_dataset_argument(
    parser: ArgumentParser, metavar: str = "PATH", *, remote: bool = False
) -> None:
    """Add the path of one dataset; `remote`: or its URL."""
    parser.add_argument(
        "path",
        type=dataset_path,
        metavar=metavar,
        help=f"an OME-Zarr directory{' or its URL' * remote}, an OME-TIFF file or its directory",
    )


def add_frame_options(parser: ArgumentParser, *, default: str | None) -> None:
    """Add ``--frame`` (None without a default) and ``--dtype``."""
    hint = f"(default: {default})" if default else "as in 2048x2048"
    parser.add_argument(
        "--frame",
        type=frame_size,
        default=default,
        metavar="HxW",
        help=f"height and width of a frame in pixels {hint}",
    )
    parser.add_argument(
        "--dtype", default="uint16", help="numpy dtype of the pixels (default: uint16)"
    )


def add_storage_options(parser: ArgumentParser, *, tiff: bool = True) -> None:
    """Add ``--compression``, ``--chunk`` and ``--shard`` of a dataset that is made from another.

    Without `tiff`, it is always an OME-Zarr.
    """
    of_tiff = f"; for OME-TIFF: {', '.join(TIFF_COMPRESSIONS)}" if tiff else ""
    parser.add_argument(
        "--compression",
        choices=tuple(COMPRESSIONS if tiff else ZARR_COMPRESSIONS),
        help=f"for OME-Zarr: {', '.join(ZARR_COMPRESSIONS)}{of_tiff} "
        "(default: that of SOURCE from Zarr to Zarr, else none)",
    )
    parser.add_argument(
        "--chunk",
        type=axis_sizes,
        default={},
        metavar="AXES",
        help="chunk size, as in t=16,y=512,x=512 (default: that of SOURCE, or one frame)",
    )
    parser.add_argument(
        "--shard", type=axis_sizes, default={}, metavar="AXES", help="chunks per shard, as in t=64"
    )


def backend_names() -> tuple[str, ...]:
    """Return the names of the engines that write files."""
    return tuple(row.name for row in engine_rows().values() if row.format != "scratch")


def camera_noise(text: str) -> Any:
    """Return the `CameraNoise` of ``offset=100,gain=0.5``."""
    from ome_writers import CameraNoise

    try:
        values = dict(part.split("=", 1) for part in text.split(","))
        return CameraNoise(**{name.strip(): float(value) for name, value in values.items()})
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a noise as in offset=100,gain=0.5,read_noise=1.6: {error}"
        ) from None


def tile_size(text: str) -> Any:
    """Return ``512``, ``512,256``, ``none`` or ``auto`` as a setting of `OmeTiffFormat.tile`."""
    from ome_writers import OmeTiffFormat

    words = {"none": None, "auto": "auto"}
    try:
        if text in words:
            return words[text]
        y, x = text.split(",") if "," in text else (text, text)
        return OmeTiffFormat(tile=(int(y), int(x))).tile
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not the size of a tile, as in 512 or 512,256 (y,x): {error}"
        ) from None


def add_disk_option(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--disk",
        type=Path,
        default=Path(),
        metavar="PATH",
        help="a directory on the disk to measure (default: the current one)",
    )


def dataset_path(text: str) -> Path:
    """Return a path or URL; refuse an empty one (an unset shell variable), which would be the current directory."""
    from ome_writers.toolkit import path_or_url

    try:
        return path_or_url(nonempty(text))
    except OMEWritersError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def nonempty(text: str) -> str:
    """Return a path or pattern unchanged unless it is empty."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; `.` is the current directory")
    return text


def frame_size(text: str) -> tuple[int, int]:
    """Return height and width of ``2048x2048``."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text.strip().lower())
    sides = (_decimal(match[1]), _decimal(match[2])) if match else (0, 0)
    if not all(1 <= side <= _MAX_SIDE for side in sides):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HEIGHTxWIDTH with sides of at most {_MAX_SIDE:,} pixels, as in 2048x2048"
        )
    return sides


def format_name(path: Path) -> str:
    """Return the format that the suffix of an output path selects; raise UsageError if there is none."""
    from ome_writers.toolkit import inferred_format

    fields, known = inferred_format(str(path))
    if not known:
        raise UsageError(f"{path}: the suffix does not select a format; use .ome.zarr or .ome.tiff")
    return fields["name"]


def output_path(text: str) -> Path:
    """Return the local path of a dataset to write; URLs and names of foreign image formats are usage errors."""
    from ome_writers.toolkit import foreign_ending, read_root_path

    try:
        path = read_root_path(text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if ending := foreign_ending(path):
        raise argparse.ArgumentTypeError(
            f"{text!r} ends in {ending!r}, a format that ome-writers does not write; "
            "use .ome.zarr or .ome.tiff"
        )
    return Path(path)


def positive(text: str) -> float:
    """Return a number above 0 and at most a billion, which is more than clocks and cameras need."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number <= _MAX_COUNT:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a positive number of at most {_MAX_COUNT:,}"
        )
    return number


def positive_count(text: str, limit: int = _MAX_COUNT) -> int:
    """Return an integer from 1 to `limit`."""
    count = _decimal(text)
    if not 1 <= count <= limit:
        raise argparse.ArgumentTypeError(f"{text!r} is not an integer from 1 to {limit:,}")
    return count


def worker_count(text: str) -> int:
    """Return a number of threads or processes."""
    return positive_count(text, MAX_WORKERS)


def _decimal(text: str) -> int:
    """Return a number of a few digits, otherwise 0: Python refuses to convert thousands of digits."""
    text = text.strip()
    return int(text) if text.isdecimal() and len(text) <= _MAX_DIGITS else 0


def axis_sizes(text: str) -> dict[str, int]:
    """Return the sizes of ``t=16,y=512`` by axis."""
    shape = {}
    for word in text.split(","):
        name, _, count = word.partition("=")
        if not name.strip() or not 1 <= _decimal(count) <= _MAX_COUNT:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a list of AXIS=SIZE, as in t=16,y=512"
            )
        if name.strip() in shape:
            raise argparse.ArgumentTypeError(f"{text!r} contains axis {name.strip()} twice")
        shape[name.strip()] = int(count)
    return shape


def camera_dtype(text: str) -> str:
    """Return numpy's name of a dtype; raise UsageError if numpy or cameras do not have it."""
    import numpy as np

    try:
        dtype = np.dtype(text)
    except TypeError:
        raise UsageError(f"--dtype: {text!r} is not a numpy dtype; try uint16") from None
    if dtype.kind not in "uif":
        raise UsageError(f"--dtype: {dtype} is not a camera's pixel type; try uint8 or uint16")
    return str(dtype.name)


def writable_directory(path: Path) -> Path:
    """Return the directory to measure; raise CommandError if it does not exist or is not writable."""
    if not path.is_dir():
        raise CommandError(f"--disk: {path} is not a directory; name one on the disk to measure")
    if not os.access(path, os.W_OK):
        raise CommandError(f"--disk: no permission to write to {path}; name another directory")
    return path
