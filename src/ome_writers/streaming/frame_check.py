"""Is this a frame? Asked once, at the edge."""

from __future__ import annotations

from typing import Any

import numpy as np

from ome_writers.errors import FrameShapeError, FrameTypeError

__all__ = ["as_frame"]


def as_frame(
    value: Any, shape: tuple[int, ...], dtype: np.dtype[np.generic]
) -> np.ndarray[Any, np.dtype[np.generic]]:
    """Return `value` as an array of exactly this shape and dtype, without changing a pixel.

    Arrays, memoryviews and all that offers ``__array__`` or a buffer are taken; another byte order is
    converted.

    Raises
    ------
    FrameTypeError
        If it is no array of numbers, has masked pixels, or another dtype.
    FrameShapeError
        If it has another shape.
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
            f"({dtype.name!r}), or set AcquisitionSettings.dtype to what the camera delivers."
        )
    if array.shape != shape:
        raise FrameShapeError(
            f"A frame of this stream has shape {shape}, got {array.shape}. The last two dimensions of "
            f"AcquisitionSettings.dimensions say what (y, x) to expect."
        )
    return array.astype(dtype, copy=False)
