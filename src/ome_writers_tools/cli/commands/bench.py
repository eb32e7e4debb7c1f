"""``ome-writers bench``: measures the write speed of each backend on this machine and disk."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from ome_writers.toolkit import COMPRESSIONS
from ome_writers_tools.cli.arguments import (
    add_disk_option,
    add_frame_options,
    backend_names,
    camera_dtype,
    positive,
    writable_directory,
)
from ome_writers_tools.cli.command import FAILURE, SUCCESS, Command

if TYPE_CHECKING:
    from ome_writers_tools.advice import Camera, EngineSpeed
    from ome_writers_tools.cli.console import Screen


def _arguments(parser: ArgumentParser) -> None:
    add_frame_options(parser, default="2048x2048")
    parser.add_argument(
        "--fps",
        type=positive,
        metavar="N",
        help="the camera's frames per second: show which backends keep up",
    )
    add_disk_option(parser)
    parser.add_argument(
        "--backend",
        "--engine",
        dest="backend",
        choices=backend_names(),
        metavar="NAME",
        action="append",
        help=f"measure this backend; may be repeated (default: all): {', '.join(backend_names())}",
    )
    parser.add_argument(
        "--compression", choices=tuple(COMPRESSIONS), help="compress the frames (default: none)"
    )
    parser.add_argument(
        "--durability",
        choices=("process", "disk"),
        default="process",
        help="disk: fsync all data (default: process)",
    )
    parser.add_argument(
        "--seconds",
        type=positive,
        default=2.0,
        metavar="S",
        help="approximate duration per backend; a longer one is less affected by caches (default: 2)",
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers_tools.advice import Camera, measure_engine

    height, width = options.frame
    dtype, folder = camera_dtype(options.dtype), writable_directory(options.disk)
    camera = Camera(height, width, dtype, options.fps or 0.0)
    engines = tuple(dict.fromkeys(options.backend or backend_names()))
    speeds = []
    with screen.progress("Backends", len(engines)) as advance:
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
            rate = f"{speed.frames_per_second:.0f} frames/s"
            advance(f"{engine}: {'not measured' if speed.refusal else rate}")
    speeds.sort(key=lambda speed: -speed.bytes_per_second)
    if options.json:
        screen.json(
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
        screen.error("no backend could be measured; the reasons are listed above")
        return FAILURE
    if options.fps and not any(_keeps_up(speed, camera) for speed in measured):
        best = measured[0]
        screen.error(
            f"no backend keeps up with {options.fps:g} frames/s here; the fastest, {best.engine}, reaches "
            f"{best.frames_per_second:.0f} frames/s"
        )
        return FAILURE
    return SUCCESS


def _show(screen: Screen, speeds: list[EngineSpeed], camera: Camera, folder: Path) -> None:
    columns = ["backend", "format", "frames/s", "MB/s", "longest append", "on disk"]
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
            screen.line(f"{speed.engine} was not measured: {speed.refusal}")


def _as_json(speed: EngineSpeed, camera: Camera) -> dict[str, object]:
    content = asdict(speed)
    if camera.fps and speed.refusal is None:
        content["keeps_up"] = _keeps_up(speed, camera)
    return content


def _keeps_up(speed: EngineSpeed, camera: Camera) -> bool:
    return speed.frames_per_second >= camera.fps


COMMAND = Command(
    name="bench",
    summary="Measure the write speed of each backend on this machine and disk",
    examples=(
        ("ome-writers bench --frame 2048x2048 --fps 100 --disk .", "which backends keep up"),
        (
            "ome-writers bench --backend direct --compression blosc-lz4 --json",
            "one backend, for a script",
        ),
    ),
    arguments=_arguments,
    run=_run,
)
