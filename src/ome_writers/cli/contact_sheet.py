"""Contact sheets as PNG: one row per position and channel, one column per time point."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.errors import OutputExistsError
from ome_writers.storage import atomic_write
from ome_writers.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from ome_writers.views import StreamView

_THUMBNAIL_PX = 160  # width and height
_GAP_PX = 6
_MARGIN_PX = 110  # left of the thumbnails: row labels
_HEADER_PX = 58  # above the thumbnails: title and column labels
_MAX_COLUMNS = 8
BACKGROUND, INK, FAINT = (17, 19, 24), (238, 240, 244), (150, 156, 168)
TINTS = ((120, 170, 255), (110, 235, 140), (255, 120, 120), (255, 210, 110))


@dataclass(frozen=True)
class SheetRow:
    """One row of a sheet.

    Attributes
    ----------
    name, channel
        The row's labels.
    tint
        Index of its colour, modulo the number of colours.
    planes
        One per column, of shape (y, x), or (y, x, 3) for RGB.
    """

    name: str
    channel: str
    tint: int
    planes: tuple[NDArray[Any], ...]


def draw_sheet(
    rows: Sequence[SheetRow],
    columns: Sequence[str],
    title: str,
    path: str | PathLike[str],
    *,
    overwrite: bool = False,
) -> None:
    """Save a sheet as a PNG (requires pillow).

    The columns of a row share one contrast range, the 0.1 to 99.9 percentiles, so that they can be compared.

    Raises
    ------
    OutputExistsError
        If `path` exists and `overwrite` is False.
    """
    from PIL import Image, ImageDraw, ImageFont

    step = _THUMBNAIL_PX + _GAP_PX
    large, small = (ImageFont.load_default(points) for points in (18, 13))
    width = max(
        _MARGIN_PX + len(columns) * step + _GAP_PX, round(large.getlength(title)) + 4 * _GAP_PX
    )
    sheet = Image.new("RGB", (width, _HEADER_PX + len(rows) * step + _GAP_PX), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP_PX * 2, _GAP_PX * 2), title, fill=INK, font=large)
    for n, label in enumerate(columns):
        draw.text((_MARGIN_PX + n * step, _HEADER_PX - 18), label, fill=FAINT, font=small)
    for n, row in enumerate(rows):
        top = _HEADER_PX + n * step
        tint = TINTS[row.tint % len(TINTS)]
        draw.text((_GAP_PX * 2, top), row.name[:14], fill=INK, font=small)
        draw.text((_GAP_PX * 2, top + 18), row.channel[:14], fill=tint, font=small)
        for column, pixels in enumerate(_colour([_thumbnail(p) for p in row.planes], tint)):
            sheet.paste(Image.fromarray(pixels), (_MARGIN_PX + column * step, top))
    content = io.BytesIO()
    sheet.save(content, format="PNG")
    _store(content.getvalue(), Path(path), overwrite=overwrite)


def refuse_existing(picture: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError if `picture` exists (a dangling link too) and `overwrite` is False."""
    if not overwrite and (picture.exists() or picture.is_symlink()):
        raise OutputExistsError(
            f"{picture} already exists. Choose another name, or pass overwrite=True to replace it."
        )


def _store(content: bytes, picture: Path, *, overwrite: bool) -> None:
    if overwrite:
        atomic_write(picture, content)
        return
    try:
        with picture.open("xb") as file:
            file.write(content)
    except FileExistsError:  # created by another process after the first check
        refuse_existing(picture, overwrite=False)
        raise


def rows_of_view(view: StreamView, *, max_rows: int) -> tuple[list[SheetRow], list[str]]:
    """Return the rows (up to `max_rows`) and the column labels of a view.

    A row is a position and channel, a column a time point (up to eight, evenly spaced). Along z and every other axis
    the middle plane is shown.
    """
    sizes = dict(zip(view.dims, view.shape, strict=True))
    coords = view.coords
    times = sheet_times(sizes.get("t", 1))
    middle = {dim: size // 2 for dim, size in sizes.items() if dim not in ("p", "t", "c")}
    pairs = ((p, c) for p in range(sizes.get("p", 1)) for c in range(sizes.get("c", 1)))
    positions = coords["p"][:max_rows] if "p" in sizes else [""]
    names = [printable(str(name)) for name in positions]
    rows = []
    for p, c in itertools.islice(pairs, max_rows):
        at = {**middle, "p": p, "c": c}
        planes = tuple(_plane(view, {**at, "t": t}) for t in times)
        label = coords["c"][c] if "c" in sizes else ""
        rows.append(
            SheetRow(
                names[p], f"c = {c}" if isinstance(label, int) else printable(str(label)), c, planes
            )
        )
    return rows, [f"t = {t}" for t in times]


def sheet_times(times: int) -> list[int]:
    """Return the time points of the columns: all, or `_MAX_COLUMNS` evenly spaced ones with the first and last."""
    if times <= _MAX_COLUMNS:
        return list(range(times))
    return [round(n * (times - 1) / (_MAX_COLUMNS - 1)) for n in range(_MAX_COLUMNS)]


def _plane(view: StreamView, index: dict[str, int]) -> NDArray[Any]:
    frame = 3 if view.dims[-1] == "s" else 2
    return view[tuple(index.get(dim, 0) for dim in view.dims[:-frame])]


def _thumbnail(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Return a plane resampled to float64 of shape (_THUMBNAIL_PX, _THUMBNAIL_PX[, 3])."""
    from PIL import Image

    if plane.ndim == 3:
        return np.stack([_thumbnail(plane[..., i]) for i in range(3)], axis=-1)
    real = np.abs(plane) if np.iscomplexobj(plane) else plane
    floating = Image.fromarray(real.astype(np.float32))
    small = floating.resize((_THUMBNAIL_PX, _THUMBNAIL_PX), Image.Resampling.BOX)
    return np.nan_to_num(np.asarray(small, np.float64))


def _colour(
    planes: Sequence[NDArray[np.float64]], tint: tuple[int, int, int]
) -> list[NDArray[np.uint8]]:
    """Return planes as uint8 colours (y, x, 3) with a common contrast range."""
    if not planes:
        return []
    low, high = np.percentile(np.stack(planes), (0.1, 99.9))
    scaled = [np.clip((plane - low) / max(high - low, 1e-9), 0, 1) for plane in planes]
    colour = np.array(tint, np.float64)
    return [(p * 255.0 if p.ndim == 3 else p[..., None] * colour).astype(np.uint8) for p in scaled]
