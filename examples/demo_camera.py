"""Run a useq sequence on Micro-Manager's demo camera with pymmcore-plus, straight to OME-Zarr."""

from __future__ import annotations

import numpy as np
import useq
import zarr
from pymmcore_plus import CMMCorePlus

core = CMMCorePlus()
core.loadSystemConfiguration()  # without an argument: the demo microscope

sequence = useq.MDASequence(
    axis_order="tpcz",
    time_plan={"interval": 0, "loops": 2},
    stage_positions=[(0, 0, 0), (300, 0, 0)],
    channels=[{"config": "DAPI", "exposure": 5}, {"config": "FITC", "exposure": 5}],
    z_plan={"range": 4, "step": 2},
)

delivered = {}


@core.mda.events.frameReady.connect
def keep(image: np.ndarray, event: useq.MDAEvent) -> None:
    """Remember each frame by its place, to compare it with what is on disk."""
    index = event.index
    delivered[index["p"], index["t"], index["c"], index["z"]] = image.copy()


core.mda.run(sequence, output="camera.ome.zarr")

for (position, *index), image in delivered.items():
    on_disk = zarr.open_array(f"camera.ome.zarr/{position}/0", mode="r")
    assert np.array_equal(on_disk[tuple(index)], image)
print(f"{len(delivered)} frames of the demo camera are in camera.ome.zarr, read back equal")
