"""What a pixel may be."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["PIXEL_TYPES", "dtype_of", "read_dtype"]

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
"""Numpy's names of dtypes to those of the type PixelType of the OME schema (2016-06), which has no others."""

_DTYPES = {pixel_type: dtype for dtype, pixel_type in PIXEL_TYPES.items()}


def read_dtype(value: Any) -> str:
    """Return numpy's name of a dtype; ``""`` stands for one that is not known yet.

    Raises
    ------
    ValueError
        If it is none, or none of numbers that a format has a name for.
    """
    if value is None or (isinstance(value, str) and value == ""):
        return ""
    try:
        dtype = np.dtype(value)
    except Exception as error:  # numpy raises what it likes
        raise ValueError(f"Invalid dtype: {value!r}: {error}") from error
    if dtype.kind not in "biufc":
        raise ValueError(f"Invalid dtype: {value!r}: frames hold numbers, not {dtype.name}.")
    if dtype.itemsize > (16 if dtype.kind == "c" else 8):
        raise ValueError(
            f"Invalid dtype: {value!r}: no format holds {dtype.name}. Use float64 or complex128."
        )
    return str(dtype.name)


def dtype_of(pixel_type: str) -> str:
    """Return numpy's name of OME-XML's pixel type; one that the schema does not know stays as it is."""
    return _DTYPES.get(pixel_type, pixel_type)
