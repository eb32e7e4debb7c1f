"""Validation of OME-Zarr and OME-TIFF datasets. It only reads."""

from __future__ import annotations

from ome_writers.validation.dataset import validate
from ome_writers.validation.report import Check, Validation

__all__ = ["Check", "Validation", "validate"]
