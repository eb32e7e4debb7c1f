"""``ome-writers edit``: corrects pixel size, names, colors and display windows of a dataset in place."""

from __future__ import annotations

import json
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any

from ome_writers.cli.command import Command, CommandError, UsageError
from ome_writers.cli.datasets import Result, add_datasets_argument, process_datasets
from ome_writers.cli.quantities import counted

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers.cli.console import Relabel, Screen


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.rpartition("=")
    if not key or not equals or not value:
        raise ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return key, value


def _name(text: str) -> tuple[str, str]:
    return _pair(text) if "=" in text else ("", text)


def _scale(text: str) -> dict[str, float]:
    pairs = (_pair(part) for part in text.split(","))
    return {axis.strip(): _number(step) for axis, step in pairs}


def _window(text: str) -> tuple[str, tuple[float, float]]:
    key, value = _pair(text)
    low, colon, high = value.partition(":")
    if not colon:
        raise ArgumentTypeError(f"expected CHANNEL=LOW:HIGH, got {text!r}")
    return key, (_number(low), _number(high))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"expected a number, got {text!r}") from None


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser)
    parser.add_argument(
        "--scale",
        type=_scale,
        metavar="x=STEP,...",
        help="pixel size x, y and distance of planes z in micrometers, time interval t in seconds",
    )
    options: tuple[tuple[str, Any, str, str], ...] = (
        ("--name", _name, "IMAGE=NAME", "rename an image (of a single one: NAME)"),
        ("--channel-name", _pair, "CHANNEL=NAME", "rename a channel"),
        ("--channel-color", _pair, "CHANNEL=COLOR", "a name, or #rrggbb"),
        (
            "--channel-window",
            _window,
            "CHANNEL=LOW:HIGH",
            "range of pixel values that is displayed",
        ),
    )
    for option, type, metavar, text in options:
        parser.add_argument(
            option,
            type=type,
            action="append",
            default=[],
            metavar=metavar,
            help=f"{text}, given by number or present name; may be repeated",
        )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers.conversion import edit

    channels: dict[int | str, dict[str, Any]] = {}
    for field in ("name", "color", "window"):
        for key, value in getattr(options, f"channel_{field}"):
            channels.setdefault(key, {})[field] = value
    if not (options.scale or options.name or channels):
        raise UsageError("nothing to edit: give --scale, --name, or one of the --channel options")

    def process(path: Path, _: Relabel) -> Result:
        names = _names(path, options.name)
        files = edit(path, scale=options.scale, names=names, channels=channels)
        content = {"path": str(path), "files": [str(file) for file in files]}
        return Result(
            content, lambda: screen.line(f"{path}: {counted(len(files), 'metadata file')} changed")
        )

    return process_datasets(options, screen, "Editing", process)


def _names(path: Path, given: list[tuple[str, str]]) -> dict[int | str, str]:
    """Return the new names by image; a name without an image belongs to the only one."""
    if all(key for key, _ in given):
        return dict(given)
    from ome_writers.formats import read

    images = read(path).images
    if len(images) > 1:
        raise CommandError(
            f"{path} has {len(images)} images: say which one --name renames, as in "
            f"--name {json.dumps(f'{images[0].name}={given[0][1]}')}"
        )
    return {key or 0: name for key, name in given}


COMMAND = Command(
    name="edit",
    summary="Correct pixel size, names, colors and display windows in place",
    examples=(
        ("ome-writers edit run.ome.zarr --scale x=0.325,y=0.325,z=1", "micrometers"),
        ("ome-writers edit run.ome.tiff --channel-name 0=DAPI --channel-color 0=blue", ""),
        ("ome-writers edit run.ome.zarr --channel-window DAPI=100:4000 --name 0=control", ""),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; run it again to finish",
    failure="a dataset cannot be edited; nothing of it was changed, and the others are still processed",
)
