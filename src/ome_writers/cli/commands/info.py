"""``ome-writers info``: describes datasets by their metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ome_writers.cli.arguments import add_json_option
from ome_writers.cli.command import Command, CommandError, error_sentence
from ome_writers.cli.console import size_in_files
from ome_writers.cli.datasets import Result, add_datasets_argument, process_datasets
from ome_writers.cli.description import describe, list_datasets, writer_has_ended
from ome_writers.errors import OMEWritersError
from ome_writers.formats import abbreviated_list

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers.cli.console import Relabel, Screen
    from ome_writers.cli.description import Description, FolderContent

MAX_IMAGE_ROWS = 12


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser)
    parser.add_argument(
        "--all", action="store_true", help=f"show every image, not only the first {MAX_IMAGE_ROWS}"
    )
    add_json_option(parser)


def _run(options: Namespace, screen: Screen) -> int:
    def process(path: Path, relabel: Relabel) -> Result:
        content = list_datasets(path)
        if content is not None:
            return _listing(path, content, screen, relabel)
        description = describe(path)
        return Result(description.to_json(), lambda: _show(path, description, options, screen))

    return process_datasets(options, screen, "Reading", process)


def _listing(folder: Path, content: FolderContent, screen: Screen, relabel: Relabel) -> Result:
    """Describe each dataset of a directory in one row."""
    rows: list[tuple[str, ...]] = []
    contents: list[dict[str, Any]] = []
    failed = 0
    for number, path in enumerate(content.datasets, start=1):
        relabel(f"Reading {path} ({number} of {len(content.datasets)})")
        try:
            description = describe(path)
        except (CommandError, OMEWritersError, OSError) as error:
            failed += 1
            contents.append({"path": str(path), "error": error_sentence(error, path)})
            rows.append((path.name, "cannot be read", *[""] * 5))
            continue
        contents.append(description.to_json())
        first = description.images[0] if description.images else None
        rows.append(
            (
                path.name,
                f"{description.format}, {description.layout}",
                str(len(description.images)),
                ", ".join(f"{axis.name}={axis.size}" for axis in first.axes) if first else "",
                first.dtype if first else "",
                description.status or "unknown",
                size_in_files(description.bytes_on_disk, description.files),
            )
        )

    def show() -> None:
        head = ("dataset", "format", "images", "first image", "dtype", "status", "size")
        screen.table(f"{folder}: {len(rows)} datasets", head, rows)
        for entry in contents:
            if "error" in entry:
                screen.error(entry["error"])
        if content.folders:
            names = abbreviated_list([path.name for path in content.folders])
            screen.line(f"Directories with further datasets: {names}")
        if content.others:
            screen.line(
                f"TIFF files without OME-XML: {abbreviated_list([p.name for p in content.others])}"
            )

    return Result({"path": str(folder), "datasets": contents}, show, ok=not failed)


def _show(path: Path, description: Description, options: Namespace, screen: Screen) -> None:
    screen.fields(description.path, _fields(description))
    images = description.images if options.all else description.images[:MAX_IMAGE_ROWS]
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
        screen.line(f"  ... and {hidden} more; --all shows them")
    if description.status == "writing" and writer_has_ended(path):
        screen.line(
            f"The process that wrote it has ended without closing it; run `ome-writers repair {path}`"
        )


def _fields(description: Description) -> dict[str, str]:
    fields = {
        "format": f"{description.format}, {description.layout}",
        "images": str(len(description.images)),
        "size": size_in_files(description.bytes_on_disk, description.files),
    }
    if description.frames is not None:
        fields["frames"] = description.frames
    fields["status"] = description.status or "unknown"
    fields["written by"] = description.written_by or "unknown"
    return fields


COMMAND = Command(
    name="info",
    summary="Describe an OME-Zarr or OME-TIFF by its metadata",
    examples=(
        ("ome-writers info demo.ome.zarr", "format, axes, channels, sizes, status"),
        ("ome-writers info run_p000.ome.tiff --json", "the same for a script"),
        ("ome-writers info .", "one line per dataset of a directory"),
        ("ome-writers info *.ome.zarr", "several datasets"),
    ),
    arguments=_arguments,
    run=_run,
    failure="a dataset cannot be read; the others are still described",
)
