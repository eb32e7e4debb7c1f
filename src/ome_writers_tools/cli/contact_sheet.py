"""Contact sheets: pictures of positions, channels and time points in rows and columns, saved as PNG."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ome_writers import Channel, OutputExistsError
from ome_writers.toolkit import atomic_write, ome_symbol
from ome_writers_tools.cli.thumbnails import Color, Display, blend, displays, scale_bar, thumbnail

Label = tuple[str, Color]
PlaneReader = Callable[[int, int, int], NDArray[Any]]
"""Returns the plane of a position, time point and channel, by their numbers."""

_MAX_COLUMNS = 8
_SMALL_PX, LARGE_PX = 160, 256  # longer side of a picture; large if there are at most eight
_NAMED_WELL_PX = 60  # wells from this size on contain their name
_GAP_PX = 6
_MARGIN_PX = 110  # left of the pictures: row labels
_HEADER_PX = 58  # above the pictures: title and column labels
_FOOTER_PX = 30  # below: scale bar and channel names
BACKGROUND, INK, FAINT, EMPTY = (17, 19, 24), (238, 240, 244), (150, 156, 168), (70, 76, 88)


@dataclass(frozen=True)
class SheetRow:
    """One row of pictures of shape (y, x, 3), with the labels on its left; None is an empty cell."""

    name: str
    label: Label
    pictures: Sequence[NDArray[np.uint8] | None]


@dataclass(frozen=True)
class Sheet:
    """The content of a sheet."""

    # the pictures, and the label of each column
    rows: Sequence[SheetRow]
    columns: Sequence[Label]
    legend: Sequence[Label]  # texts below the pictures: names of the channels in their colors
    zoom: float  # pixels of a picture per pixel of the dataset
    margin_px: int = _MARGIN_PX  # width of the labels of the rows


def contact_sheet(
    names: Sequence[str],
    times: Sequence[int],
    channels: Sequence[Channel],
    read_plane: PlaneReader,
    *,
    titles: Sequence[str] = (),
    max_rows: int | None = None,
) -> Sheet:
    """Return the sheet of an image or a collection; `titles` are those of the columns of `times`.

    A row is a channel of a position, below a composite of its channels, and a column a time point. With one time
    point, a row is a position, and its columns are the composite and the channels.
    """
    if not names or not times:
        return Sheet((), (), (), 1.0)
    numbers = range(len(channels))
    groups = [[*numbers]] * (len(channels) > 1) + [[number] for number in numbers]
    across = len(times) == 1 and len(channels) > 1
    per_position = 1 if across else len(groups)
    shown = names if max_rows is None else names[: -(-max_rows // per_position)]
    pictures = len(shown) * len(times) * len(groups)
    box = LARGE_PX if pictures <= _MAX_COLUMNS else _SMALL_PX
    first = read_plane(0, times[0], 0)
    planes = [
        [[thumbnail(read_plane(p, t, c), box) for c in numbers] for t in times]
        for p in range(len(shown))
    ]
    shown_as = displays(channels, [[at[c] for row in planes for at in row] for c in numbers])

    def picture(p: int, t: int, group: Sequence[int]) -> NDArray[np.uint8]:
        return blend([planes[p][t][c] for c in group], [shown_as[c] for c in group])

    labels = [_label([shown_as[c] for c in group]) for group in groups]
    if across:
        rows = [
            SheetRow(name, ("", INK), [picture(p, 0, group) for group in groups])
            for p, name in enumerate(shown)
        ]
        columns = labels
    else:
        rows = [
            SheetRow(name, label, [picture(p, t, group) for t in range(len(times))])
            for p, name in enumerate(shown)
            for group, label in zip(groups, labels, strict=True)
        ]
        columns = [(title, FAINT) for title in titles or [f"t = {t}" for t in times]]
    return Sheet(rows[:max_rows], columns, (), box / max(first.shape[:2]))


def _label(shown_as: Sequence[Display]) -> Label:
    (first, *others) = shown_as
    return ("composite", INK) if others else (first.name, first.color)


def sheet_times(times: int) -> list[int]:
    """Return the time points of the columns: all, or `_MAX_COLUMNS` evenly spaced ones with the first and last."""
    if times <= _MAX_COLUMNS:
        return list(range(times))
    return [round(n * (times - 1) / (_MAX_COLUMNS - 1)) for n in range(_MAX_COLUMNS)]


def draw_sheet(
    sheet: Sheet,
    title: str,
    path: str | PathLike[str],
    *,
    pixel_size: tuple[float, str] | None = None,
    overwrite: bool = False,
) -> None:
    """Save a sheet as a PNG (requires pillow).

    `pixel_size`, for the scale bar, is that of the dataset with its unit (NGFF name).

    Raises OutputExistsError if `path` exists and `overwrite` is False.
    """
    from PIL import Image, ImageDraw, ImageFont

    drawn = [p for row in sheet.rows for p in row.pictures if p is not None]
    cell_y = max((p.shape[0] for p in drawn), default=_SMALL_PX)
    cell_x = max((p.shape[1] for p in drawn), default=_SMALL_PX)
    step_x, step_y, left = cell_x + _GAP_PX, cell_y + _GAP_PX, sheet.margin_px
    large, small = (ImageFont.load_default(points) for points in (18, 13))
    width = max(
        left + len(sheet.columns) * step_x + _GAP_PX, round(large.getlength(title)) + 4 * _GAP_PX
    )
    bottom = _HEADER_PX + len(sheet.rows) * step_y
    picture = Image.new("RGB", (width, bottom + _FOOTER_PX), BACKGROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((_GAP_PX * 2, _GAP_PX * 2), title, fill=INK, font=large)
    for n, (text, color) in enumerate(sheet.columns):
        draw.text((left + n * step_x, _HEADER_PX - 18), text, fill=_readable(color), font=small)
    for n, row in enumerate(sheet.rows):
        top = _HEADER_PX + n * step_y
        draw.text((_GAP_PX * 2, top), row.name[:14], fill=INK, font=small)
        draw.text((_GAP_PX * 2, top + 18), row.label[0][:14], _readable(row.label[1]), font=small)
        for column, pixels in enumerate(row.pictures):
            at = (left + column * step_x, top)
            if pixels is None:
                draw.rectangle((*at, at[0] + cell_x - 1, at[1] + cell_y - 1), outline=EMPTY)
            else:
                picture.paste(Image.fromarray(pixels), at)
            if sheet.legend and cell_x >= _NAMED_WELL_PX:
                name, fill = (
                    row.name + sheet.columns[column][0],
                    INK if pixels is not None else EMPTY,
                )
                draw.text(
                    (at[0] + 4, at[1] + 2),
                    name,
                    fill,
                    font=small,
                    stroke_width=1,
                    stroke_fill=BACKGROUND,
                )
    x = float(left)
    if pixel_size is not None:
        length, bar_px = scale_bar(pixel_size[0] / sheet.zoom, max(cell_x / 2, 40))
        draw.rectangle((x, bottom + 10, x + bar_px, bottom + 14), fill=INK)
        unit = ome_symbol(pixel_size[1]) or pixel_size[1]
        text = f"{length:g} {unit.replace('µ', 'u')}"  # pillow's font does not have a µ
        draw.text((x + bar_px + 8, bottom + 4), text, fill=INK, font=small)
        x += bar_px + small.getlength(text) + 32
    for text, color in sheet.legend:
        draw.text((x, bottom + 4), text, fill=_readable(color), font=small)
        x += small.getlength(text) + 16
    content = io.BytesIO()
    picture.save(content, format="PNG")
    _store(content.getvalue(), Path(path), overwrite=overwrite)


def _readable(color: Color) -> Color:
    """Return a color that is bright enough for text on the background: pure blue is not."""
    red, green, blue = (value + (255 - value) * 2 // 5 for value in color)
    return (red, green, blue)


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
