"""``ome-writers validate``: whether a dataset is what it says it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.cli.arguments import ask_dataset, ask_json
from ome_writers.cli.command import FAILURE, SUCCESS, Command
from ome_writers.cli.findings import ROWS, as_json, short

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers.cli.screen import Screen
    from ome_writers.validation import Check


def _arguments(parser: ArgumentParser) -> None:
    ask_dataset(parser)
    ask_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers.validation import validate

    path: Path = options.path
    with screen.busy(f"Looking at {path}"):
        done = validate(path)
    status = SUCCESS if done.valid else FAILURE
    if options.json:
        checks = [
            {"name": c.name, "skipped": c.skipped, "findings": as_json(c.findings, path)}
            for c in done.checks
        ]
        screen.data({"path": str(path), "valid": done.valid, "checks": checks})
        return status
    screen.table(str(path), ("check", "result"), [(c.name, _result(c)) for c in done.checks])
    rows = [(c.name, short(f.path, path), f.what) for c in done.checks for f in c.findings]
    if rows:
        screen.table("\nfindings", ("check", "where", "finding"), rows[:ROWS])
    if hidden := len(rows) - ROWS if len(rows) > ROWS else 0:
        screen.say(f"  ... and {hidden} more; --json shows them")
    if any(finding.solved for finding in done.findings):
        screen.say(f"`ome-writers repair {path}` makes it tidy")
    return status


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
    ),
    arguments=_arguments,
    run=_run,
)
