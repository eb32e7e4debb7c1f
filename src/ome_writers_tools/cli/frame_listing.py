"""The metadata of each frame, as ``ome-writers info --frames`` and ``--csv`` print it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ome_writers import read_frame_metadata
from ome_writers.toolkit import abbreviated_list, frame_columns
from ome_writers_tools.cli.console import Screen
from ome_writers_tools.cli.datasets import Result

MAX_FRAME_ROWS = 50


def frame_listing(path: Path, screen: Screen, *, as_csv: bool, complete: bool) -> Result:
    """Return the metadata of each frame: a table of its first rows, or if `complete` of all; or all as CSV."""
    columns, rows = frame_columns(path)
    if as_csv:
        return Result(
            {"path": str(path), "frames": rows}, lambda: _print_csv(columns, rows, screen)
        )
    frames = read_frame_metadata(path)
    nested = {key for frame in frames for key, value in frame.items() if isinstance(value, dict)}
    shown = [key for key in columns if key.partition(".")[0] not in nested]

    def show() -> None:
        if not frames:
            screen.line(f"{path} does not contain frame metadata")
            return
        first = rows if complete else rows[:MAX_FRAME_ROWS]
        cells = [[_cell(row.get(key)) for key in shown] for row in first]
        screen.table(f"{path}: metadata of {len(frames)} frames", shown, cells)
        if remaining := len(rows) - len(first):
            screen.line(f"  ... and {remaining} more; --all shows them")
        if hidden := sorted(nested - {"index"}):
            screen.line(f"Only with --csv or --json: {abbreviated_list(hidden)}")

    return Result({"path": str(path), "frames": frames}, show)


def _print_csv(columns: Sequence[str], rows: Sequence[dict[str, Any]], screen: Screen) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()})
    screen.line(text.getvalue().rstrip("\n"))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)
