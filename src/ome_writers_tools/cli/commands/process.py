"""``ome-writers process``: writes projections, corrected, cropped or binned frames to a new OME-Zarr."""

from __future__ import annotations

import argparse
import re
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers_tools.cli.arguments import (
    add_dataset_argument,
    add_storage_options,
    output_path,
    positive_count,
    worker_count,
)
from ome_writers_tools.cli.command import SUCCESS, Command, CommandError, UsageError
from ome_writers_tools.cli.console import Screen
from ome_writers_tools.cli.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Callable

    from ome_writers_tools.processing import PlaneFunction


def _arguments(parser: ArgumentParser) -> None:
    add_dataset_argument(parser, "SOURCE", remote=True)
    parser.add_argument("output", type=output_path, metavar="DEST", help="NAME.ome.zarr")
    functions = parser.add_mutually_exclusive_group(required=True)
    functions.add_argument(
        "--maximum", metavar="AXIS", help="maximum projection along an axis, such as z"
    )
    functions.add_argument("--minimum", metavar="AXIS", help="minimum projection along an axis")
    functions.add_argument("--mean", metavar="AXIS", help="mean along an axis")
    functions.add_argument("--sum", metavar="AXIS", help="sum along an axis, in 32 or 64 bits")
    functions.add_argument("--std", metavar="AXIS", help="standard deviation along an axis")
    functions.add_argument(
        "--flat-field",
        type=Path,
        metavar="FLAT.npy",
        help="divide by a flat-field image, after subtracting --dark from both",
    )
    functions.add_argument(
        "--crop",
        type=_ranges,
        metavar="RANGES",
        help="pixels, planes, channels and time points to keep, as in y=0:512,x=256:768 or t=0:10,c=1:2",
    )
    functions.add_argument("--bin", type=positive_count, metavar="N", help="means of N x N pixels")
    parser.add_argument(
        "--dark", type=Path, metavar="DARK.npy", help="dark image for --flat-field (default: 0)"
    )
    parser.add_argument(
        "--workers", type=worker_count, default=1, metavar="N", help="processes (default: 1)"
    )
    parser.add_argument(
        "--follow",
        action="store_true",
        help="process SOURCE while it is written, until the writer has closed it",
    )
    add_storage_options(parser, tiff=False)


def _run(options: Namespace, screen: Screen) -> int:
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    from ome_writers_tools.processing import process

    function = _function(options)
    with ExitStack() as stack:
        executor = None
        if options.workers > 1:
            context = multiprocessing.get_context("spawn")  # a fork would copy locks of our threads
            pool = ProcessPoolExecutor(options.workers, mp_context=context)
            executor = stack.enter_context(pool)
        relabel = stack.enter_context(screen.spinner("Processing"))

        def on_task(done: int, total: int) -> None:
            relabel(f"{done} of {total} tasks")

        try:
            result = process(
                options.path,
                function,
                options.output,
                executor=executor,
                compression=options.compression,
                chunk_shapes=options.chunk,
                shard_shapes=options.shard,
                follow=options.follow,
                on_task=on_task,
            )
        except BrokenProcessPool as error:
            raise CommandError(
                f"{options.path}: a worker process has ended abruptly, perhaps for lack of memory. Run the command "
                "again to continue, with fewer --workers or smaller shards"
            ) from error
    if options.json:
        paths = {"source": str(result.source), "destination": str(result.destination)}
        screen.json({**asdict(result), **paths})
    else:
        rows = {
            "from": str(result.source),
            "function": repr(function),
            "images": str(result.images),
            "frames": str(result.frames),
            "pixels": human_size(result.pixel_bytes),
            "duration": f"{result.seconds:.1f} s",
        }
        if result.not_copied:
            rows["not copied"] = ", ".join(result.not_copied)
        screen.fields(str(result.destination), rows)
    return SUCCESS


def _function(options: Namespace) -> PlaneFunction:
    from ome_writers_tools.processing import (
        Bin,
        Crop,
        FlatField,
        Maximum,
        Mean,
        Minimum,
        StandardDeviation,
        Sum,
    )

    if options.dark and not options.flat_field:
        raise UsageError(
            "--dark: only --flat-field subtracts a dark image; add it, or leave --dark out"
        )
    if options.flat_field:
        dark = options.dark.absolute() if options.dark else 0
        return FlatField(options.flat_field.absolute(), dark)
    if options.crop:
        return Crop(**options.crop)
    if options.bin:
        return Bin(options.bin)
    projections: dict[str, Callable[[str], PlaneFunction]] = {
        "maximum": Maximum,
        "minimum": Minimum,
        "mean": Mean,
        "sum": Sum,
        "std": StandardDeviation,
    }
    name = next(name for name in projections if getattr(options, name))
    return projections[name](getattr(options, name))


def _ranges(text: str) -> dict[str, tuple[int, int]]:
    found = {}
    for word in text.split(","):
        match = re.fullmatch(r"([tczyx])=(\d{1,12}):(\d{1,12})", word.strip())
        if match is None or match[1] in found:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a list of AXIS=START:STOP with distinct axes of t, c, z, y, x"
            )
        found[match[1]] = (int(match[2]), int(match[3]))
    return found


COMMAND = Command(
    name="process",
    summary="Write projections, corrected, cropped or binned frames to a new OME-Zarr",
    examples=(
        ("ome-writers process run.ome.zarr max.ome.zarr --maximum z", "maximum projection"),
        (
            "ome-writers process run.ome.zarr flat.ome.zarr --flat-field flat.npy --workers 4",
            "in four processes",
        ),
        (
            "ome-writers process run.ome.zarr crop.ome.zarr --crop y=0:512,x=256:768",
            "a rectangle of each frame",
        ),
        (
            "ome-writers process run.ome.zarr part.ome.zarr --crop t=0:10,c=1:2",
            "part of the frames",
        ),
        (
            "ome-writers process run.ome.zarr bin.ome.zarr --bin 2 --shard t=64",
            "fewer, larger files and tasks",
        ),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; run it again to continue",
    failure="a task has failed; run it again to continue",
)
