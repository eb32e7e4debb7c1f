"""Run an acquisition in a thread and print the progress of its writer."""

from __future__ import annotations

import time

import useq
from pymmcore_plus import CMMCorePlus

from ome_writers_pymmcore import MDAWriter

core = CMMCorePlus()
core.loadSystemConfiguration()
core.mda.engine.use_hardware_sequencing = False

sequence = useq.MDASequence(
    time_plan={"interval": 0.1, "loops": 10},
    channels=[{"config": "DAPI", "exposure": 5}, {"config": "FITC", "exposure": 5}],
)
writer = MDAWriter("counted.ome.zarr")

thread = core.run_mda(sequence, output=writer)
while thread.is_alive():
    time.sleep(0.25)
    print(writer.progress)
thread.join()

counts = writer.result()  # raises the error of the writer, if any
print(f"done: {counts}")
assert (counts.written, counts.dropped) == (20, 0)
print(f"shape of the last time point: {writer.view()[-1].shape}")
