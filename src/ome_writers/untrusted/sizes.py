"""Numbers of a file are checked before memory is reserved for them."""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from ome_writers.errors import InvalidFileError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = [
    "MAX_FRAMES",
    "MAX_IMAGES",
    "check_chunk_shape",
    "check_count",
    "check_distinct",
    "check_memory",
    "check_shape",
]

MAX_IMAGES = 100_000
"""Images of one dataset, whether written or read; ten times what was tried."""
MAX_FRAMES = 20_000_000
"""Frames whose places are listed one by one, which takes some 100 bytes each."""
_MAX_DIMENSIONS = 32  # of a numpy array before 2.0
_MAX_EXTENT = 2**63 - 1


def check_shape(shape: Any, name: object, *, axes: int | None = None) -> tuple[int, ...]:
    """Return the shape of an array that a document contains.

    Parameters
    ----------
    shape
        What the document contains.
    name
        What has this shape, as the start of an error.
    axes
        How many entries it must have; None for any number from 2 to 32.

    Raises
    ------
    InvalidFileError
        If it is not a list of so many whole numbers from 0 to 2**63 - 1.
    """
    if not isinstance(shape, (list, tuple)):
        raise InvalidFileError(f"{name}: its shape is {_short(shape)}, not a list of numbers.")
    if axes is None and not 2 <= len(shape) <= _MAX_DIMENSIONS:
        raise InvalidFileError(
            f"{name}: its shape has {len(shape)} axes; 2 to {_MAX_DIMENSIONS} are readable."
        )
    if axes is not None and len(shape) != axes:
        raise InvalidFileError(f"{name}: its shape has {len(shape)} axes, {axes} are needed.")
    for extent in shape:
        check_count(extent, f"{name}: an extent")
    return tuple(shape)


def check_chunk_shape(chunk: Any, name: object, *, axes: int) -> tuple[int, ...]:
    """Return the shape of chunks or shards that a document contains; see `check_shape`.

    Raises
    ------
    InvalidFileError
        If it is not a list of `axes` whole numbers, none of them 0.
    """
    shape = check_shape(chunk, name, axes=axes)
    if 0 in shape:
        raise InvalidFileError(f"{name}: its shape {_short(list(shape))} contains 0.")
    return shape


def check_count(count: Any, name: object, most: int = _MAX_EXTENT, *, least: int = 0) -> int:
    """Return a number of a document that counts something.

    Raises
    ------
    InvalidFileError
        If it is not a whole number from `least` to `most`.
    """
    try:
        number = int(count) if isinstance(count, str) else count
    except ValueError:
        number = None
    if type(number) is not int or not least <= number <= most:
        raise InvalidFileError(
            f"{name} is {_short(count)}; a whole number from {least} to {most:,} is needed."
        )
    return number


def check_distinct(paths: Collection[str], name: object) -> None:
    """Refuse a list of images that is too long, or names one twice.

    Raises
    ------
    InvalidFileError
        If it does.
    """
    check_count(len(paths), f"{name}: the number of images", MAX_IMAGES)
    if len(set(paths)) != len(paths):
        raise InvalidFileError(f"{name} names one image several times.")


def check_memory(nbytes: int | Iterable[int], name: object) -> int:
    """Return how many bytes something takes (given as such, or by extents and item size).

    Raises
    ------
    InvalidFileError
        If this is more than half of the memory that this process can have.
    """
    total = nbytes if isinstance(nbytes, int) else math.prod(nbytes)
    most = _memory_bytes() // 2
    if total > most:
        raise InvalidFileError(
            f"{name} would take {_gib(total)} of memory; {_gib(most)} are allowed on this machine."
        )
    return total


def _gib(nbytes: int) -> str:
    return f"{nbytes / 2**30:.1f} GiB" if nbytes < 2**60 else "more than 1,000,000,000 GiB"


@cache
def _physical_bytes() -> int:
    if sys.platform == "win32":
        import ctypes

        total = ctypes.c_ulonglong()
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(total))
        return total.value * 1024 or 2**33
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return 2**33


def _memory_bytes() -> int:
    """Return the machine's memory, or what ``ulimit -v`` leaves of it."""
    most = _physical_bytes()
    if sys.platform != "win32":
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            return min(most, soft)
    return most


def _short(value: object) -> str:
    try:
        shown = repr(value)
    except ValueError:  # an int of more digits than Python prints
        return "an immense number"
    return shown if len(shown) <= 100 else f"{shown[:100]}..."
