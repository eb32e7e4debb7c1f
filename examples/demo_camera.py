"""Run a useq sequence on Micro-Manager's demo camera with pymmcore-plus, to OME-Zarr and to OME-TIFF."""

from __future__ import annotations

import numpy as np
import useq
from pymmcore_plus import CMMCorePlus

import ome_writers

core = CMMCorePlus()
core.loadSystemConfiguration()  # without an argument: the demo microscope

sequence = useq.MDASequence(
    axis_order="tpcz",
    time_plan={"interval": 0, "loops": 2},
    stage_positions=[(0, 0, 0), (300, 0, 0)],
    channels=[{"config": "DAPI", "exposure": 5}, {"config": "FITC", "exposure": 5}],
    z_plan={"range": 4, "step": 2},
)

delivered: list[tuple[dict[str, int], np.ndarray]] = []


@core.mda.events.frameReady.connect
def keep(image: np.ndarray, event: useq.MDAEvent) -> None:
    """Remember each frame and its place, to compare it with what is on disk."""
    delivered.append((dict(event.index), image.copy()))


# Several positions are a collection of images in OME-Zarr, and a folder of files in OME-TIFF.
for output, found in (("camera.ome.zarr", "camera.ome.zarr"), ("camera.ome.tiff", "camera")):
    delivered.clear()
    core.mda.run(sequence, output=output)

    on_disk = ome_writers.open(found)
    for index, image in delivered:
        place = tuple(index[axis] for axis in on_disk.dims[:-2])
        assert np.array_equal(on_disk[place], image)
    print(f"{len(delivered)} frames of the demo camera are in {found}, read back equal")
