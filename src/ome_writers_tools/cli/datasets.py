"""Commands for several datasets: paths and patterns in, one result per dataset out."""

from __future__ import annotations

import glob
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers_tools.cli.arguments import nonempty
from ome_writers_tools.cli.command import FAILURE, SUCCESS, CommandError, UsageError, error_sentence

if TYPE_CHECKING:
    from ome_writers.toolkit import Finding
    from ome_writers_tools.cli.console import Relabel, Screen

_MAX_FINDING_ROWS = 50


@dataclass(frozen=True)
class Result:
    """The result of a command for one dataset."""

    content: Mapping[str, Any]  # the object that `--json` prints
    show: Callable[[], None]  # prints the same for a person
    ok: bool = True  # whether the exit status may be 0


def add_datasets_argument(
    parser: ArgumentParser, *, remote: bool = False, tiff: bool = True
) -> None:
    """Add the paths or patterns of one or more datasets; `remote`: or their URLs; without `tiff`: OME-Zarr only."""
    parser.add_argument(
        "paths",
        type=nonempty,
        nargs="+",
        metavar="PATH",
        help=f"an OME-Zarr directory{' or its URL' * remote}{', an OME-TIFF file or its directory' * tiff}; "
        "several of them, or patterns such as '*.ome.zarr'",
    )


def is_several(arguments: Sequence[str]) -> bool:
    """Whether the arguments may name more than one dataset: several paths, or a pattern."""
    return len(arguments) > 1 or _is_pattern(arguments[0])


def process_datasets(
    options: Namespace, screen: Screen, verb: str, process: Callable[[Path, Relabel], Result]
) -> int:
    """Process each dataset of `options.paths`, show the results, and return the exit status.

    A dataset that cannot be processed is reported on stderr; the remaining ones are still processed.

    `verb` labels the progress display ("Checking"); `process` processes one dataset without printing.
    """
    several = is_several(options.paths)
    paths = _expand(options.paths)
    contents: list[Mapping[str, Any]] = []
    failed = 0
    for number, path in enumerate(paths, start=1):
        count = f" ({number} of {len(paths)})" if several else ""
        try:
            with screen.spinner(f"{verb} {path}{count}") as relabel:
                result = process(path, relabel)
        except UsageError:
            raise
        except Exception as error:  # also for defects of a dataset that no check anticipates
            failed += 1
            message = error_sentence(error, path)
            contents.append({"path": str(path), "error": message})
            screen.error(message)
            continue
        failed += not result.ok
        contents.append(result.content)
        if not options.json:
            result.show()
    if options.json and several:
        screen.json({"datasets": contents})
    elif options.json and "error" not in contents[0]:
        screen.json(contents[0])
    elif several and failed and not options.json:
        screen.error(f"{failed} of {len(paths)} datasets failed")
    return FAILURE if failed else SUCCESS


def relative_name(path: Path, root: Path) -> str:
    """Return the path of a file relative to its dataset, or its name if it is not below `root`."""
    if path == root:
        return "."
    return path.relative_to(root).as_posix() if root in path.parents else path.name


def findings_as_json(findings: Iterable[Finding], root: Path) -> list[dict[str, Any]]:
    return [
        {"path": relative_name(f.path, root), "what": f.what, "solved": f.solved} for f in findings
    ]


def show_findings(
    screen: Screen, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]
) -> None:
    """Print the first findings as a table, and the number of those that only ``--json`` prints."""
    screen.table(title, columns, rows[:_MAX_FINDING_ROWS])
    if len(rows) > _MAX_FINDING_ROWS:
        screen.line(f"  ... and {len(rows) - _MAX_FINDING_ROWS} more; --json prints all")


def _expand(arguments: Sequence[str]) -> list[Path]:
    """Return the paths, patterns expanded and sorted, each path once.

    An existing name is a path even if it contains pattern characters. A pattern without a match is a CommandError.
    """
    from ome_writers.toolkit import path_or_url

    found: dict[Path, None] = {}
    for text in arguments:
        paths = sorted(glob.glob(text, recursive=True)) if _is_pattern(text) else [text]
        if not paths:
            raise CommandError(f"{text}: no file or directory matches this pattern")
        found.update(dict.fromkeys(map(path_or_url, paths)))
    return list(found)


def _is_pattern(text: str) -> bool:
    return "://" not in text and glob.has_magic(text) and not Path(text).exists()
