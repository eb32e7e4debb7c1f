"""``ome-writers preview``: draws a contact sheet of a dataset."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from ome_writers import UnsupportedError
from ome_writers.toolkit import locate, printable, split_suffix
from ome_writers_tools.cli.arguments import positive_count
from ome_writers_tools.cli.command import Command, CommandError, UsageError, require
from ome_writers_tools.cli.console import Relabel, Screen
from ome_writers_tools.cli.datasets import (
    Result,
    add_datasets_argument,
    is_several,
    process_datasets,
)

_DEFAULT_ROWS = 24


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser, remote=True)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="PNG",
        help="the contact sheet (default: NAME.png beside the dataset, in the working directory for a URL)",
    )
    parser.add_argument(
        "--rows",
        type=positive_count,
        default=_DEFAULT_ROWS,
        metavar="N",
        help=f"maximum number of rows of positions and channels (default: {_DEFAULT_ROWS}); a plate is shown whole",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an existing contact sheet"
    )


def _run(options: Namespace, screen: Screen) -> int:
    require("preview", "cli", {"PIL": "pillow"})
    if options.output is not None and options.output.suffix.lower() != ".png":
        raise UsageError(f"--output: {options.output} does not end in .png")
    if options.output is not None and is_several(options.paths):
        raise UsageError("--output is for one dataset; leave it out for several")

    def process(path: Path, _: Relabel) -> Result:
        content = _draw(path, options)
        return Result(content, lambda: screen.line(str(content["picture"])))

    return process_datasets(options, screen, "Drawing", process)


def _default_picture(path: Path) -> Path:
    """Return NAME.png beside the dataset; of a remote one, in the working directory."""
    from ome_writers.toolkit import path_component

    return locate(path).beside(lambda name: path_component(split_suffix(name)[0]) + ".png")


def _draw(path: Path, options: Namespace) -> dict[str, Any]:
    """Draw the contact sheet of a dataset; return the ``--json`` content."""
    from ome_writers import read
    from ome_writers.toolkit import open_dataset
    from ome_writers_tools.cli.contact_sheet import draw_sheet, refuse_existing
    from ome_writers_tools.cli.dataset_sheet import (
        pixel_size,
        sheet_of_dataset,
        shown_planes,
        sufficient_level,
    )

    picture = options.output or _default_picture(path)
    refuse_existing(picture, overwrite=options.overwrite)
    view = open_dataset(path)
    spec = read(path)
    level, shown = sufficient_level(spec), view
    try:
        shown = open_dataset(path, level=level) if level else view
    except UnsupportedError:  # levels of another program, of cameras on the channel axis
        level = 0
    sheet = sheet_of_dataset(spec, shown, max_rows=options.rows)
    if not sheet.rows or not sheet.columns:
        raise CommandError(f"{path} contains no frames yet")
    axes = ", ".join(f"{dim} {size}" for dim, size in zip(view.dims, view.shape, strict=True))
    title = f"{path.resolve().name}   {axes}   {view.dtype}   {shown_planes(view)}".rstrip()
    draw_sheet(
        sheet,
        printable(title),
        picture,
        pixel_size=pixel_size(spec, level),
        overwrite=options.overwrite,
    )
    return {
        "path": str(path),
        "picture": str(picture),
        "rows": len(sheet.rows),
        "columns": len(sheet.columns),
    }


COMMAND = Command(
    name="preview",
    summary="Draw a contact sheet of a dataset, complete or being written",
    examples=(
        ("ome-writers preview demo.ome.zarr", "writes demo.png beside it"),
        ("ome-writers preview run.ome.tiff -o sheet.png", "with another name"),
        ("ome-writers preview demo.ome.zarr --overwrite", "replaces demo.png"),
        ("ome-writers preview *.ome.zarr", "one contact sheet per dataset"),
    ),
    arguments=_arguments,
    run=_run,
    json_replaces="the file name",
    failure="a contact sheet could not be drawn; those of the other datasets still are",
)
