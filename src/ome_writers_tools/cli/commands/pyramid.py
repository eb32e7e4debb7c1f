"""``ome-writers pyramid``: adds resolution levels to an OME-Zarr in place."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import get_args

from ome_writers.toolkit import MAX_LEVELS, Method
from ome_writers_tools.cli.arguments import positive_count
from ome_writers_tools.cli.command import Command
from ome_writers_tools.cli.console import Relabel, Screen
from ome_writers_tools.cli.datasets import Result, add_datasets_argument, process_datasets
from ome_writers_tools.cli.quantities import counted

_REPORT_INTERVAL_S = 1.0


def _levels(text: str) -> int:
    return positive_count(text, MAX_LEVELS)


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser, tiff=False)
    parser.add_argument(
        "--method", choices=get_args(Method), default="mean", help="how samples are combined (mean)"
    )
    parser.add_argument(
        "--levels",
        type=_levels,
        metavar="N",
        help=f"levels below full resolution, 1 to {MAX_LEVELS} (default: automatic)",
    )
    parser.add_argument("--z", action="store_true", help="halve the number of planes along z, too")


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers import Pyramid, add_pyramid

    pyramid = Pyramid(
        method=options.method,
        levels="auto" if options.levels is None else options.levels,
        axes=("z", "y", "x") if options.z else ("y", "x"),
    )

    def process(path: Path, relabel: Relabel) -> Result:
        reported = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal reported
            if time.monotonic() - reported > _REPORT_INTERVAL_S:
                reported = time.monotonic()
                relabel(f"Reducing {path}: {done} of {total} planes")

        images = add_pyramid(path, pyramid, on_plane=show)
        what = f"levels added to {counted(len(images), 'image')}" if images else "nothing to add"
        return Result({"path": str(path), "images": images}, lambda: screen.line(f"{path}: {what}"))

    return process_datasets(options, screen, "Reducing", process)


COMMAND = Command(
    name="pyramid",
    summary="Add resolution levels to an OME-Zarr in place",
    examples=(
        ("ome-writers pyramid run.ome.zarr", "means of 2 x 2 pixels, until 256 pixels are left"),
        ("ome-writers pyramid run.ome.zarr --method max --levels 3", "three levels of maxima"),
        ("ome-writers pyramid *.ome.zarr --z", "several datasets, also along z"),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; run it again to finish",
    failure="a level could not be written, or a dataset cannot be read; the others are still processed",
)
