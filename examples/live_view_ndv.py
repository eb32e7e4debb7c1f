"""Live view: show an acquisition in an ndv window while it is written to disk."""

from __future__ import annotations

import importlib.util
import sys

if importlib.util.find_spec("ndv") is None:
    print('This example needs a viewer: pip install "ndv[pyqt,vispy]" pymmcore-plus')
    sys.exit()

import ndv
import useq
from pymmcore_plus import CMMCorePlus
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

app = QApplication([])
core = CMMCorePlus()
core.loadSystemConfiguration()  # without an argument: the demo microscope
core.setProperty("Camera", "OnCameraCCDXSize", 512)

sequence = useq.MDASequence(
    axis_order="tcz",
    time_plan={"interval": 1, "loops": 30},
    channels=[{"config": "DAPI", "exposure": 20}, {"config": "FITC", "exposure": 20}],
    z_plan={"range": 8, "step": 2},
)
viewers: list[ndv.ArrayViewer] = []


def open_window() -> None:
    """Open a viewer on the live view of the acquisition that has started."""
    view = core.mda.get_view()
    viewer = ndv.ArrayViewer(view)
    view.coords_changed.connect(viewer.data_wrapper.dims_changed)  # emitted in the GUI thread
    viewer.display_model.channel_mode = "composite"
    viewer.widget().resize(900, 800)
    viewer.widget().setWindowTitle("live.ome.zarr")
    viewer.show()
    viewers.append(viewer)


def follow(image: object, event: useq.MDAEvent) -> None:
    """Move the sliders to the newest frame."""
    if viewers:
        index = {axis: i for axis, i in event.index.items() if axis != "c"}
        viewers[0].display_model.current_index.update(index)


core.mda.events.sequenceStarted.connect(open_window)
core.mda.events.frameReady.connect(follow)
if "--close" in sys.argv:
    core.mda.events.sequenceFinished.connect(lambda: QTimer.singleShot(1000, app.quit))

core.run_mda(sequence, output="live.ome.zarr")
app.exec()
print(f"live.ome.zarr: {viewers[0].data_wrapper.data}")
