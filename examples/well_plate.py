"""Write two fields of view in each of three wells of a 24-well plate, and read the plate metadata."""

from __future__ import annotations

import numpy as np
import zarr

from ome_writers import AcquisitionSettings, Dimension, Plate, Position, create_stream

fields = [
    Position(name=f"fov{field}", plate_row=row, plate_column=column)
    for row, column in (("A", "1"), ("A", "2"), ("D", "6"))
    for field in range(2)
]
settings = AcquisitionSettings(
    root_path="plate.ome.zarr",
    dimensions=[
        Dimension(name="p", type="position", coords=fields),
        Dimension(name="c", coords=["DAPI", "GFP"]),
        Dimension(name="y", count=64),
        Dimension(name="x", count=64),
    ],
    dtype="uint16",
    plate=Plate.from_standard_wells(24),
)

with create_stream(settings) as stream:
    for number in range(settings.num_frames or 0):
        stream.append(np.full((64, 64), number, np.uint16))

plate = zarr.open_group("plate.ome.zarr", mode="r")
for well in plate.attrs["ome"]["plate"]["wells"]:
    images = plate[well["path"]].attrs["ome"]["well"]["images"]
    print(f"well {well['path']}: fields {[image['path'] for image in images]}")
