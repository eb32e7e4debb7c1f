"""Unbounded acquisition: the first axis has no fixed length, and the array grows."""

from __future__ import annotations

import numpy as np
import zarr

from ome_writers import AcquisitionSettings, Dimension, create_stream

settings = AcquisitionSettings(
    root_path="open-ended.ome.zarr",
    dimensions=[
        Dimension(name="t", count=None),
        Dimension(name="c", coords=["phase", "GFP"]),
        Dimension(name="y", count=64),
        Dimension(name="x", count=64),
    ],
    dtype="uint16",
)
camera = np.random.default_rng(1)
brightest = 0

with create_stream(settings) as stream:
    while brightest < 65_535:  # the condition that ends the experiment
        for _ in ("phase", "GFP"):
            frame = camera.integers(0, 2**16, (64, 64), dtype=np.uint16)
            brightest = max(brightest, int(frame.max()))
            stream.append(frame)

image = zarr.open_array("open-ended.ome.zarr/0", mode="r")
print(f"stopped after {image.shape[0]} time points: {image.shape}")
