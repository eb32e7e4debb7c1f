"""Three named stage positions per time point; each position is a separate image."""

from __future__ import annotations

import numpy as np
import zarr

from ome_writers import AcquisitionSettings, Dimension, Position, create_stream

settings = AcquisitionSettings(
    root_path="positions.ome.zarr",
    dimensions=[
        Dimension(name="t", count=2),
        Dimension(
            name="p",
            type="position",
            coords=[
                Position(name="embryo", x_coord=120.0, y_coord=-40.0),
                Position(name="tail", x_coord=310.5, y_coord=-42.0),
                Position(name="background", x_coord=900.0, y_coord=0.0),
            ],
        ),
        Dimension(name="z", count=3, scale=1.5, unit="micrometer"),
        Dimension(name="y", count=64, scale=0.2, unit="micrometer"),
        Dimension(name="x", count=64, scale=0.2, unit="micrometer"),
    ],
    dtype="uint8",
)

with create_stream(settings) as stream:
    for number in range(settings.num_frames or 0):
        stream.append(np.full((64, 64), number, np.uint8))

collection = zarr.open_group("positions.ome.zarr", mode="r")
for path in collection["OME"].attrs["ome"]["series"]:
    image = zarr.open_group(f"positions.ome.zarr/{path}", mode="r")
    name = image.attrs["ome"]["multiscales"][0]["name"]
    print(f"image {path}, {name}: {image['0'].shape}")
