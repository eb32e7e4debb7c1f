"""``ome-writers manifest``: checksums of the files of a dataset, and a list of files for the BioImage Archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers_tools.cli.command import Command
from ome_writers_tools.cli.datasets import Result, add_datasets_argument, process_datasets

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ome_writers_tools.cli.console import Relabel, Screen

_MAX_SHOWN = 50


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser)
    parser.add_argument("--check", action="store_true", help="compare the files with the manifest")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing manifest")
    parser.add_argument(
        "--file-list",
        action="store_true",
        help="only print the files as a file list for a submission to the BioImage Archive",
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers_tools.mirroring import check_manifest, manifest_files, write_manifest

    def process(path: Path, _: Relabel) -> Result:
        if options.file_list:
            names = sorted(key for key, _ in manifest_files(path))
            text = "\n".join(["Files", *names])
            return Result({"path": str(path), "files": names}, lambda: screen.line(text))
        if options.check:
            problems = check_manifest(path)
            lines = [f"{path}: {len(problems)} files differ" if problems else f"{path}: ok"]
            lines += [f"  {key}: {what}" for key, what in list(problems.items())[:_MAX_SHOWN]]
            content = {"path": str(path), "problems": problems}
            return Result(content, lambda: screen.line("\n".join(lines)), ok=not problems)
        file = write_manifest(path, overwrite=options.overwrite)
        return Result({"path": str(path), "manifest": str(file)}, lambda: screen.line(str(file)))

    return process_datasets(options, screen, "Reading", process)


COMMAND = Command(
    name="manifest",
    summary="Write the checksums of all files of a dataset, or compare them",
    examples=(
        ("ome-writers manifest run.ome.zarr", "writes run.ome.zarr.sha256"),
        ("ome-writers manifest run.ome.zarr --check", "exit status 1 if a byte differs"),
        ("ome-writers manifest run.ome.zarr --file-list > files.tsv", "for the BioImage Archive"),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; no manifest was written",
    failure="a file differs, or a dataset cannot be read; the others are still processed",
)
