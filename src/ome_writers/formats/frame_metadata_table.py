"""Frame metadata as a table: a column per axis and per value."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

from ome_writers.formats.dataset_reader import indexed_frames

if TYPE_CHECKING:
    import pandas


def frame_table(path: str | PathLike[str]) -> pandas.DataFrame:
    """Return the metadata of each frame as a table, with a row per frame and a column per axis and per value.

    The index of the frame comes first (``t``, ``c``, ``p``, ...; see `read_frame_metadata`); an axis is called
    ``index.t`` if a value is called ``t``. The values of a nested dict have columns of their own, as in
    ``mda_event.exposure``. ``frame_table(path).to_csv("frames.csv", index=False)`` writes a file; the command
    ``ome-writers info PATH --csv`` prints the same.

    Raises ImportError without pandas (``pip install pandas``); otherwise as `read_frame_metadata`.
    """
    try:
        import pandas
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise
        raise ImportError(
            "frame_table needs pandas: pip install pandas. Without it, use read_frame_metadata, or "
            "`ome-writers info PATH --csv`."
        ) from error
    columns, rows = frame_columns(path)
    return pandas.DataFrame(rows, columns=columns)


def frame_columns(path: str | PathLike[str]) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the names of the columns, and the rows, which may lack some of them."""
    frames = indexed_frames(path)
    values = [_flat(frame) for *_, frame in frames]
    taken = {key for row in values for key in row}
    images = {image for image, *_ in frames}
    # an index that is the same in several images does not identify the image
    distinct = {(tuple(index.items()), image) for image, index, _ in frames}
    ambiguous = len({index for index, _ in distinct}) < len(distinct)
    columns: dict[str, None] = {}
    rows = []
    for (image, index, _), of_frame in zip(frames, values, strict=True):
        if ambiguous and len(images) > 1:
            index = {"image": image, **index}
        row = {f"index.{axis}" if axis in taken else axis: i for axis, i in index.items()}
        columns |= dict.fromkeys(row)
        rows.append(row | of_frame)
    columns |= dict.fromkeys(key for row in values for key in row)
    return list(columns), rows


def _flat(frame: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of nested dicts in one; without the storage index."""
    found: dict[str, Any] = {}
    for key, value in frame.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{key}.")
        elif prefix or key != "storage_index":
            found[prefix + key] = value
    return found
