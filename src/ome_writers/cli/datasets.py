"""Commands that take several datasets: paths and patterns in, one result per dataset out."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.cli.arguments import not_empty
from ome_writers.cli.command import (
    FAILURE,
    SUCCESS,
    CommandError,
    UsageError,
    error_sentence,
)

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable, Mapping, Sequence

    from ome_writers.cli.console import Relabel, Screen

__all__ = ["Result", "add_datasets_argument", "is_several", "matching", "process_datasets"]


@dataclass(frozen=True)
class Result:
    """What a command found out about one dataset, or did to it.

    Attributes
    ----------
    document
        What ``--json`` prints.
    show
        Shows the same to a person.
    ok
        Whether the exit status may be 0.
    """

    document: Mapping[str, Any]
    show: Callable[[], None]
    ok: bool = True


def add_datasets_argument(parser: ArgumentParser) -> None:
    """Have a command take one or more PATHs."""
    parser.add_argument(
        "paths",
        type=not_empty,
        nargs="+",
        metavar="PATH",
        help="an OME-Zarr folder, an OME-TIFF file or the folder of a set; "
        "several of them, or patterns such as '*.ome.zarr'",
    )


def is_several(typed: Sequence[str]) -> bool:
    """Whether the arguments may name more than one dataset: several paths, or a pattern."""
    return len(typed) > 1 or _is_pattern(typed[0])


def matching(typed: Sequence[str]) -> list[Path]:
    """Return the paths that were typed, patterns expanded and sorted, each path once.

    A name that exists is taken as it is, whichever characters it contains.

    Raises
    ------
    CommandError
        If nothing matches a pattern.
    """
    found: dict[Path, None] = {}
    for text in typed:
        paths = sorted(glob.glob(text, recursive=True)) if _is_pattern(text) else [text]
        if not paths:
            raise CommandError(f"{text}: no file or folder matches this pattern")
        found.update(dict.fromkeys(map(Path, paths)))
    return list(found)


def process_datasets(
    options: Namespace, screen: Screen, verb: str, process: Callable[[Path, Relabel], Result]
) -> int:
    """Process each dataset of `options.paths`, show the results, and return the exit status.

    A dataset that cannot be processed is reported on stderr, and the others are processed nevertheless.

    Parameters
    ----------
    options
        With `paths` and `json`.
    screen
        Where results are shown.
    verb
        What is done, for the progress: ``"Checking"``.
    process
        Does it for a path, and shows nothing but a new label of the progress.
    """
    several = is_several(options.paths)
    paths = matching(options.paths)
    documents: list[Mapping[str, Any]] = []
    failed = 0
    for number, path in enumerate(paths, start=1):
        count = f" ({number} of {len(paths)})" if several else ""
        try:
            with screen.busy(f"{verb} {path}{count}") as relabel:
                result = process(path, relabel)
        except UsageError:
            raise
        except Exception as error:  # also a dataset that is broken in a way that no check foresees
            failed += 1
            message = error_sentence(error, path)
            documents.append({"path": str(path), "error": message})
            screen.complain(message)
            continue
        failed += not result.ok
        documents.append(result.document)
        if not options.json:
            result.show()
    if options.json and several:
        screen.data({"datasets": documents})
    elif options.json and "error" not in documents[0]:
        screen.data(documents[0])
    elif several and failed and not options.json:
        screen.complain(f"{failed} of {len(paths)} datasets failed")
    return FAILURE if failed else SUCCESS


def _is_pattern(text: str) -> bool:
    return glob.has_magic(text) and not Path(text).exists()
