"""Write a small two-channel time-lapse as OME-Zarr and read it back with zarr-python."""

from __future__ import annotations

import numpy as np
import zarr

from ome_writers import AcquisitionSettings, Channel, Dimension, create_stream

HEIGHT, WIDTH = 128, 160

settings = AcquisitionSettings(
    root_path="first.ome.zarr",
    # Frames arrive in this order: the last axis before y and x changes fastest.
    dimensions=[
        Dimension(name="t", count=5, scale=2.0, unit="second"),
        Dimension(
            name="c",
            coords=[Channel(name="DAPI", color="blue"), Channel(name="FITC", color="lime")],
        ),
        Dimension(name="y", count=HEIGHT, scale=0.1, unit="micrometer"),
        Dimension(name="x", count=WIDTH, scale=0.1, unit="micrometer"),
    ],
    dtype="uint16",
)

camera = np.random.default_rng(0)
frames = [
    camera.integers(0, 4096, (HEIGHT, WIDTH), dtype=np.uint16)
    for _ in range(settings.num_frames or 0)
]

with create_stream(settings) as stream:
    for number, frame in enumerate(frames):
        stream.append(frame, frame_metadata={"delta_t": number * 1.0, "exposure_time": 0.01})

image = zarr.open_array("first.ome.zarr/0", mode="r")
assert np.array_equal(image[3, 1], frames[3 * 2 + 1])
print(f"first.ome.zarr: {image.shape} {image.dtype}, read back and compared equal")
