"""Record a burst straight from the camera's buffer, as fast as the demo camera can deliver."""

from __future__ import annotations

from pymmcore_plus import CMMCorePlus

import ome_writers
from ome_writers_pymmcore import record

core = CMMCorePlus()
core.loadSystemConfiguration()
core.setExposure(1)
core.snapImage()
core.setProperty("Camera", "FastImage", 1)  # the same picture again and again, in no time

counts = record(core, "burst.ome.zarr", n_frames=300)  # shows a bar on a terminal
print(counts)

if counts.dropped:
    print("the disk could not follow: more buffer, a faster disk, or a smaller region of interest")
else:
    print(f"all there: {ome_writers.open('burst.ome.zarr').shape}")

by_the_clock = record(core, "half-a-second.ome.tiff", duration=0.5)
print(f"in half a second: {by_the_clock.written} frames")
