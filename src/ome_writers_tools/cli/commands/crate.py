"""``ome-writers crate``: license, authors, specimen and method of a dataset, as an RO-Crate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers_tools.cli.command import Command
from ome_writers_tools.cli.datasets import Result, add_datasets_argument, process_datasets

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers_tools.cli.console import Relabel, Screen

_FIELDS = (
    ("license", "SPDX identifier such as CC-BY-4.0, or URL"),
    ("description", "one or more sentences"),
    ("specimen", "what was imaged, and how it was prepared"),
    ("organism", "NCBI taxonomy ID, such as 9606"),
    ("modality", "term of the ontology FBbi, such as FBbi:00000246"),
)


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser)
    parser.add_argument(
        "--author",
        action="append",
        metavar="NAME[=ORCID]",
        help="full name, and ORCID iD if known; may be repeated",
    )
    for name, text in _FIELDS:
        parser.add_argument(f"--{name}", metavar="TEXT", help=text)
    parser.add_argument("--overwrite", action="store_true", help="replace an existing RO-Crate")


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers_tools.conversion import write_crate

    given = {name: getattr(options, name) for name, _ in _FIELDS}
    fields = {name: value for name, value in given.items() if value is not None}
    if options.author:
        pairs = (text.partition("=") for text in options.author)
        fields["authors"] = [{"name": name, "orcid": orcid} for name, _, orcid in pairs]

    def process(path: Path, _: Relabel) -> Result:
        file = write_crate(path, fields, overwrite=options.overwrite)
        return Result({"path": str(path), "crate": str(file)}, lambda: screen.line(str(file)))

    return process_datasets(options, screen, "Describing", process)


COMMAND = Command(
    name="crate",
    summary="Describe license, authors, specimen and method of a dataset in an RO-Crate",
    examples=(
        (
            'ome-writers crate run.ome.zarr --license CC-BY-4.0 --author "Ada Lovelace"',
            "writes run.ome.zarr/ro-crate-metadata.json",
        ),
        ("ome-writers crate run.ome.zarr --overwrite", "with what the dataset was written with"),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; run it again to finish",
    failure="a dataset cannot be described; the others are still processed",
)
