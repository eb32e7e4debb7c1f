"""Acquire two fields of view in each of three wells of a 96-well plate, and read the plate metadata."""

from __future__ import annotations

import useq
import zarr
from pymmcore_plus import CMMCorePlus

core = CMMCorePlus()
core.loadSystemConfiguration()
core.setProperty("XY", "Velocity", 1e6)  # by default the demo stage is as slow as a real one

sequence = useq.MDASequence(
    stage_positions=useq.WellPlatePlan(
        plate="96-well",
        a1_center_xy=(0, 0),
        selected_wells=([0, 0, 2], [0, 1, 11]),
        well_points_plan={"rows": 1, "columns": 2, "fov_width": 512},
    ),
    channels=[{"config": "DAPI", "exposure": 5}, {"config": "FITC", "exposure": 5}],
)
core.mda.run(sequence, output="microscope-plate.ome.zarr")

root = zarr.open_group("microscope-plate.ome.zarr", mode="r")
plate = root.attrs["ome"]["plate"]
visited = {well["path"] for well in plate["wells"]}
for row in plate["rows"]:
    wells = [f"{row['name']}/{column['name']}" for column in plate["columns"]]
    print(row["name"], " ".join("O" if well in visited else "." for well in wells))

for well in plate["wells"]:
    for field in root[well["path"]].attrs["ome"]["well"]["images"]:
        image = root[f"{well['path']}/{field['path']}"]
        transformations = image.attrs["ome"]["multiscales"][0]["datasets"][0][
            "coordinateTransformations"
        ]
        y_x = transformations[-1]["translation"][-2:]
        print(f"{well['path']}/{field['path']}: {image['0'].shape} at {y_x}")
