"""What a pixel may be."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["read_dtype"]


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
