"""A hardware-triggered burst: the camera runs freely, and each of its frames triggers the next step of the z stage."""

from __future__ import annotations

import useq
from pymmcore_plus import CMMCorePlus

import ome_writers
from ome_writers_pymmcore import record

core = CMMCorePlus()
core.loadSystemConfiguration()
core.setExposure(2)
core.setProperty("Z", "UseSequences", "Yes")

# The sequence describes the order of the frames: 20 stacks of 5 planes.
sequence = useq.MDASequence(
    time_plan={"interval": 0, "loops": 20}, z_plan={"range": 4, "step": 1}, axis_order="tz"
)
depths = [event.z_pos for event in sequence if event.index["t"] == 0]
core.loadStageSequence("Z", depths)
core.startStageSequence("Z")
try:
    counts = record(core, "stacks.ome.zarr", sequence=sequence, timeout=None)
finally:
    core.stopStageSequence("Z")

print(counts)
stacks = ome_writers.open("stacks.ome.zarr")
print(dict(zip(stacks.dims, stacks.shape, strict=True)))
