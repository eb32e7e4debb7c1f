"""What every competitor hands to the stopwatch, and how it says that it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray


class RefusedError(Exception):
    """The competitor does not do this workload, or not with what is installed; says why."""


@dataclass(frozen=True)
class Writer:
    """An open writer.

    Parameters
    ----------
    append
        Takes a frame, and the frame's metadata where the workload has some; the caller overwrites
        the frame as soon as it returns.
    close
        Returns when everything is written.
    read
        Frame number -> what a reader finds at its place, shape (y, x); called after `close`. None
        where nothing is stored.
    """

    append: Callable[..., object]
    close: Callable[[], object]
    read: Callable[[int], NDArray[Any]] | None


@dataclass(frozen=True)
class Timing:
    """What a program that runs the whole workload by itself reports.

    Parameters
    ----------
    seconds
        From the first frame to the last byte.
    read
        As in `Writer`, or None where nothing is stored.
    """

    seconds: float
    read: Callable[[int], NDArray[np.uint16]] | None
