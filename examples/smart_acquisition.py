"""Smart (event-driven) microscopy: events come from a queue; frames are stored at the index of their MDAEvent."""

from __future__ import annotations

from queue import Queue

import numpy as np
import useq
from pymmcore_plus import CMMCorePlus

from ome_writers import Dimension
from ome_writers_pymmcore import MDAWriter

core = CMMCorePlus()
core.loadSystemConfiguration()
core.setProperty("Camera", "OnCameraCCDXSize", 128)
core.setProperty("Camera", "OnCameraCCDYSize", 128)

# Acquire the first channel; where the image is bright, acquire the second one as well.
events: Queue[useq.MDAEvent | None] = Queue()
brightness: dict[int, float] = {}


@core.mda.events.frameReady.connect
def decide(image: np.ndarray, event: useq.MDAEvent) -> None:
    """Put the next event into the queue, or None to end the acquisition."""
    t, c = event.index["t"], event.index["c"]
    brightness[t] = float(image[:32, :32].mean())  # of a corner
    if c == 0 and brightness[t] > np.median(list(brightness.values())):
        events.put(useq.MDAEvent(index={"t": t, "c": 1}, channel="FITC", exposure=5))
    elif t < 9:
        events.put(useq.MDAEvent(index={"t": t + 1, "c": 0}, channel="DAPI", exposure=5))
    else:
        events.put(None)


writer = MDAWriter(
    "smart.ome.zarr",
    dimensions=[
        Dimension(name="t", count=None),
        Dimension(name="c", coords=["DAPI", "FITC"]),
        Dimension(name="y", count=128),
        Dimension(name="x", count=128),
    ],
)
events.put(useq.MDAEvent(index={"t": 0, "c": 0}, channel="DAPI", exposure=5))
core.mda.run(iter(events.get, None), output=writer)

print(writer.result())
movie = writer.view()
for c, name in enumerate(("DAPI", "FITC")):
    print(f"{name}: {''.join('#' if movie[t, c].any() else '.' for t in range(len(movie)))}")
