"""Draws a contact sheet: one row a position and channel, one column a time point, as a PNG."""

from __future__ import annotations

import io
import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ome_writers.errors import OutputExistsError
from ome_writers.storage.files import atomic_write
from ome_writers.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from numpy.typing import NDArray

    from ome_writers.views import StreamView

__all__ = ["SheetRow", "draw_sheet", "refuse_existing", "rows_of_view", "spread"]

THUMBNAIL = 160  # pixels, both ways
GAP = 6
MARGIN = 110  # room for the names of the rows
HEAD = 58  # room for the title and the numbers of the columns
COLUMNS = 8
BACKGROUND, INK, FAINT = (17, 19, 24), (238, 240, 244), (150, 156, 168)
TINTS = ((120, 170, 255), (110, 235, 140), (255, 120, 120), (255, 210, 110))


@dataclass(frozen=True)
class SheetRow:
    """One row of a sheet.

    Attributes
    ----------
    name, channel
        What stands before it.
    tint
        The number of its colour.
    planes
        One a column: (y, x), or (y, x, 3) for RGB.
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
    """Save a sheet as a PNG (pillow must be installed).

    Each row has one contrast, from the darkest thousandth to the brightest, so that its columns can be compared.

    Raises
    ------
    OutputExistsError
        If there is a file at `path` and `overwrite` is False.
    """
    from PIL import Image, ImageDraw, ImageFont

    step = THUMBNAIL + GAP
    large, small = (ImageFont.load_default(points) for points in (18, 13))
    width = max(MARGIN + len(columns) * step + GAP, round(large.getlength(title)) + 4 * GAP)
    sheet = Image.new("RGB", (width, HEAD + len(rows) * step + GAP), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP * 2, GAP * 2), title, fill=INK, font=large)
    for n, label in enumerate(columns):
        draw.text((MARGIN + n * step, HEAD - 18), label, fill=FAINT, font=small)
    for n, row in enumerate(rows):
        top = HEAD + n * step
        tint = TINTS[row.tint % len(TINTS)]
        draw.text((GAP * 2, top), row.name[:14], fill=INK, font=small)
        draw.text((GAP * 2, top + 18), row.channel[:14], fill=tint, font=small)
        for column, pixels in enumerate(_colour([_thumbnail(p) for p in row.planes], tint)):
            sheet.paste(Image.fromarray(pixels), (MARGIN + column * step, top))
    content = io.BytesIO()
    sheet.save(content, format="PNG")
    _store(content.getvalue(), Path(path), overwrite=overwrite)


def refuse_existing(picture: Path, *, overwrite: bool) -> None:
    """Raise OutputExistsError if `picture` exists and may not be replaced; a link counts as existing."""
    if not overwrite and (picture.exists() or picture.is_symlink()):
        raise OutputExistsError(
            f"{picture} exists and is not replaced. Choose another name, or set overwrite=True to replace it."
        )


def _store(content: bytes, picture: Path, *, overwrite: bool) -> None:
    if overwrite:
        atomic_write(picture, content)
        return
    try:
        with picture.open("xb") as file:
            file.write(content)
    except FileExistsError:  # made by another process since `refuse_existing` looked
        refuse_existing(picture, overwrite=False)
        raise


def rows_of_view(view: StreamView, *, most: int) -> tuple[list[SheetRow], list[str]]:
    """Return the rows (up to `most`) and the names of the columns that show a view.

    A row is a position and channel, a column a time point (up to eight, evenly spread); along z and every other axis
    the middle is shown. Positions of one name get their number before it.
    """
    sizes = dict(zip(view.dims, view.shape, strict=True))
    coords = view.coords
    times = spread(sizes.get("t", 1))
    middle = {dim: size // 2 for dim, size in sizes.items() if dim not in ("p", "t", "c")}
    pairs = ((p, c) for p in range(sizes.get("p", 1)) for c in range(sizes.get("c", 1)))
    positions = coords["p"][:most] if "p" in sizes else [""]
    names = [printable(str(name)) for name in positions]
    if "p" in sizes and len(set(coords["p"])) < len(coords["p"]):  # those of a plate's fields
        names = [f"{p}: {name}" for p, name in enumerate(names)]
    rows = []
    for p, c in itertools.islice(pairs, most):
        at = {**middle, "p": p, "c": c}
        planes = tuple(_plane(view, {**at, "t": t}) for t in times)
        label = coords["c"][c] if "c" in sizes else ""
        rows.append(
            SheetRow(
                names[p], f"c = {c}" if isinstance(label, int) else printable(str(label)), c, planes
            )
        )
    return rows, [f"t = {t}" for t in times]


def spread(times: int) -> list[int]:
    """Spread at most `COLUMNS` columns over the time points, the first and last included."""
    if times <= COLUMNS:
        return list(range(times))
    return [round(n * (times - 1) / (COLUMNS - 1)) for n in range(COLUMNS)]


def _plane(view: StreamView, index: dict[str, int]) -> NDArray[Any]:
    frame = 3 if view.dims[-1] == "s" else 2
    return view[tuple(index.get(dim, 0) for dim in view.dims[:-frame])]


def _thumbnail(plane: NDArray[Any]) -> NDArray[np.float64]:
    """Return a plane as float64 of shape (THUMBNAIL, THUMBNAIL[, 3]), blocks averaged."""
    from PIL import Image

    if plane.ndim == 3:
        return np.stack([_thumbnail(plane[..., i]) for i in range(3)], axis=-1)
    real = np.abs(plane) if np.iscomplexobj(plane) else plane
    floating = Image.fromarray(real.astype(np.float32))
    small = floating.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.nan_to_num(np.asarray(small, np.float64))


def _colour(
    planes: Sequence[NDArray[np.float64]], tint: tuple[int, int, int]
) -> list[NDArray[np.uint8]]:
    """Turn planes into colours (y, x, 3) of uint8 with one contrast for all."""
    if not planes:
        return []
    low, high = np.percentile(np.stack(planes), (0.1, 99.9))
    spread = max(high - low, 1e-9)
    lit = [np.clip((plane - low) / spread, 0, 1) for plane in planes]
    shades = (np.array(tint, np.float64), 255.0)
    return [
        (p * shades[1] if p.ndim == 3 else p[..., None] * shades[0]).astype(np.uint8) for p in lit
    ]
