"""``ome-writers repair``: make a dataset tidy whose writer died."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.cli.arguments import ask_json
from ome_writers.cli.command import Command
from ome_writers.cli.datasets import Result, add_datasets_argument, process_datasets
from ome_writers.cli.findings import ROWS, as_json, short

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers.cli.console import Relabel, Screen
    from ome_writers.repair import Repair


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="only say what would be done; change nothing"
    )
    ask_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers.repair import repair

    def process(path: Path, _: Relabel) -> Result:
        made = repair(path, dry_run=options.dry_run)
        found = as_json(made.findings, path)
        document = {"path": str(path), "dry_run": made.dry_run, "findings": found}
        return Result(document, lambda: _show(made, screen), ok=not made.unsolved)

    return process_datasets(options, screen, "Looking at", process)


def _show(made: Repair, screen: Screen) -> None:
    path = made.path
    if not made.findings:
        screen.say(f"{path} is tidy: nothing to repair")
        return
    rows = [(short(finding.path, path), finding.what) for finding in made.findings[:ROWS]]
    screen.table(str(path), ("where", "finding"), rows)
    if hidden := len(made.findings) - len(rows):
        screen.say(f"  ... and {hidden} more; --json shows them")
    count = len(made.findings) - len(made.unsolved)
    deed = "would be repaired" if made.dry_run else "repaired"
    rest = f", {len(made.unsolved)} cannot be" if made.unsolved else ""
    screen.say(f"{count} of {len(made.findings)} {deed}{rest}")


COMMAND = Command(
    name="repair",
    summary="Make a dataset tidy after its writer was killed; no readable frame is removed",
    examples=(
        ("ome-writers repair run.ome.zarr --dry-run", "what would be done"),
        ("ome-writers repair run.ome.zarr", "do it"),
        (
            "ome-writers repair run.ome.tiff",
            "the same for an OME-TIFF, a file or the folder of a set",
        ),
        ("ome-writers repair *.ome.zarr", "each dataset of a folder"),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; run it again to finish",
    failure="something cannot be repaired, or a dataset cannot be read; the others are repaired nevertheless",
)
