"""``ome-writers edit``: corrects pixel size, names, positions and other metadata of a dataset in place."""

from __future__ import annotations

import json
import re
from argparse import ArgumentTypeError
from typing import TYPE_CHECKING, Any

from ome_writers_tools.cli.command import Command, CommandError, UsageError
from ome_writers_tools.cli.datasets import Result, add_datasets_argument, process_datasets
from ome_writers_tools.cli.quantities import counted

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers_tools.cli.console import Relabel, Screen


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.rpartition("=")
    if not key or not equals or not value:
        raise ArgumentTypeError(f"expected NAME=VALUE, got {text!r}")
    return key, value


def _name(text: str) -> tuple[str, str]:
    return _pair(text) if "=" in text else ("", text)


def _position(text: str) -> tuple[str, dict[str, float]]:
    found = re.fullmatch(r"(?:(.+)=)?([a-z]=[^=,]+(?:,[a-z]=[^=,]+)*)", text)
    if not found:
        raise ArgumentTypeError(f"expected IMAGE=x=NUMBER,y=NUMBER, got {text!r}")
    return found[1] or "", _scale(found[2])


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
        raise ArgumentTypeError(f"expected a number without a unit, got {text!r}") from None


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
        (
            "--position",
            _position,
            "IMAGE=x=X,y=Y,z=Z",
            "stage position of an image in micrometers (of a single one: x=X,...)",
        ),
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
    parser.add_argument("--description", metavar="TEXT", help="what the dataset is")
    parser.add_argument(
        "--started",
        metavar="TIME",
        help="when the acquisition began, as 2026-11-24T09:00:00+01:00; without time zone: local time",
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers_tools.conversion import edit

    channels: dict[int | str, dict[str, Any]] = {}
    for field in ("name", "color", "window"):
        for key, value in getattr(options, f"channel_{field}"):
            channels.setdefault(key, {})[field] = value
    texts = (options.description, options.started)
    if not (options.scale or options.name or options.position or channels or texts != (None, None)):
        raise UsageError(
            "nothing to edit: give --scale, --name, --position, --description, --started, or one of the --channel "
            "options"
        )

    def process(path: Path, _: Relabel) -> Result:
        files = edit(
            path,
            scale=options.scale,
            names=_by_image(path, "--name", options.name),
            channels=channels,
            positions=_by_image(path, "--position", options.position),
            description=options.description,
            started=options.started,
        )
        content = {"path": str(path), "files": [str(file) for file in files]}
        return Result(
            content, lambda: screen.line(f"{path}: {counted(len(files), 'metadata file')} changed")
        )

    return process_datasets(options, screen, "Editing", process)


def _by_image(path: Path, option: str, given: list[tuple[str, Any]]) -> dict[int | str, Any]:
    """Return the values of an option by image; one without an image belongs to the only one."""
    if all(key for key, _ in given):
        return dict(given)
    from ome_writers import read

    images = read(path).images
    if len(images) > 1:
        value = next(value for key, value in given if not key)
        if not isinstance(value, str):
            value = ",".join(f"{axis}={number:g}" for axis, number in value.items())
        raise CommandError(
            f"{path} has {len(images)} images: name the one that {option} concerns, as in "
            f"{option} {json.dumps(f'{images[0].name}={value}')}"
        )
    return {key or 0: value for key, value in given}


COMMAND = Command(
    name="edit",
    summary="Correct pixel size, names, positions and other metadata in place",
    examples=(
        ("ome-writers edit run.ome.zarr --scale x=0.325,y=0.325,z=1", "micrometers"),
        ("ome-writers edit run.ome.tiff --channel-name 0=DAPI --channel-color 0=blue", ""),
        ("ome-writers edit run.ome.zarr --channel-window DAPI=100:4000 --name 0=control", ""),
        ("ome-writers edit run.ome.zarr --position 0=x=1200,y=-35", "micrometers"),
        ('ome-writers edit run.ome.zarr --description "HeLa, 2 h after washout"', ""),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; run it again to finish",
    failure="a dataset cannot be edited; nothing of it was changed, and the others are still processed",
)
