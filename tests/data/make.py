"""Writes the datasets in this folder: ``python make.py``, with ngff-zarr 0.50 and ome-zarr-py 0.21."""

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
other = ome_zarr.OMEZarrMultiscale(
    ome_zarr.OMEZarrImage(DATA, "czyx", scale=SCALE, axes_units=UNITS, name="cells"),
    scale_factors=[2],
    channel_names=["DAPI", "FITC"],
    channel_colors=["0000FF", "00FF00"],
)
for version, suffix in (("0.4", "-v0.4"), ("0.6", "")):
    ngff_zarr.to_ngff_zarr(f"ngff-zarr-0.50{suffix}.ome.zarr", multiscales, version=version)
    other.to_ome_zarr(f"ome-zarr-py-0.21{suffix}.ome.zarr", version=version)
