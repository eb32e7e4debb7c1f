"""Two cameras at the same time: each event has one frame per camera, and channels have the cameras' names."""

from __future__ import annotations

import useq
from pymmcore_plus import CMMCorePlus

import ome_writers
from ome_writers_pymmcore import MDAWriter

core = CMMCorePlus()
core.loadSystemConfiguration()
core.unloadDevice("Camera")
for label in ("Left", "Right"):
    core.loadDevice(label, "DemoCamera", "DCam")
    core.initializeDevice(label)
core.loadDevice("Both", "Utilities", "Multi Camera")
core.initializeDevice("Both")
for number, label in enumerate(("Left", "Right"), start=1):
    core.setProperty("Both", f"Physical Camera {number}", label)
core.setCameraDevice("Both")
core.setExposure(5)

sequence = useq.MDASequence(
    time_plan={"interval": 0, "loops": 3},
    channels=["DAPI", "FITC"],
    z_plan={"range": 2, "step": 1},
)
writer = MDAWriter("two-cameras.ome.zarr")
core.mda.run(sequence, output=writer)
print(writer.result())

image = ome_writers.open("two-cameras.ome.zarr")
print(dict(zip(image.dims, image.shape, strict=True)))
(stored,) = ome_writers.read("two-cameras.ome.zarr").images
print(f"channels: {[channel.name for channel in stored.channels]}")
