"""Validation of frames, once, at `append`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ome_writers.errors import FrameShapeError, FrameTypeError


def as_frame(
    value: Any, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> np.ndarray[Any, np.dtype[np.generic]]:
    """Return `value` as an array of exactly this shape and dtype, with unchanged pixel values.

    Accepts arrays, memoryviews, and objects with ``__array__`` or the buffer protocol. Big-endian arrays are
    byte-swapped.

    Raises FrameTypeError if `value` is not a numeric array, is masked, or has another dtype; FrameShapeError if it has
    another shape.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise FrameTypeError(
            "A frame may not be a masked array: neither format stores masks. Append frame.filled(0)."
        )
    if isinstance(value, (list, tuple, str, bytes, int, float)) or value is None:
        raise FrameTypeError(
            f"A frame must be an array of dtype {dtype} and shape {shape}, got {type(value).__name__}."
        )
    array = np.asarray(value)
    if array.dtype.newbyteorder("<") != dtype:
        raise FrameTypeError(
            f"A frame of this stream has dtype {dtype}, got {array.dtype}. Convert it with frame.astype"
            f"({dtype.name!r}), or set AcquisitionSettings.dtype to the camera's dtype."
        )
    if array.shape != shape:
        raise FrameShapeError(
            f"A frame of this stream has shape {shape}, got {array.shape}. The last two dimensions of "
            f"AcquisitionSettings.dimensions define the expected (y, x)."
        )
    return array.astype(dtype, copy=False)
