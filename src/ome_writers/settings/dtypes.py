"""Pixel types: numpy dtypes and their names in OME-XML."""

from __future__ import annotations

from typing import Any

import numpy as np

PIXEL_TYPES = {
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "float32": "float",
    "float64": "double",
    "complex64": "complex",
    "complex128": "double-complex",
}
"""Numpy dtype name to PixelType of the OME schema (2016-06)."""

_DTYPES = {pixel_type: dtype for dtype, pixel_type in PIXEL_TYPES.items()}


def read_dtype(value: Any) -> str:
    """Return the numpy name of a dtype; ``""`` for None or an empty string.

    Raises ValueError if `value` is not a dtype, or no format supports it.
    """
    if value is None or (isinstance(value, str) and value == ""):
        return ""
    try:
        dtype = np.dtype(value)
    except Exception as error:  # numpy does not document which exceptions it raises
        from ome_writers.settings.validation_errors import dtype_hint

        hint = dtype_hint(value, PIXEL_TYPES)
        raise ValueError(f"Invalid dtype: {value!r}.{hint}") from error
    if dtype.kind not in "biufc":
        raise ValueError(f"Invalid dtype: {value!r}: pixels must be numbers, not {dtype.name}.")
    if dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise ValueError(
            f"Invalid dtype: {value!r}: no format supports {dtype.name}. Use float64 or complex128."
        )
    return str(dtype.name)


def dtype_of(pixel_type: str) -> str:
    """Return the numpy dtype name of an OME-XML pixel type; unknown ones are returned unchanged."""
    return _DTYPES.get(pixel_type, pixel_type)
