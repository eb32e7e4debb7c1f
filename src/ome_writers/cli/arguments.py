"""What several commands ask for: a dataset, JSON, a camera, a disk; and how what was typed is read."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.cli.command import CommandError, UsageError
from ome_writers.errors import SettingsError

if TYPE_CHECKING:
    from argparse import ArgumentParser

__all__ = [
    "ask_dataset",
    "ask_disk",
    "ask_dtype",
    "ask_json",
    "camera_dtype",
    "dataset_path",
    "disk_folder",
    "format_name",
    "frame_size",
    "not_empty",
    "output_path",
    "positive",
    "positive_count",
]


def ask_dataset(parser: ArgumentParser) -> None:
    """Have a command take the PATH of a dataset."""
    parser.add_argument(
        "path",
        type=dataset_path,
        metavar="PATH",
        help="an OME-Zarr folder, an OME-TIFF file or its folder",
    )


def ask_json(parser: ArgumentParser, *, instead_of: str = "a table") -> None:
    """Have a command take ``--json``."""
    parser.add_argument("--json", action="store_true", help=f"print JSON instead of {instead_of}")


def ask_dtype(parser: ArgumentParser) -> None:
    """Have a command take ``--dtype``."""
    parser.add_argument(
        "--dtype", default="uint16", help="dtype of the pixels, as numpy calls it (default: uint16)"
    )


def ask_disk(parser: ArgumentParser) -> None:
    """Have a command take ``--disk``."""
    parser.add_argument(
        "--disk",
        type=Path,
        default=Path(),
        metavar="PATH",
        help="a folder on the disk that is written to (default: the current one)",
    )


def dataset_path(text: str) -> Path:
    """Return the path of a dataset. An empty one, as of a shell variable that is not set, is not the current folder."""
    return Path(not_empty(text))


def not_empty(text: str) -> str:
    """Return a path or pattern as it was typed, unless it is empty."""
    if not text:
        raise argparse.ArgumentTypeError("the path is empty; `.` is the current folder")
    return text


def frame_size(text: str) -> tuple[int, int]:
    """Return height and width of ``2048x2048``."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no HEIGHTxWIDTH, as in 2048x2048")
    return int(match[1]), int(match[2])


def format_name(path: Path) -> str:
    """Return the name of the format that the suffix of an output path stands for.

    Raises
    ------
    UsageError
        If it does not stand for any.
    """
    from ome_writers.settings import inferred_format

    fields, known = inferred_format(str(path))
    if not known:
        raise UsageError(
            f"{path}: its name does not say the format; let it end in .ome.zarr or .ome.tiff"
        )
    return fields["name"]


def output_path(text: str) -> Path:
    """Return the local path of a dataset to write; URLs and names of foreign image formats are usage errors."""
    from ome_writers.settings import foreign_ending, read_root_path

    try:
        path = read_root_path(text)
    except SettingsError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if ending := foreign_ending(path):
        raise argparse.ArgumentTypeError(
            f"{text!r} ends in {ending!r}, a format that ome-writers does not write; let it end in "
            f".ome.zarr or .ome.tiff"
        )
    return Path(path)


def positive(text: str) -> float:
    """Return a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def positive_count(text: str) -> int:
    """Return a whole number above 0."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def camera_dtype(text: str) -> str:
    """Return numpy's name of a dtype.

    Raises
    ------
    UsageError
        If there is none, or no camera has it.
    """
    import numpy as np

    try:
        dtype = np.dtype(text)
    except TypeError:
        raise UsageError(f"--dtype: numpy knows no {text!r}; try uint16") from None
    if dtype.kind not in "uif":
        raise UsageError(f"--dtype: {dtype} is no number of a camera; try uint8 or uint16")
    return str(dtype.name)


def disk_folder(path: Path) -> Path:
    """Return the folder that is measured.

    Raises
    ------
    CommandError
        If there is none, or one that may not be written to.
    """
    if not path.is_dir():
        raise CommandError(f"--disk: {path} is no folder; name one on the disk to measure")
    if not os.access(path, os.W_OK):
        raise CommandError(f"--disk: you may not write to {path}; name another folder on that disk")
    return path
