"""Segment the frames of Micro-Manager's demo camera while they are recorded; the masks are labels of the dataset."""

from __future__ import annotations

import numpy as np
from pymmcore_plus import CMMCorePlus

import ome_writers

core = CMMCorePlus()
core.loadSystemConfiguration()  # without an argument: the demo microscope
core.setExposure(5)
height, width = core.getImageHeight(), core.getImageWidth()


def segment(image: np.ndarray, threshold: float) -> np.ndarray:
    """Return the vertical stripes of the demo image, numbered from the left.

    With scikit-image: ``skimage.measure.label(image > threshold)``.
    """
    bright = image > threshold
    column = bright.mean(axis=0) > 0.5
    number = np.cumsum(np.diff(column, prepend=False) & column)
    return (bright * number).astype("uint16")


with ome_writers.create_stream(
    root_path="segmented.ome.zarr",
    dimensions=ome_writers.dims_from_standard_axes({"t": 3, "y": height, "x": width}),
    dtype="uint16",
    pyramid="mean",
) as stream:
    cells = stream.derive(
        "cells", dtype="uint16", function=segment, parameters={"threshold": "mean"}
    )
    brightest = stream.project("max", axis="t")
    for _ in range(3):
        image = core.snap()
        stream.append(image)
        cells.append(segment(image, image.mean()))

labels = ome_writers.open("segmented.ome.zarr/labels/cells")
assert labels.shape == (3, height, width)
assert labels[...].max() > 1
assert ome_writers.open("segmented.ome.zarr/derived/max_t").shape == (height, width)
levels = ome_writers.read("segmented.ome.zarr/labels/cells").images[0].levels
print(f"segmented.ome.zarr: 3 frames, masks of {labels.dtype} at {len(levels)} resolution levels")
