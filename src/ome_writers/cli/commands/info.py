"""``ome-writers info``: what a dataset says of itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.cli.arguments import ask_dataset, ask_json
from ome_writers.cli.command import SUCCESS, Command
from ome_writers.cli.describing import describe, writer_is_gone
from ome_writers.cli.screen import size_in_files

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ome_writers.cli.describing import Description
    from ome_writers.cli.screen import Screen

ROWS = 12
"""How many images the table shows; `--all` shows the rest of a large plate."""


def _arguments(parser: ArgumentParser) -> None:
    ask_dataset(parser)
    parser.add_argument(
        "--all", action="store_true", help=f"show every image, not the first {ROWS} only"
    )
    ask_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    description = describe(options.path)
    if options.json:
        screen.data(description.to_json())
        return SUCCESS
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
    if description.status == "writing" and writer_is_gone(options.path):
        screen.say(
            f"Its writer has ended without closing it; `ome-writers repair {options.path}` makes it tidy"
        )
    return SUCCESS


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
    ),
    arguments=_arguments,
    run=_run,
)
