"""Smart (event-driven) microscopy: a live analysis of each image decides what is acquired next."""

from __future__ import annotations

from queue import Queue

import numpy as np
import useq
from pymmcore_plus import CMMCorePlus

from ome_writers import Dimension
from ome_writers_pymmcore import MDAWriter

core = CMMCorePlus()
core.loadSystemConfiguration()
events: Queue[useq.MDAEvent | None] = Queue()
brightness: list[float] = []


@core.mda.events.frameReady.connect
def decide(image: np.ndarray, event: useq.MDAEvent) -> None:
    """Acquire FITC where DAPI is brighter than usual; then go on, or put None to end the run."""
    t, c = event.index["t"], event.index["c"]
    brightness.append(float(image[:32, :32].mean()))
    if c == 0 and brightness[-1] > np.median(brightness):
        events.put(useq.MDAEvent(index={"t": t, "c": 1}, channel="FITC", exposure=5))
    else:
        following = useq.MDAEvent(index={"t": t + 1, "c": 0}, channel="DAPI", exposure=5)
        events.put(following if t < 9 else None)


frame = [Dimension(name=name, count=512) for name in "yx"]
channels = Dimension(name="c", coords=["DAPI", "FITC"])
writer = MDAWriter("smart.ome.zarr", dimensions=[Dimension(name="t", count=None), channels, *frame])
events.put(useq.MDAEvent(index={"t": 0, "c": 0}, channel="DAPI", exposure=5))
core.mda.run(iter(events.get, None), output=writer)
print(writer.result())
movie = writer.view()
print("FITC:", "".join("#" if movie[t, 1].any() else "." for t in range(len(movie))))
