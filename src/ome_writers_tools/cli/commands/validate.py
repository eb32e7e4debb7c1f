"""``ome-writers validate``: checks the consistency of datasets."""

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
from ome_writers_tools.cli.quantities import counted

if TYPE_CHECKING:
    from ome_writers.toolkit import Check, Validation
    from ome_writers_tools.cli.console import Relabel, Screen


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser, remote=True)
    parser.add_argument("--quick", action="store_true", help="skip the checks that read all pixels")


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers import validate

    def process(path: Path, _: Relabel) -> Result:
        validation = validate(path, quick=options.quick)
        checks = [
            {"name": c.name, "skipped": c.skipped, "findings": findings_as_json(c.findings, path)}
            for c in validation.checks
        ]
        content = {"path": str(path), "valid": validation.valid, "checks": checks}
        return Result(content, lambda: _show(path, validation, screen), ok=validation.valid)

    return process_datasets(options, screen, "Checking", process)


def _show(path: Path, validation: Validation, screen: Screen) -> None:
    checks = validation.checks
    screen.table(str(path), ("check", "result"), [(c.name, _result(c)) for c in checks])
    rows = [(c.name, relative_name(f.path, path), f.what) for c in checks for f in c.findings]
    if rows:
        show_findings(screen, "\nfindings", ("check", "path", "finding"), rows)
    if count := sum(finding.solved for finding in validation.findings):
        screen.line(f"`ome-writers repair {path}` repairs {count} of {len(rows)} findings")


def _result(check: Check) -> str:
    if check.skipped is not None:
        return f"skipped: {check.skipped}"
    return counted(len(check.findings), "finding") if check.findings else "ok"


COMMAND = Command(
    name="validate",
    summary="Check a dataset's consistency, also with third-party validators",
    examples=(
        (
            "ome-writers validate run.ome.zarr",
            "a table of findings; exit status 1 if there are any",
        ),
        ("ome-writers validate run.ome.tiff --json", "for a script"),
        ("ome-writers validate --quick run.ome.zarr", "metadata only: pixels are not read"),
        ("ome-writers validate *.ome.zarr", "several datasets"),
    ),
    arguments=_arguments,
    run=_run,
    failure="a dataset has findings or cannot be read; the others are still checked",
)
