"""``ome-writers repair``: recovers a dataset after a crash of its writer."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers_tools.cli.command import Command
from ome_writers_tools.cli.datasets import (
    Result,
    add_datasets_argument,
    findings_as_json,
    process_datasets,
    relative_name,
    show_findings,
)

if TYPE_CHECKING:
    from ome_writers.toolkit import Repair
    from ome_writers_tools.cli.console import Relabel, Screen


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="list the findings without changing anything"
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers import repair

    def process(path: Path, _: Relabel) -> Result:
        result = repair(path, dry_run=options.dry_run)
        findings = findings_as_json(result.findings, path)
        content = {"path": str(path), "dry_run": result.dry_run, "findings": findings}
        return Result(content, lambda: _show(result, screen), ok=not result.unsolved)

    return process_datasets(options, screen, "Examining", process)


def _show(result: Repair, screen: Screen) -> None:
    path = result.path
    if not result.findings:
        screen.line(f"{path}: nothing to repair")
        return
    rows = [
        (relative_name(f.path, path), f.problem if result.dry_run else f.what)
        for f in result.findings
    ]
    show_findings(screen, str(path), ("path", "finding"), rows)
    solved = len(result.findings) - len(result.unsolved)
    verb = "would be repaired" if result.dry_run else "repaired"
    unsolved = f", {len(result.unsolved)} cannot be repaired" if result.unsolved else ""
    screen.line(f"{solved} of {len(result.findings)} findings {verb}{unsolved}")


COMMAND = Command(
    name="repair",
    summary="Recover a dataset after a crash of its writer, without removing readable frames",
    examples=(
        ("ome-writers repair run.ome.zarr --dry-run", "lists the findings"),
        ("ome-writers repair run.ome.zarr", "repairs them"),
        ("ome-writers repair run.ome.tiff", "OME-TIFF: a file or the directory of a set"),
        ("ome-writers repair *.ome.zarr", "several datasets"),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; run it again to finish",
    failure="a finding cannot be repaired, or a dataset cannot be read; the others are still repaired",
)
