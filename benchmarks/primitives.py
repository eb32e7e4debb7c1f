"""`python -m benchmarks.primitives`: levels of blosc-zstd, and the reduction to resolution levels, in one thread.

Prints the two tables of the page Performance: ratio and speed of the compression of three kinds of frames, and the
reduction of a frame to three levels. Times are CPU time, each the best of `--seconds`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
from numcodecs import Blosc, blosc
from numpy.typing import NDArray

from ome_writers.downsampling import downsample

SIZE = 2048
METHODS = ("mean", "max", "decimate", "median", "mode")

Frame = NDArray[np.uint16]


def frames() -> dict[str, Frame]:
    """Return a frame of 2048x2048 of each kind."""
    rng = np.random.default_rng(0)
    shape = (SIZE, SIZE)
    noise = rng.normal(0, 2, shape)
    cells = np.zeros(shape)
    spot = np.add.outer(*(np.arange(-48, 48) ** 2,) * 2)
    for y, x in rng.integers(0, SIZE - 96, (400, 2)):
        cells[y : y + 96, x : x + 96] += 400 * np.exp(-spot / 500)
    return {
        "dim: offset 100, Poisson 20, read noise 2": (100 + rng.poisson(20, shape) + noise),
        "cells: Gaussian spots, Poisson, read noise 2": 100 + rng.poisson(cells) + noise,
        "bright field: Poisson 20,000": rng.poisson(20_000, shape),
    }


def best_s(call: Callable[[], object], seconds: float) -> float:
    """Return the least CPU time of a call within so many seconds."""
    end = time.perf_counter() + seconds
    shortest = float("inf")
    while time.perf_counter() < end:
        start = time.thread_time()
        call()
        shortest = min(shortest, time.thread_time() - start)
    return shortest


def print_codecs(seconds: float) -> None:
    blosc.use_threads = False
    print("| frame | ratio, level 1 | ratio, level 3 | MB/s, level 1 | MB/s, level 3 |")
    print("|---|---|---|---|---|")
    for name, values in frames().items():
        frame = values.astype("uint16")
        ratios, speeds = [], []
        for level in (1, 3):
            codec = Blosc("zstd", clevel=level, shuffle=Blosc.SHUFFLE)
            ratios.append(f"{frame.nbytes / len(codec.encode(frame)):.2f}")
            took = best_s(lambda c=codec, f=frame: c.encode(f), seconds)
            speeds.append(f"{frame.nbytes / took / 1e6:.0f}")
        print("|", " | ".join([name, *ratios, *speeds]), "|", flush=True)


def print_reductions(seconds: float) -> None:
    frame = frames()["cells: Gaussian spots, Poisson, read noise 2"].astype("uint16")

    def reduce(method: str) -> None:
        plane = frame
        for _ in range(3):
            plane = downsample([plane], method, (2, 2))

    print("\n| method | CPU time of three levels, ms per frame |\n|---|---|")
    for method in METHODS:
        took = best_s(lambda m=method: reduce(m), seconds)
        print(f"| {method} | {took * 1e3:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    print_codecs(options.seconds)
    print_reductions(options.seconds)
