"""The list of planes without a frame that the OME-XML contains while `close` gives them pixels of zeros.

If the process is killed then, their IFDs are like those of frames.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

KEY = "missing_at_close"
"""Where the list is in the acquisition annotation: image number to the shape of a mask, and runs in storage order."""


def encode(missing: Mapping[int, Mask]) -> dict[str, Any]:
    """Return masks by image number as JSON."""
    return {
        str(number): {"shape": list(m.shape), "runs": _runs(m)} for number, m in missing.items()
    }


def exclude(info: Mapping[str, Any], image: int, found: Mask) -> None:
    """Clear the planes of an image that an annotation lists; what is not a list of such planes is ignored."""
    by_image = info.get(KEY)
    listed = by_image.get(str(image)) if isinstance(by_image, dict) else None
    shape = listed.get("shape") if isinstance(listed, dict) else None
    if (
        not isinstance(shape, list)
        or len(shape) != found.ndim
        or not all(type(n) is int and 0 < n <= m for n, m in zip(shape, found.shape, strict=True))
    ):
        return
    missing = np.zeros(math.prod(shape), bool)
    runs = listed.get("runs") if isinstance(listed, dict) else None
    for run in runs if isinstance(runs, list) else ():
        if isinstance(run, list) and len(run) == 2 and all(type(n) is int and n >= 0 for n in run):
            missing[run[0] : run[0] + run[1]] = True
    found[tuple(map(slice, shape))] &= ~missing.reshape(shape)


def _runs(mask: Mask) -> list[list[int]]:
    """Return [first, count] of each run of True."""
    edges = np.flatnonzero(np.diff(mask.ravel(), prepend=False, append=False))
    runs: list[list[int]] = np.stack([edges[::2], edges[1::2] - edges[::2]], axis=1).tolist()
    return runs
