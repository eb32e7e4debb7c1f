"""Gain and offset of a camera, from two frames of a scene that does not change (photon transfer)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ome_writers import CameraNoise, UnsupportedError

_BINS = 64  # of the mean of a pixel
_MIN_PIXELS = 200  # of a bin
_MIN_BINS = 4


def estimate_noise(first: NDArray[np.generic], second: NDArray[np.generic]) -> CameraNoise:
    """Return the noise of a camera from two frames of the same scene.

    Pixels with the same mean of both frames have half the variance of their difference; a line through mean and
    variance has the slope `gain`, and is zero at `offset`. The read noise shifts this offset, and is 0 in the result:
    above the offset both describe the same variance. Saturated pixels and those without light are ignored.

    Raises UnsupportedError if the frames have too few different values.
    """
    pair = np.stack([first, second]).astype(np.float64).reshape(2, -1)
    mean, difference = pair.mean(axis=0), pair[1] - pair[0]
    difference -= np.median(difference)  # of the illumination
    edges = np.unique(np.quantile(mean, np.linspace(0.005, 0.995, _BINS + 1)))
    bins = np.digitize(mean, edges)
    x, y, weights = [], [], []
    for number in range(1, len(edges)):
        chosen = bins == number
        count = int(np.count_nonzero(chosen))
        variance = float(np.var(difference[chosen])) / 2 if count >= _MIN_PIXELS else 0.0
        if variance > 0:
            x.append(float(mean[chosen].mean()))
            y.append(variance)
            weights.append(np.sqrt(count) / variance)
    if len(x) >= _MIN_BINS:
        gain, constant = np.polyfit(x, y, 1, w=weights)
        if gain > 0:
            return CameraNoise(offset=float(-constant / gain), gain=float(gain))
    raise UnsupportedError(
        f"The noise cannot be estimated from {len(x)} groups of pixels with the same mean: the variance must grow with "
        "the mean. Use two frames of a scene with dark and bright regions that does not move, without saturated pixels."
    )
