"""``ome-writers bench``: how fast each engine writes a camera's frames on this machine and disk."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, get_args

from ome_writers.cli.arguments import (
    ask_disk,
    ask_dtype,
    ask_json,
    camera_dtype,
    disk_folder,
    frame_size,
    positive,
)
from ome_writers.cli.command import FAILURE, SUCCESS, Command
from ome_writers.settings import BackendName, Compression

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers.advice import Camera, EngineSpeed
    from ome_writers.cli.console import Screen


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--frame",
        type=frame_size,
        default=(2048, 2048),
        metavar="HxW",
        help="height and width of a frame in pixels (default: 2048x2048)",
    )
    ask_dtype(parser)
    parser.add_argument(
        "--fps", type=positive, metavar="N", help="the camera's frames a second: say who keeps up"
    )
    ask_disk(parser)
    parser.add_argument(
        "--engine",
        choices=get_args(BackendName),
        action="append",
        help="measure this one only; may be given several times (default: all)",
    )
    parser.add_argument(
        "--compression", choices=get_args(Compression), help="compress the frames (default: none)"
    )
    parser.add_argument(
        "--durability",
        choices=("process", "disk"),
        default="process",
        help="disk: force all data to the medium (default: process)",
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        default=2.0,
        metavar="S",
        help="about how long each engine writes; longer sees through caches (default: 2)",
    )
    ask_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers.advice import Camera, measure_engine

    height, width = options.frame
    dtype, folder = camera_dtype(options.dtype), disk_folder(options.disk)
    camera = Camera(height, width, dtype, options.fps or 0.0)
    engines = tuple(dict.fromkeys(options.engine or get_args(BackendName)))
    speeds = []
    with screen.progress("Engines", len(engines)) as advance:
        for engine in engines:
            speed = measure_engine(
                engine,
                camera,
                folder,
                seconds=options.seconds,
                compression=options.compression,
                durability=options.durability,
            )
            speeds.append(speed)
            advance(f"{engine}: {_rate(speed)}")
    speeds.sort(key=lambda speed: -speed.bytes_per_second)
    if options.json:
        screen.data(
            {
                "frame": [height, width],
                "dtype": dtype,
                "fps": options.fps,
                "disk": str(folder.resolve()),
                "compression": options.compression or "none",
                "durability": options.durability,
                "engines": [_as_json(speed, camera) for speed in speeds],
            }
        )
    else:
        _show(screen, speeds, camera, folder)
    measured = [speed for speed in speeds if speed.refusal is None]
    if not measured:
        screen.complain("no engine could be measured; the reasons are above")
        return FAILURE
    if options.fps and not any(_keeps_up(speed, camera) for speed in measured):
        best = measured[0]
        screen.complain(
            f"no engine keeps up with {options.fps:g} frames/s here; {best.engine} reaches "
            f"{best.frames_per_second:.0f}"
        )
        return FAILURE
    return SUCCESS


def _show(screen: Screen, speeds: list[EngineSpeed], camera: Camera, folder: Path) -> None:
    columns = ["engine", "format", "frames/s", "MB/s", "longest append", "on disk"]
    if camera.fps:
        columns.append(f"keeps up with {camera.fps:g} frames/s")
    rows = []
    for speed in speeds:
        if speed.refusal is None:
            share = speed.bytes_on_disk / (speed.frames * camera.frame_bytes)
            row = [
                speed.engine,
                speed.format,
                f"{speed.frames_per_second:.0f}",
                f"{speed.bytes_per_second / 1e6:.0f}",
                f"{speed.longest_append * 1e3:.0f} ms",
                f"{share:.0%}",
            ]
            rows.append([*row, "yes" if _keeps_up(speed, camera) else "no"][: len(columns)])
    title = f"{camera.height}x{camera.width} {camera.dtype} to {folder.resolve()}"
    if rows:
        screen.table(title, columns, rows)
    for speed in speeds:
        if speed.refusal is not None:
            screen.say(f"{speed.engine} was not measured: {speed.refusal}")


def _as_json(speed: EngineSpeed, camera: Camera) -> dict[str, object]:
    facts = asdict(speed)
    if camera.fps and speed.refusal is None:
        facts["keeps_up"] = _keeps_up(speed, camera)
    return facts


def _keeps_up(speed: EngineSpeed, camera: Camera) -> bool:
    return speed.frames_per_second >= camera.fps


def _rate(speed: EngineSpeed) -> str:
    return "not measured" if speed.refusal else f"{speed.frames_per_second:.0f} frames/s"


COMMAND = Command(
    name="bench",
    summary="Measure how fast each engine writes a camera's frames on this machine and disk",
    examples=(
        ("ome-writers bench --frame 2048x2048 --fps 100 --disk .", "which engines keep up"),
        ("ome-writers bench --engine direct --compression blosc-lz4 --json", "one, for a script"),
    ),
    arguments=_arguments,
    run=_run,
)
