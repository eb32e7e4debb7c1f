"""What streams and views show of themselves: one line for `repr`, HTML with a thumbnail for Jupyter."""

from __future__ import annotations

import base64
import io
import threading
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from ome_writers.views.streamview import StreamView

__all__ = ["Summary", "html_of", "line_of"]

_THUMBNAIL = 128  # pixels, the longer side
_MAX_WAIT_S = 1.0  # for a slow disk; without an answer there is no thumbnail
_MAX_CHANNELS = 6  # names in the table


@dataclass(frozen=True)
class Summary:
    """What a stream or a dataset is, beside its pixels.

    Attributes
    ----------
    path
        Where it is stored; empty for memory.
    state
        ``open``, ``failed`` or ``closed`` of a stream; ``writing``, ``complete``, ``cancelled`` or ``failed`` of a
        dataset on disk; empty if not known.
    frames, expected
        How many frames there are and how many are planned; None if not known, or without a planned end.
    """

    path: str = ""
    state: str = ""
    frames: int | None = None
    expected: int | None = None

    @classmethod
    def of(cls, path: Path, state: object, counts: object) -> Summary:
        """Return the summary of a dataset on disk, from facts of any type that its metadata may hold."""
        numbers = counts if isinstance(counts, dict) else {}
        frames, expected = (
            number if isinstance(number := numbers.get(key), int) else None
            for key in ("written", "expected")
        )
        known = state if isinstance(state, str) else ""
        # a writer may not have counted yet
        return cls(str(path), known, frames if frames or known != "writing" else None, expected)

    @property
    def count(self) -> str:
        """The numbers of frames in words; empty if none is known."""
        if self.frames is None:
            return f"{_frames(self.expected)} planned" if self.expected else ""
        if self.expected:
            return f"{self.frames} of {_frames(self.expected)}"
        return _frames(self.frames)


def line_of(kind: str, view: StreamView) -> str:
    """Return path, state, numbers of frames, axes and dtype in one line; never raises."""
    try:
        summary = view.summary()
        axes = ", ".join(
            f"{_printable(dim)}: {n}" for dim, n in zip(view.dims, view.shape, strict=True)
        )
        where = repr(summary.path) if summary.path else ""
        known = ", ".join(filter(None, (_printable(summary.state), summary.count)))
        words = (where, f"{known}," if known else "", f"({axes})", str(view.dtype))
        return f"<{kind} {' '.join(filter(None, words))}>"
    except Exception as error:
        return f"<{kind}, not readable now: {type(error).__name__}>"


def html_of(kind: str, view: StreamView) -> str:
    """Return the same as a table, with a bar of progress and a thumbnail where pillow is installed; never raises.

    The thumbnail is the frame reached last; of z and further axes the middle, of the others the first place. A disk
    that takes longer than a second is not waited for.
    """
    try:
        return _html(kind, view)
    except Exception:
        return f"<pre>{escape(line_of(kind, view))}</pre>"


def _html(kind: str, view: StreamView) -> str:
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
        f'<td style="text-align:left">{escape(_printable(value))}</td></tr>'
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


def _frames(count: int) -> str:
    return "1 frame" if count == 1 else f"{count} frames"


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


def _channels(view: StreamView) -> str:
    names = [name for name in view.coords.get("c", ()) if isinstance(name, str)]
    more = f" and {len(names) - _MAX_CHANNELS} more" if len(names) > _MAX_CHANNELS else ""
    return ", ".join(names[:_MAX_CHANNELS]) + more


def _printable(text: Any) -> str:
    """Return a text from a file without control characters, which a terminal would obey."""
    text = str(text)
    return text if text.isprintable() else repr(text)[1:-1]


def _thumbnail(view: StreamView) -> tuple[str, int, bytes]:
    """Return caption, width on the screen and PNG; the latter is empty without pillow or frame, or of a slow disk."""
    found: list[tuple[str, int, bytes]] = []

    def draw() -> None:
        try:
            found.append(_drawn(view))
        except Exception:  # no pillow, or a dataset that cannot be read at this moment
            return

    thread = threading.Thread(target=draw, name="ome-writers-thumbnail", daemon=True)
    thread.start()
    thread.join(_MAX_WAIT_S)
    return found[0] if found else ("", 0, b"")


def _drawn(view: StreamView) -> tuple[str, int, bytes]:
    from PIL import Image

    index = _shown(view)
    if index is None:
        return "", 0, b""
    pixels = view[tuple(index.values())]
    stride = max(1, max(pixels.shape[:2]) // (2 * _THUMBNAIL))
    pixels = _stretched(pixels[::stride, ::stride])
    image = Image.fromarray(pixels)
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    file = io.BytesIO()
    image.save(file, format="PNG")
    width = _THUMBNAIL * image.width // max(image.size)
    coords = view.coords
    names = ((dim, coords[dim][i] if dim in coords else i) for dim, i in index.items())
    return ", ".join(f"{dim} = {_printable(name)}" for dim, name in names), width, file.getvalue()


def _shown(view: StreamView) -> dict[str, int] | None:
    """Return the index of the frame that is shown; None if there is none yet."""
    reached = view.reached()
    if 0 in reached or 0 in view.shape:
        return None
    index = {}
    for axis, (dim, extent) in enumerate(zip(view.dims, reached, strict=False)):
        first = dim in ("p", "c")
        index[dim] = 0 if first else extent // 2
        if dim == "t" or (axis == 0 and not first):
            index[dim] = extent - 1
    if not view[tuple(index.values())].any():  # the latest place may not be written yet
        index = {
            dim: max(0, i - 1) if i == n - 1 else i
            for (dim, i), n in zip(index.items(), reached, strict=True)
        }
    return index


def _stretched(pixels: NDArray[np.generic]) -> NDArray[np.uint8]:
    """Return pixels as 8 bits, the darkest and brightest thousandth cut off."""
    real = np.abs(pixels) if np.iscomplexobj(pixels) else pixels
    values = np.nan_to_num(real.astype(np.float64), posinf=0, neginf=0)
    low, high = np.percentile(values, (0.1, 99.9))
    return np.asarray(255 * np.clip((values - low) / max(high - low, 1e-9), 0, 1), np.uint8)
