"""Checks of shapes and counts from a file, before memory is allocated for them."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from ome_writers.errors import InvalidFileError

MAX_IMAGES = 100_000
"""Maximum number of images in a dataset, for writing and reading."""
MAX_FRAMES = 20_000_000
"""Maximum number of frames whose indices are listed individually, which takes about 100 bytes each."""
_MAX_DIMENSIONS = 32  # limit of numpy before 2.0
_MAX_EXTENT = 2**63 - 1


def check_shape(shape: Any, name: object, *, axes: int | None = None) -> tuple[int, ...]:
    """Return a shape as a tuple. `name` begins the error message; without `axes`, 2 to 32 axes are allowed.

    Raises InvalidFileError if it is not a list of `axes` integers from 0 to 2**63 - 1.
    """
    if not isinstance(shape, (list, tuple)):
        raise InvalidFileError(
            f"{name}: the shape must be a list of integers, got {short_repr(shape)}."
        )
    if axes is None and not 2 <= len(shape) <= _MAX_DIMENSIONS:
        raise InvalidFileError(
            f"{name}: the shape has {len(shape)} axes; 2 to {_MAX_DIMENSIONS} are supported."
        )
    if axes is not None and len(shape) != axes:
        raise InvalidFileError(f"{name}: the shape must have {axes} axes, got {len(shape)}.")
    for extent in shape:
        check_count(extent, f"{name}: an extent")
    return tuple(shape)


def check_chunk_shape(chunk: Any, name: object, *, axes: int) -> tuple[int, ...]:
    """Return the shape of chunks or shards; see `check_shape`.

    Raises InvalidFileError if it is not a list of `axes` integers greater than 0.
    """
    shape = check_shape(chunk, name, axes=axes)
    if 0 in shape:
        raise InvalidFileError(f"{name}: the shape {short_repr(list(shape))} contains 0.")
    return shape


def check_count(count: Any, name: object, maximum: int = _MAX_EXTENT, *, minimum: int = 0) -> int:
    """Return a count, given as an integer or as text.

    Raises InvalidFileError if it is not an integer from `minimum` to `maximum`.
    """
    try:
        number = int(count) if isinstance(count, str) else count
    except ValueError:
        number = None
    if type(number) is not int or not minimum <= number <= maximum:
        raise InvalidFileError(
            f"{name} must be an integer from {minimum} to {maximum:,}, got {short_repr(count)}."
        )
    return number


def check_distinct(paths: Collection[str], name: object) -> None:
    """Raise InvalidFileError for a list of images that is too long or has duplicates."""
    check_count(len(paths), f"{name}: the number of images", MAX_IMAGES)
    if len(set(paths)) != len(paths):
        raise InvalidFileError(f"{name} lists an image more than once.")


def check_memory(nbytes: int | Iterable[int], name: object) -> int:
    """Return a size in bytes, given as a number or as extents and item size.

    Raises InvalidFileError if it is more than half of the memory available to this process.
    """
    total = nbytes if isinstance(nbytes, int) else math.prod(nbytes)
    limit = memory_bytes() // 2
    if total > limit:
        raise InvalidFileError(
            f"{name} would need {_gib(total)} of memory; the limit on this machine is {_gib(limit)}."
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


def memory_bytes() -> int:
    """Return the machine's memory, or the limit set by ``ulimit -v`` if that is less."""
    physical = _physical_bytes()
    if sys.platform != "win32":
        import resource

        soft = resource.getrlimit(resource.RLIMIT_AS)[0]
        if soft != resource.RLIM_INFINITY:
            return min(physical, soft)
    return physical


def short_repr(value: object, most: int = 100) -> str:
    """Return `repr(value)` with at most so many characters, for a message."""
    try:
        text = repr(value)
    except ValueError:  # an int with more digits than Python converts
        return "a huge number"
    return text if len(text) <= most else f"{text[:most]}..."
