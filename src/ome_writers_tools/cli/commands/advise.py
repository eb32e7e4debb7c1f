"""``ome-writers advise``: measures a disk and proposes settings for a camera, with reasons."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from ome_writers import EngineMissingError
from ome_writers.toolkit import Method, PyramidMethod, engines_of, format_models, memory_bytes
from ome_writers_tools.cli.arguments import (
    add_disk_option,
    add_frame_options,
    camera_dtype,
    dataset_path,
    positive,
    writable_directory,
)
from ome_writers_tools.cli.command import FAILURE, SUCCESS, Command, UsageError

if TYPE_CHECKING:
    from ome_writers_tools.advice import Advice, Camera, Codec, DiskSpeed
    from ome_writers_tools.cli.console import Screen


def _arguments(parser: ArgumentParser) -> None:
    add_frame_options(parser, default=None)
    parser.add_argument("--fps", type=positive, metavar="N", help="frames per second")
    parser.add_argument(
        "--duration", type=positive, metavar="S", help="duration of the acquisition in seconds"
    )
    add_disk_option(parser)
    parser.add_argument(
        "--seconds",
        type=positive,
        default=3.0,
        metavar="S",
        help="duration of the measurement; a longer one is less affected by caches (default: 3)",
    )
    parser.add_argument(
        "--format",
        choices=[name for name, model in format_models().items() if model.suffixes],
        default="ome-zarr",
        help="the format to propose settings for (default: ome-zarr)",
    )
    parser.add_argument(
        "--pyramid",
        choices=get_args(Method),
        help="resolution levels computed by this method, and what they cost (default: none)",
    )
    parser.add_argument(
        "--noise",
        type=dataset_path,
        metavar="PATH",
        help="instead: estimate gain and offset of the camera from the first two frames of a dataset, for `quantize`",
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers_tools.advice import (
        Camera,
        advise,
        measure_codecs,
        measure_disk,
        measure_levels,
        needs_compression,
    )

    if options.noise is not None:
        return _show_noise(options, screen)
    missing = [f"--{name}" for name in ("frame", "fps") if getattr(options, name) is None]
    if missing:
        raise UsageError(f"the following arguments are required: {', '.join(missing)}")
    height, width = options.frame
    dtype, folder = camera_dtype(options.dtype), writable_directory(options.disk)
    camera = Camera(height, width, dtype, options.fps, options.duration)
    _check_supported(camera, options.format, options.pyramid)
    with screen.spinner(f"Writing to {folder.resolve()} for {options.seconds:g} s"):
        disk = measure_disk(folder, options.seconds)
    levels = measure_levels(camera, options.pyramid) if options.pyramid else None
    codecs: tuple[Codec, ...] = ()
    if needs_compression(camera, disk, levels):
        codecs = measure_codecs(camera, engines_of(options.format)[0].compressions)
    advice = advise(
        camera,
        disk,
        format=options.format,
        codecs=codecs,
        levels=levels,
        cores=os.cpu_count() or 1,
        memory=memory_bytes(),
    )
    if options.json:
        screen.json(_content(camera, disk, advice, options.pyramid))
    else:
        _show(screen, camera, disk, advice, options.pyramid)
    if advice.load == "too much":
        screen.error(
            advice.reasons.get("space")
            or (advice.share <= 1 and advice.reasons["pyramid"])
            or f"the camera delivers {advice.share:.1f} times the write speed of this disk; "
            "use a faster disk, a lower frame rate or smaller frames"
        )
        return FAILURE
    return SUCCESS


def _show_noise(options: Namespace, screen: Screen) -> int:
    """Estimate the noise of the camera that has recorded a dataset."""
    from ome_writers import open as open_view
    from ome_writers_tools.advice import estimate_noise

    view = open_view(options.noise)
    planes = list(islice(np.ndindex(*view.shape[:-2]), 2))
    if len(planes) < 2:
        raise UsageError(
            f"--noise: {options.noise} has one frame, two of the same scene are needed"
        )
    noise = estimate_noise(*(np.asarray(view[index]) for index in planes))
    if options.json:
        screen.json(noise.model_dump())
        return SUCCESS
    given = f"offset={noise.offset:.1f},gain={noise.gain:.4g}"
    screen.fields(
        str(options.noise),
        {
            "gain": f"{noise.gain:.4g} counts per electron",
            "offset": f"{noise.offset:.1f} counts, with a read noise of 0: above it, the variance is the same",
            "frames": f"{planes[0]} and {planes[1]}",
        },
    )
    screen.line(f"\nquantize=CameraNoise({given.replace(',', ', ')}), or --quantize {given}")
    return SUCCESS


def _check_supported(camera: Camera, format: str, pyramid: PyramidMethod | None) -> None:
    """Raise the error that a stream would raise for such frames, before the measurement."""
    from ome_writers import AcquisitionSettings, dims_from_standard_axes
    from ome_writers.toolkit import choose, resolve

    sizes = {"t": None, "y": camera.height, "x": camera.width}
    settings = AcquisitionSettings(
        root_path=f"run{format_models()[format].suffixes[0]}",
        dimensions=dims_from_standard_axes(sizes),
        dtype=camera.dtype,
        pyramid=pyramid,
    )
    with suppress(EngineMissingError):  # its library may be installed later
        choose("auto", resolve(settings))


def _content(
    camera: Camera, disk: DiskSpeed, advice: Advice, pyramid: PyramidMethod | None
) -> dict[str, Any]:
    return {
        "camera": {**asdict(camera), "bytes_per_second": camera.rate},
        "disk": asdict(disk),
        "advice": asdict(advice),
        "settings": _settings(camera, advice, pyramid),
    }


def _show(
    screen: Screen, camera: Camera, disk: DiskSpeed, advice: Advice, pyramid: PyramidMethod | None
) -> None:
    screen.fields(
        str(Path(disk.path).resolve()),
        {
            "camera": f"{camera.rate / 1e6:.0f} MB/s",
            "disk": f"{disk.bytes_per_second / 1e6:.0f} MB/s including fsync, "
            f"{disk.files_per_second:.0f} files/s, {disk.free / 1e9:.0f} GB free",
            "load": f"{advice.load}: {advice.share:.0%} of the disk's write speed",
        },
    )
    proposal = {"format": f"{advice.format}, backend {advice.engine}", **advice.reasons}
    screen.fields("\nproposal and reasons", proposal)
    screen.line("\nsettings in Python:\n")
    screen.line(_settings(camera, advice, pyramid))


def _settings(camera: Camera, advice: Advice, pyramid: PyramidMethod | None) -> str:
    suffix = format_models()[advice.format].suffixes[0]
    count = "None" if camera.frames is None else str(camera.frames)
    shard = "" if advice.shard_chunks is None else f", shard_size_chunks={advice.shard_chunks}"
    first = f'Dimension(name="t", count={count}, chunk_size={advice.chunk_frames}{shard})'
    y, x = advice.tile
    levels = "" if pyramid is None else f'\n    pyramid="{pyramid}",'
    return f"""\
from ome_writers import AcquisitionSettings, Dimension

settings = AcquisitionSettings(
    root_path="run{suffix}",
    dimensions=[
        {first},
        Dimension(name="y", count={camera.height}, chunk_size={y}),
        Dimension(name="x", count={camera.width}, chunk_size={x}),
    ],
    dtype="{camera.dtype}",
    compression="{advice.compression}",{levels}
    buffer_bytes={advice.buffer_bytes},
)
"""


COMMAND = Command(
    name="advise",
    summary="Measure a disk and propose settings for a camera",
    examples=(
        (
            "ome-writers advise --frame 2048x2048 --dtype uint16 --fps 100 --disk .",
            "chunks, shards and compression, with reasons",
        ),
        (
            "ome-writers advise --frame 512x512 --fps 1000 --duration 60 --json",
            "for a script; exit status 1 if the disk is too slow or too small",
        ),
        ("ome-writers advise --noise still.ome.zarr", "gain and offset of the camera"),
    ),
    arguments=_arguments,
    run=_run,
    failure="the disk is too slow or too small, or cannot be measured",
)
