"""The interface between a competitor's module and the worker that times it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray


class RefusedError(Exception):
    """The competitor does not support this workload with the installed libraries; the message is the reason."""


@dataclass(frozen=True)
class Writer:
    """An open writer.

    Parameters
    ----------
    append
        Called with a frame, and with its metadata if the workload has any; the caller overwrites the frame as soon
        as it returns.
    close
        Returns when everything is written.
    read
        Frame number to stored pixels, shape (y, x); called after `close`. None if nothing is stored.
    """

    append: Callable[..., object]
    close: Callable[[], object]
    read: Callable[[int], NDArray[Any]] | None


@dataclass(frozen=True)
class Timing:
    """The result of a program that runs the whole workload itself.

    Parameters
    ----------
    seconds
        From the first frame to the last byte.
    read
        As in `Writer`.
    """

    seconds: float
    read: Callable[[int], NDArray[np.uint16]] | None
