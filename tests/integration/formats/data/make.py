"""Writes the OME-Zarr 0.6 datasets in this folder: ``python make.py``, with ngff-zarr 0.50 and ome-zarr-py 0.21."""

from __future__ import annotations

import ngff_zarr
import numpy as np
import ome_zarr

DATA = np.arange(2 * 3 * 8 * 8, dtype="uint16").reshape(2, 3, 8, 8)
SCALE = {"c": 1.0, "z": 2.0, "y": 0.5, "x": 0.5}
UNITS = dict.fromkeys("zyx", "micrometer")

image = ngff_zarr.to_ngff_image(
    DATA,
    dims=list("czyx"),
    scale=SCALE,
    translation={"c": 0.0, "z": 1.0, "y": 10.0, "x": 20.0},
    axes_units=UNITS,
    name="ngff",
)
multiscales = ngff_zarr.to_multiscales(image, scale_factors=[2])
ngff_zarr.to_ngff_zarr("ngff-zarr-0.50.ome.zarr", multiscales, version="0.6")

ome_zarr.OMEZarrMultiscale(
    ome_zarr.OMEZarrImage(DATA, "czyx", scale=SCALE, axes_units=UNITS, name="cells"),
    scale_factors=[2],
    channel_names=["DAPI", "FITC"],
    channel_colors=["0000FF", "00FF00"],
).to_ome_zarr("ome-zarr-py-0.21.ome.zarr", version="0.6")
