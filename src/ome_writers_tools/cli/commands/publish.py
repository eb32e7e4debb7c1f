"""``ome-writers publish``: a file beside a dataset with which another program opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers_tools.cli.command import Command
from ome_writers_tools.cli.datasets import Result, add_datasets_argument, process_datasets

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers_tools.cli.console import Relabel, Screen


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "program",
        choices=("bigstitcher",),
        help="bigstitcher: the dataset XML of BigStitcher and BigDataViewer, with stage positions and pixel sizes",
    )
    add_datasets_argument(parser, tiff=False)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers_tools.conversion import write_bigstitcher

    def process(path: Path, _: Relabel) -> Result:
        file = write_bigstitcher(path, overwrite=options.overwrite)
        return Result({"path": str(path), "file": str(file)}, lambda: screen.line(str(file)))

    return process_datasets(options, screen, "Publishing", process)


COMMAND = Command(
    name="publish",
    summary="Write a file beside a dataset with which another program opens it",
    examples=(("ome-writers publish bigstitcher run.ome.zarr", "writes run.bigstitcher.xml"),),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; nothing was written",
    failure="a dataset cannot be published; the others are still processed",
)
