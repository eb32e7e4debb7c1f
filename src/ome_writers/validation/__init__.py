"""Validation of OME-Zarr and OME-TIFF datasets. It only reads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.formats import Check as Check
    from ome_writers.validation.dataset import validate as validate
    from ome_writers.validation.report import Validation as Validation
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".dataset": ("validate",),
            ".report": ("Validation",),
            "ome_writers.formats": ("Check",),
        },
    )
