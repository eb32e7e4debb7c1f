"""Ragged sequence: planes that are not acquired take no disk space and read as 0."""

from __future__ import annotations

from pathlib import Path

import useq
import zarr
from pymmcore_plus import CMMCorePlus

core = CMMCorePlus()
core.loadSystemConfiguration()

sequence = useq.MDASequence(
    axis_order="ptcz",
    time_plan={"interval": 0, "loops": 6},
    stage_positions=[
        useq.Position(x=0, y=0, name="cells"),
        useq.Position(x=50, y=0, name="control", sequence={"channels": ["DAPI"]}),
    ],
    channels=[
        {"config": "DAPI", "exposure": 2},
        {"config": "FITC", "exposure": 2, "do_stack": False},  # the middle plane only
        {"config": "Cy5", "exposure": 2, "acquire_every": 3},  # every third time point
    ],
    z_plan={"range": 4, "step": 1},
)
core.mda.run(sequence, output="ragged.ome.zarr")

# One line per channel, one block per time point, one sign per plane: '#' was acquired, '.' was not.
for path in zarr.open_group("ragged.ome.zarr/OME").attrs["ome"]["series"]:
    image = zarr.open_group(f"ragged.ome.zarr/{path}")
    metadata = image.attrs["ome"]
    pixels = image["0"]
    print(f"\n{metadata['multiscales'][0]['name']}: {pixels.shape}")
    for c, channel in enumerate(metadata["omero"]["channels"]):
        blocks = [
            "".join("#" if pixels[t, c, z].any() else "." for z in range(pixels.shape[2]))
            for t in range(pixels.shape[0])
        ]
        print(f"  {channel['label']:>5} {' '.join(blocks)}")

frames = len(list(sequence))
size = sum(file.stat().st_size for file in Path("ragged.ome.zarr").rglob("*") if file.is_file())
print(f"\n{frames} frames of {512 * 512 * 2 / 1e6:.1f} MB, {size / 1e6:.1f} MB on disk")
