"""Segment frames with scikit-image while they are recorded, and show the masks over the image in napari."""

from __future__ import annotations

import importlib.util
import sys

if not all(importlib.util.find_spec(name) for name in ("napari", "skimage", "PyQt6")):
    print('This example needs: pip install "napari[pyqt6]" scikit-image pymmcore-plus')
    sys.exit()

import napari
import numpy as np
from pymmcore_plus import CMMCorePlus
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication
from skimage.filters import gaussian, threshold_otsu
from skimage.measure import label

import ome_writers
from ome_writers_napari import add_live

TIMES = 12
app = QApplication([])
core = CMMCorePlus()
core.loadSystemConfiguration()  # without an argument: the demo microscope
core.setProperty("Camera", "Mode", "Fluorescent Beads")
core.setProperty("Camera", "BeadSize", 9)
core.setProperty("Camera", "BeadDensity", 30)
height, width = core.getImageHeight(), core.getImageWidth()


def segment(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return the numbers of the bright spots."""
    smooth = gaussian(image.astype("float32"), sigma)
    return label(smooth > threshold_otsu(smooth)).astype("uint16")


viewer = napari.Viewer(title="beads.ome.zarr", show=True)
viewer.window.resize(900, 640)
with ome_writers.create_stream(
    root_path="beads.ome.zarr",
    dimensions=ome_writers.dims_from_standard_axes({"t": TIMES, "y": height, "x": width}),
    dtype="uint16",
    compression="blosc-zstd",
) as stream:
    masks = stream.derive("beads", dtype="uint16", function=segment, parameters={"sigma": 2})
    add_live(viewer, stream)
    for t in range(TIMES):
        core.setXYPosition(4 * t, 2 * t)
        core.waitForDevice(core.getXYStageDevice())
        image = core.snap()
        stream.append(image)
        masks.append(segment(image, sigma=2))
        app.processEvents()

labels = ome_writers.open("beads.ome.zarr/labels/beads")
print(f"beads.ome.zarr: {TIMES} frames, {int(labels[-1].max())} beads in the last one")
if "--close" in sys.argv:
    QTimer.singleShot(3000, app.quit)
napari.run()
