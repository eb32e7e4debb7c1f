"""Representations of streams and views: one line for `repr`, HTML with a thumbnail for Jupyter."""

from __future__ import annotations

import base64
import io
import math
import threading
from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from ome_writers.formats import abbreviated_list
from ome_writers.untrusted import printable
from ome_writers.views.source import LabelledArray, Summary

_THUMBNAIL_PIXELS = 128  # longer side
_THUMBNAIL_TIMEOUT_S = 1.0  # a slow disk: no thumbnail
_MAX_CHANNEL_NAMES = 6


def newest_time_point(view: LabelledArray) -> int | None:
    """Return the index of the newest time point that has all its frames; None without a time axis.

    0 before the first one is complete. Frames are assumed to be acquired time point by time point.
    """
    time = next((i for i, d in enumerate(view.dimensions) if d.type == "time"), None)
    if time is None:
        return None
    summary, extents = view.summary(), list(view.shape[: len(view.dimensions) - 2])
    extent = extents.pop(time)
    frames = math.prod(extents)  # of one time point
    newest = extent - 1
    if summary.growing:
        if frames * extent == summary.expected:  # a growing OME-TIFF has its planned shape
            newest = (summary.frames or 0) // frames - 1
        elif frames > 1:  # the last time point may be incomplete
            newest -= 1
    return max(0, newest)


def summary_line(kind: str, view: LabelledArray) -> str:
    """Return path, state, numbers of frames, axes and dtype in one line; never raises."""
    try:
        summary = view.summary()
        axes = ", ".join(
            f"{printable(dim)}: {n}" for dim, n in zip(view.dims, view.shape, strict=True)
        )
        where = repr(summary.path) if summary.path else ""
        known = ", ".join(filter(None, (printable(summary.state), summary.count)))
        parts = (where, f"{known}," if known else "", f"({axes})", str(view.dtype))
        return f"<{kind} {' '.join(filter(None, parts))}>"
    except Exception as error:
        return f"<{kind}, not readable: {type(error).__name__}>"


def html_summary(kind: str, view: LabelledArray) -> str:
    """Return the same as an HTML table with progress bar and, if pillow is installed, a thumbnail; never raises.

    The thumbnail is the latest time point, the middle of z and other axes, and the first channel and position. It is
    omitted if reading takes longer than a second.
    """
    try:
        return _html(kind, view)
    except Exception:
        return f"<pre>{escape(summary_line(kind, view))}</pre>"


def _html(kind: str, view: LabelledArray) -> str:
    summary, shape, dtype = view.summary(), view.shape, view.dtype
    rows = {
        "path": summary.path or "in memory",
        "state": summary.state,
        "frames": _progress(summary),
        "axes": " × ".join(f"{dim} {n}" for dim, n in zip(view.dims, shape, strict=True)),
        "pixels": f"{dtype}, {_size(shape, dtype)}",
        "channels": _channels(view),
    }
    cells = "".join(
        f'<tr><th style="text-align:left;padding:1px 10px 1px 0">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(printable(value))}</td></tr>'
        for name, value in rows.items()
        if value
    )
    caption, width, picture = _thumbnail(view)
    data = base64.b64encode(picture).decode()
    style = f"width:{width}px;image-rendering:pixelated"
    image = (
        f'<figure style="margin:0 16px 0 0;text-align:center">'
        f'<img alt="thumbnail" style="{style}" src="data:image/png;base64,{data}">'
        f'<figcaption style="font-size:smaller">{escape(caption)}</figcaption></figure>'
        if picture
        else ""
    )
    return (
        f'<div style="display:flex;align-items:flex-start">{image}<div>'
        f"<strong>{escape(kind)}</strong>{_bar(summary)}<table>{cells}</table></div></div>"
    )


def _progress(summary: Summary) -> str:
    percent = (
        f" ({_percent(summary):.0f} %)" if summary.frames is not None and summary.expected else ""
    )
    return summary.count + percent


def _percent(summary: Summary) -> float:
    return min(100.0, 100 * (summary.frames or 0) / (summary.expected or 1))


def _bar(summary: Summary) -> str:
    if summary.frames is None or not summary.expected:
        return ""
    return (
        '<div style="width:240px;height:6px;margin:4px 0;border-radius:3px;background:#8884">'
        f'<div style="width:{_percent(summary):.0f}%;height:6px;border-radius:3px;background:#2a7de1">'
        "</div></div>"
    )


def _size(shape: Sequence[int], dtype: np.dtype[np.generic]) -> str:
    size = float(np.prod(shape, dtype=np.float64)) * dtype.itemsize
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"


def _channels(view: LabelledArray) -> str:
    names = [name for name in view.coords.get("c", ()) if isinstance(name, str)]
    return abbreviated_list(names, _MAX_CHANNEL_NAMES)


def _thumbnail(view: LabelledArray) -> tuple[str, int, bytes]:
    """Return caption, width in pixels and PNG. The PNG is empty without pillow, without a frame, or on time-out."""
    result: list[tuple[str, int, bytes]] = []

    def draw() -> None:
        try:
            result.append(_draw_thumbnail(view))
        except Exception:  # pillow is missing, or the dataset cannot be read at the moment
            return

    thread = threading.Thread(target=draw, name="ome-writers-thumbnail", daemon=True)
    thread.start()
    thread.join(_THUMBNAIL_TIMEOUT_S)
    return result[0] if result else ("", 0, b"")


def _draw_thumbnail(view: LabelledArray) -> tuple[str, int, bytes]:
    from PIL import Image

    index = _thumbnail_index(view)
    if index is None:
        return "", 0, b""
    pixels = view[tuple(index.values())]
    stride = max(1, max(pixels.shape[:2]) // (2 * _THUMBNAIL_PIXELS))
    pixels = _stretch_contrast(pixels[::stride, ::stride])
    image = Image.fromarray(pixels)
    image.thumbnail((_THUMBNAIL_PIXELS, _THUMBNAIL_PIXELS))
    file = io.BytesIO()
    image.save(file, format="PNG")
    width = _THUMBNAIL_PIXELS * image.width // max(image.size)
    coords = view.coords
    names = ((dim, coords[dim][i] if dim in coords else i) for dim, i in index.items())
    return (
        ", ".join(f"{dim} = {printable(str(name))}" for dim, name in names),
        width,
        file.getvalue(),
    )


def _thumbnail_index(view: LabelledArray) -> dict[str, int] | None:
    """Return the index of the frame to show; None if there is no frame yet."""
    reached = view.reached()
    if 0 in reached or 0 in view.shape:
        return None
    index = {}
    for axis, (dim, extent) in enumerate(zip(view.dims, reached, strict=False)):
        first = dim in ("p", "c")
        index[dim] = 0 if first else extent // 2
        if dim == "t" or (axis == 0 and not first):
            index[dim] = extent - 1
    if not view[tuple(index.values())].any():  # the latest frame may not be written yet
        index = {
            dim: max(0, i - 1) if i == n - 1 else i
            for (dim, i), n in zip(index.items(), reached, strict=True)
        }
    return index


def _stretch_contrast(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return 8-bit pixels, with the darkest and brightest 0.1 % clipped."""
    real = np.abs(pixels) if np.iscomplexobj(pixels) else pixels
    values = np.nan_to_num(real.astype(np.float64), posinf=0, neginf=0)
    low, high = np.percentile(values, (0.1, 99.9))
    return np.asarray(255 * np.clip((values - low) / max(high - low, 1e-9), 0, 1), np.uint8)
