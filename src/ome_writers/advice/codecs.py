"""How fast this machine compresses a camera-like frame, and how small it gets."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ome_writers.advice.proposal import Codec
from ome_writers.storage.zarr.array_metadata import BLOSC

if TYPE_CHECKING:
    from ome_writers.advice.camera import Camera

__all__ = ["measure_codecs"]

SECONDS = 0.3  # a codec
SIDE = 1024  # pixels of the part of a frame that is compressed: larger ones only take longer


def measure_codecs(camera: Camera) -> tuple[Codec, ...]:
    """Compress a camera-like frame with the codecs that OME-Zarr is written with, on one core."""
    from numcodecs.blosc import SHUFFLE, Blosc

    side = type(camera)(min(SIDE, camera.height), min(SIDE, camera.width), camera.dtype)
    picture = side.picture()
    found = []
    for name, (codec, level) in sorted(BLOSC.items()):
        coder = Blosc(cname=codec, clevel=level, shuffle=SHUFFLE)
        size, rounds, began = 0, 0, time.perf_counter()
        while (took := time.perf_counter() - began) < SECONDS or not rounds:
            size = len(coder.encode(picture))
            rounds += 1
        found.append(Codec(name, rounds * picture.nbytes / took, picture.nbytes / size))
    return tuple(found)
