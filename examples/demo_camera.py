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
def store_copy(image: np.ndarray, event: useq.MDAEvent) -> None:
    """Store each frame with its index, to compare it with the dataset."""
    delivered.append((dict(event.index), image.copy()))


# With several positions, OME-Zarr is a collection of images and OME-TIFF a set of files.
for output in ("camera.ome.zarr", "camera.ome.tiff"):
    delivered.clear()
    core.mda.run(sequence, output=output)
    dataset = ome_writers.open(output)
    for index, image in delivered:
        key = tuple(index[axis] for axis in dataset.dims[:-2])
        assert np.array_equal(dataset[key], image)
    print(f"{output}: {len(delivered)} frames, read back and compared equal")
