"""Ratio and speed of each compression of OME-Zarr on one core, for three camera-like images, as a Markdown table.

``python -m benchmarks.codec_table``. Times are CPU times of the thread, so that other work on the machine matters less.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ome_writers.codecs import COMPRESSIONS
from ome_writers.storage.zarr import Codec

_SIDE = 2048
_SECONDS = 1.0  # of each measurement

Image = NDArray[np.uint16]


def images() -> dict[str, Image]:
    """Return the images by name: uint16, 2048x2048, synthetic."""
    draw = np.random.default_rng(0)
    y, x = np.mgrid[:_SIDE, :_SIDE]
    illumination = 1 - 0.3 * ((y - _SIDE / 2) ** 2 + (x - _SIDE / 2) ** 2) / (_SIDE / 2) ** 2 / 2
    cells = _cells(draw, 300)
    return {
        # 12 bits, gain 0.25 counts per electron, most of the full well used
        "bright field": _camera(draw, 8000 * illumination * (1 - 0.2 * (cells > 0)), 0.25),
        # gain 2 counts per electron: a few photons per pixel beside the read noise
        "dim fluorescence": _camera(draw, 2 + 20 * (cells > 0), 2.0),
        "labels": cells,
    }


def _camera(draw: np.random.Generator, electrons: NDArray[np.float64], gain: float) -> Image:
    """Return shot noise and a read noise of 1.6 electrons, on an offset of 100 counts."""
    noisy = draw.poisson(electrons) + draw.normal(0, 1.6, electrons.shape)
    return np.clip(np.rint(100 + gain * noisy), 0, 65535).astype(np.uint16)


def _cells(draw: np.random.Generator, count: int) -> Image:
    """Return discs with numbers."""
    labels = np.zeros((_SIDE, _SIDE), np.uint16)
    radius = 40
    disc = np.add.outer(*(2 * [np.arange(-radius, radius) ** 2])) < radius**2
    for number, (top, left) in enumerate(draw.integers(0, _SIDE - 2 * radius, (count, 2)), start=1):
        labels[top : top + 2 * radius, left : left + 2 * radius][disc] = number
    return labels


def measure(compression: str, image: Image) -> tuple[float, float]:
    """Return the ratio, and uncompressed bytes per second of one core."""
    codec = Codec(compression, image.dtype)
    size = len(codec.encode(image))
    rounds, start = 0, time.thread_time()
    while (elapsed := time.thread_time() - start) < _SECONDS:
        codec.encode(image)
        rounds += 1
    return image.nbytes / size, rounds * image.nbytes / elapsed


def main() -> None:
    found = images()
    print("| compression | " + " | ".join(found) + " |")
    print("|---" * (len(found) + 1) + "|")
    for row in COMPRESSIONS.values():
        if row.zarr:
            with ThreadPoolExecutor(1) as worker:  # in the main thread, Blosc uses all cores
                cells = [*worker.map(partial(measure, row.name), found.values())]
            text = " | ".join(f"{ratio:.2f}, {speed / 1e6:.0f} MB/s" for ratio, speed in cells)
            print(f"| `{row.name}` | {text} |", flush=True)


if __name__ == "__main__":
    main()
