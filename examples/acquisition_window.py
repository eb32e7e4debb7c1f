"""The acquisition window of pymmcore-widgets: press Run; each run is saved to the next free name."""

from __future__ import annotations

import importlib.util
import sys

if importlib.util.find_spec("pymmcore_widgets") is None:
    print("This example needs: pip install pymmcore-widgets PyQt6 'ome-writers[pymmcore]'")
    sys.exit()

import useq
from pymmcore_plus import CMMCorePlus
from pymmcore_widgets import MDAWidget
from qtpy.QtWidgets import QApplication

import ome_writers

app = QApplication([])
core = CMMCorePlus.instance()
core.loadSystemConfiguration()  # without an argument: the demo microscope

widget = MDAWidget(mmcore=core)
widget.setValue(useq.MDASequence(channels=["DAPI", "FITC"], time_plan={"interval": 0, "loops": 3}))
widget.save_info.setValue({"save_dir": ".", "save_name": "run.ome.zarr", "should_save": True})
widget.show()

if "--close" in sys.argv:
    core.mda.events.sequenceFinished.connect(lambda: app.quit())
    widget.control_btns.run_btn.click()
app.exec()
while core.mda.status.phase != "idle":  # the last frames are being written
    app.processEvents()
print(ome_writers.open("run.ome.zarr"))
