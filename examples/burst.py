"""Record a burst from the camera's circular buffer at the demo camera's full speed."""

from __future__ import annotations

from pymmcore_plus import CMMCorePlus

import ome_writers
from ome_writers_pymmcore import record

core = CMMCorePlus()
core.loadSystemConfiguration()
core.setExposure(1)
core.snapImage()
core.setProperty("Camera", "FastImage", 1)  # repeat one image without computing it again

counts = record(core, "burst.ome.zarr", n_frames=300)  # with a progress bar on a terminal
print(counts)

if counts.dropped:
    print(
        "the disk is too slow: use a larger buffer, a faster disk or a smaller region of interest"
    )
else:
    print(f"no frame was dropped: {ome_writers.open('burst.ome.zarr').shape}")

timed = record(core, "half-a-second.ome.tiff", duration=0.5)
print(f"{timed.written} frames in half a second")
