"""Readers, and their verdict on a sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from readers.samples import Sample

    Images = Sequence[np.ndarray[Any, Any]]


class Unavailable(Exception):  # noqa: N818 # not an error: the reader is not installed
    """The reader cannot run here; the message is the reason."""


@dataclass(frozen=True)
class Reader:
    """A third-party program or library.

    Attributes
    ----------
    name
        A row of the table.
    format
        ``zarr`` or ``tiff``.
    read
        Returns the pixels of every image, in order; an empty list if it only validates.
    limits
        Names of samples to what this reader does not support, in one sentence, with the reason.
    read_level
        Returns the pixels of a resolution level, at least 1, of the only image.
    read_derived
        Returns the pixels of labels or a projection, by the path of their group.
    """

    name: str
    format: str
    read: Callable[[Sample], Images]
    limits: Mapping[str, str]
    read_level: Callable[[Sample, int], np.ndarray[Any, Any]] | None = None
    read_derived: Callable[[Sample, str], np.ndarray[Any, Any]] | None = None


@dataclass(frozen=True)
class Verdict:
    """The result: ``ok``, ``valid`` (no pixels compared), ``limit``, ``skip`` or ``FAIL``, with the reason.

    ``full`` means that only full resolution was compared, of a sample with resolution levels; ``images`` that its
    labels and projections were not.
    """

    word: str
    reason: str = ""


def judge(reader: Reader, sample: Sample) -> Verdict:
    """Open a sample with a reader, and compare every pixel."""
    limit = reader.limits.get(sample.name)
    try:
        images = list(reader.read(sample))
        if images and reader.read_level is not None:
            images += [reader.read_level(sample, k + 1) for k in range(len(sample.levels))]
        if images and reader.read_derived is not None:
            images += [reader.read_derived(sample, path) for path in sample.derived]
    except Unavailable as reason:
        return Verdict("skip", str(reason))
    except Exception as error:  # readers may raise any exception
        return _failed(limit, f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")
    if not images:
        return Verdict("valid")
    wanted = [*sample.images.values(), *(sample.levels if reader.read_level else ())]
    wanted += sample.derived.values() if reader.read_derived else ()
    if len(images) != len(wanted):
        return _failed(limit, f"found {len(images)} images, there are {len(wanted)}")
    for number, (found, right) in enumerate(zip(images, wanted, strict=True)):
        if found.squeeze().shape != right.squeeze().shape:
            return _failed(limit, f"image {number} has shape {found.shape}, not {right.shape}")
        if not np.array_equal(found.squeeze(), right.squeeze()):
            return _failed(limit, f"image {number} has wrong pixels")
    if limit:
        return Verdict("FAIL", f"it reads this now: take away the limit {limit!r}")
    if sample.derived and reader.read_derived is None:
        return Verdict("images")
    return Verdict("full" if sample.levels and reader.read_level is None else "ok")


def _failed(limit: str | None, reason: str) -> Verdict:
    return Verdict("limit", limit) if limit else Verdict("FAIL", reason)
