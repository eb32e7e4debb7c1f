"""``ome-writers validate``: whether a dataset is what it says it is."""

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
    from ome_writers.validation import Check, Validation


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser)
    ask_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers.validation import validate

    def process(path: Path, _: Relabel) -> Result:
        done = validate(path)
        checks = [
            {"name": c.name, "skipped": c.skipped, "findings": as_json(c.findings, path)}
            for c in done.checks
        ]
        document = {"path": str(path), "valid": done.valid, "checks": checks}
        return Result(document, lambda: _show(path, done, screen), ok=done.valid)

    return process_datasets(options, screen, "Checking", process)


def _show(path: Path, done: Validation, screen: Screen) -> None:
    screen.table(str(path), ("check", "result"), [(c.name, _result(c)) for c in done.checks])
    rows = [(c.name, short(f.path, path), f.what) for c in done.checks for f in c.findings]
    if rows:
        screen.table("\nfindings", ("check", "where", "finding"), rows[:ROWS])
    if hidden := len(rows) - ROWS if len(rows) > ROWS else 0:
        screen.say(f"  ... and {hidden} more; --json shows them")
    if any(finding.solved for finding in done.findings):
        screen.say(f"`ome-writers repair {path}` makes it tidy")


def _result(check: Check) -> str:
    if check.skipped is not None:
        return f"not looked at: {check.skipped}"
    count = len(check.findings)
    return "fine" if not count else "1 finding" if count == 1 else f"{count} findings"


COMMAND = Command(
    name="validate",
    summary="Check a dataset by this library's promises and by the field's validators",
    examples=(
        (
            "ome-writers validate run.ome.zarr",
            "a table of findings; exit status 1 if there are any",
        ),
        ("ome-writers validate run.ome.tiff --json", "the same for a script"),
        ("ome-writers validate *.ome.zarr", "each dataset; exit status 1 if any has findings"),
    ),
    arguments=_arguments,
    run=_run,
    failure="a dataset has findings or cannot be read; the others are checked nevertheless",
)
