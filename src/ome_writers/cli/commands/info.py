"""``ome-writers info``: what a dataset says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ome_writers.cli.arguments import ask_json
from ome_writers.cli.command import Command, CommandError, error_sentence
from ome_writers.cli.console import size_in_files
from ome_writers.cli.datasets import Result, add_datasets_argument, process_datasets
from ome_writers.cli.description import describe, list_datasets, writer_is_gone
from ome_writers.errors import OMEWritersError
from ome_writers.formats import abbreviated_list

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers.cli.console import Relabel, Screen
    from ome_writers.cli.description import Description, FolderContent

ROWS = 12
"""How many images the table shows; `--all` shows the rest of a large plate."""


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser)
    parser.add_argument(
        "--all", action="store_true", help=f"show every image, not the first {ROWS} only"
    )
    ask_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    def process(path: Path, relabel: Relabel) -> Result:
        content = list_datasets(path)
        if content is not None:
            return _listing(path, content, screen, relabel)
        description = describe(path)
        return Result(description.to_json(), lambda: _show(path, description, options, screen))

    return process_datasets(options, screen, "Looking at", process)


def _listing(folder: Path, content: FolderContent, screen: Screen, relabel: Relabel) -> Result:
    """Describe each dataset of a folder in one line."""
    rows: list[tuple[str, ...]] = []
    documents: list[dict[str, Any]] = []
    failed = 0
    for number, path in enumerate(content.datasets, start=1):
        relabel(f"Looking at {path} ({number} of {len(content.datasets)})")
        try:
            description = describe(path)
        except (CommandError, OMEWritersError, OSError) as error:
            failed += 1
            documents.append({"path": str(path), "error": error_sentence(error, path)})
            rows.append((path.name, "cannot be read", *[""] * 5))
            continue
        documents.append(description.to_json())
        first = description.images[0] if description.images else None
        rows.append(
            (
                path.name,
                f"{description.format}, {description.layout}",
                str(len(description.images)),
                ", ".join(f"{axis.name}={axis.size}" for axis in first.axes) if first else "",
                first.dtype if first else "",
                description.status or "",
                size_in_files(description.bytes_on_disk, description.files),
            )
        )

    def show() -> None:
        head = ("dataset", "format", "images", "first image", "dtype", "status", "size")
        screen.table(f"{folder}: {len(rows)} datasets", head, rows)
        for document in documents:
            if "error" in document:
                screen.complain(document["error"])
        if content.folders:
            names = abbreviated_list([path.name for path in content.folders])
            screen.say(f"Folders with further datasets: {names}")
        if content.others:
            screen.say(
                f"TIFF files without OME-XML: {abbreviated_list([p.name for p in content.others])}"
            )

    return Result({"path": str(folder), "datasets": documents}, show, ok=not failed)


def _show(path: Path, description: Description, options: Namespace, screen: Screen) -> None:
    screen.facts(description.path, _facts(description))
    images = description.images if options.all else description.images[:ROWS]
    rows = [
        (
            image.path,
            image.name,
            ", ".join(map(str, image.axes)),
            image.dtype,
            ", ".join(image.channels),
            image.storage,
        )
        for image in images
    ]
    screen.table("\nimages", ("path", "name", "axes (step)", "dtype", "channels", "storage"), rows)
    if hidden := len(description.images) - len(images):
        screen.say(f"  ... and {hidden} more; --all shows them")
    if description.status == "writing" and writer_is_gone(path):
        screen.say(
            f"Its writer has ended without closing it; `ome-writers repair {path}` makes it tidy"
        )


def _facts(description: Description) -> dict[str, str]:
    facts = {
        "format": f"{description.format}, {description.layout}",
        "images": str(len(description.images)),
        "size": size_in_files(description.bytes_on_disk, description.files),
    }
    if description.frames is not None:
        facts["frames"] = description.frames
    facts["status"] = description.status or "not said"
    facts["written by"] = description.written_by or "not said"
    return facts


COMMAND = Command(
    name="info",
    summary="Say what an OME-Zarr or OME-TIFF holds, from its documents alone",
    examples=(
        ("ome-writers info demo.ome.zarr", "format, axes, channels, sizes, status"),
        ("ome-writers info run_p000.ome.tiff --json", "the same for a script"),
        ("ome-writers info .", "a line for each dataset of a folder"),
        ("ome-writers info *.ome.zarr", "several datasets, one after the other"),
    ),
    arguments=_arguments,
    run=_run,
    failure="a dataset cannot be read; the others are described nevertheless",
)
