"""``ome-writers convert``: writes a dataset again, in the other format or with other chunks."""

from __future__ import annotations

import argparse
import time
import warnings
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, get_args

from ome_writers.cli.arguments import ask_json, dataset_path, format_name, output_path
from ome_writers.cli.command import SUCCESS, Command, CommandError, UsageError
from ome_writers.cli.console import human_size, size_in_files
from ome_writers.cli.description import describe
from ome_writers.errors import SettingsError
from ome_writers.settings import BackendName, Compression

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from pathlib import Path

    from ome_writers.cli.console import Advance, Screen


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "path",
        type=dataset_path,
        metavar="SOURCE",
        help="an OME-Zarr folder, an OME-TIFF file or its folder",
    )
    parser.add_argument(
        "destination", type=output_path, metavar="DEST", help="NAME.ome.zarr or NAME.ome.tiff"
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace DEST if ome-writers wrote it"
    )
    parser.add_argument(
        "--compression",
        choices=get_args(Compression),
        help="for OME-Zarr: none, blosc-zstd, blosc-lz4, zstd, gzip; for OME-TIFF: none, lzw, deflate, "
        "zstd (default: from Zarr to Zarr as in SOURCE, else none)",
    )
    parser.add_argument(
        "--chunk",
        type=_shape,
        default={},
        metavar="AXES",
        help="places or pixels of a chunk, as in t=16,y=512,x=512 (default: as in SOURCE, or a frame)",
    )
    parser.add_argument(
        "--shard", type=_shape, default={}, metavar="AXES", help="chunks of a shard, as in t=64"
    )
    parser.add_argument(
        "--engine", choices=get_args(BackendName), help="what writes (default: the fitting one)"
    )
    parser.add_argument(
        "--image",
        type=int,
        action="append",
        metavar="N",
        help="convert this image only, counted from 0; may be given several times (images that one dataset "
        "cannot hold together become NAME_0, NAME_1, ...)",
    )
    parser.add_argument(
        "--verify", action="store_true", help="read every frame of DEST again, and compare"
    )
    ask_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers.conversion import split_images

    format = _format(options)
    try:
        parts = split_images(options.path, options.image)
    except SettingsError as error:
        raise CommandError(str(error)) from error
    datasets = []
    for number, images in enumerate(parts):
        destination = options.destination
        if len(parts) > 1:
            destination = _numbered(destination, number)
            screen.complain(
                f"{options.path} has images that one dataset cannot hold together (frames, pixel sizes or cameras "
                f"differ): {_listed(images)} of {sum(map(len, parts))} becomes {destination}"
            )
        datasets.append(_convert(options, screen, images, destination, format))
    if options.json:
        screen.data(datasets[0] if len(datasets) == 1 else {"datasets": datasets})
    return SUCCESS


def _convert(
    options: Namespace, screen: Screen, images: list[int], destination: Path, format: str
) -> dict[str, Any]:
    """Convert some images into one dataset; return what was done."""
    from ome_writers.conversion import convert

    began = time.perf_counter()
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # they were said when SOURCE was written
        bars: list[Advance] = []
        labels = iter(("Written", "Verified"))

        def on_frame(done: int, total: int) -> None:
            nonlocal began
            if done == 1:
                stack.close()  # ends the bar of the frames that were written
                bars.append(stack.enter_context(screen.progress(next(labels), total)))
                began = time.perf_counter()
            bars[-1](f"{done / (time.perf_counter() - began):.0f} frames/s")

        try:
            made = convert(
                options.path,
                destination,
                format=format,
                compression=options.compression,
                chunk_shapes=options.chunk,
                shard_shapes=options.shard,
                images=images,
                overwrite=options.overwrite,
                verify=options.verify,
                on_frame=on_frame,
            )
        except SettingsError as error:
            raise CommandError(_as_typed(str(error))) from error
    description = describe(made.destination)
    if not options.json:
        rows = {
            "from": str(made.source),
            "format": f"{description.format}, {description.layout}",
            "images": str(made.images),
            "frames": str(made.frames) + (f" and {made.empty} empty places" if made.empty else ""),
            "pixels": human_size(made.pixel_bytes),
            "size on disk": size_in_files(description.bytes_on_disk, description.files),
            "took": f"{made.seconds:.1f} s",
        }
        if made.verified:
            rows["verified"] = "every frame reads as in the source"
        screen.facts(f"\n{made.destination}", rows)
    facts = asdict(made) | {"source": str(made.source), "destination": str(made.destination)}
    return {**facts, "bytes_on_disk": description.bytes_on_disk}


def _numbered(destination: Path, number: int) -> Path:
    """Return the name of one of several datasets: ``run_0.ome.zarr``."""
    from ome_writers.settings import split_suffix

    stem, suffix = split_suffix(destination.name)
    return destination.with_name(f"{stem}_{number}{suffix}")


def _listed(images: list[int]) -> str:
    shown = ", ".join(map(str, images[:5])) + (", ..." if len(images) > 5 else "")
    return f"image {shown}" if len(images) == 1 else f"images {shown}"


def _as_typed(message: str) -> str:
    """Return a message of the library with the options' names in place of the arguments'."""
    for argument, option in (
        ("chunk_shapes", "--chunk"),
        ("shard_shapes", "--shard"),
    ):
        message = message.replace(argument, option)
    return message


def _format(options: Namespace) -> str:
    """Return what the settings are to take as format; refuse a name that says none, and what does not go with it."""
    from ome_writers.settings import FORMAT_NAMES

    destination: Path = options.destination
    engine: str | None = options.engine
    name = format_name(destination)
    if name == "ome-tiff" and (options.chunk or options.shard):
        option = "--chunk" if options.chunk else "--shard"
        raise UsageError(f"{option}: OME-TIFF has neither chunks nor shards, each plane is a page")
    if engine is None:
        return "auto"
    if FORMAT_NAMES[engine]["name"] != name:
        raise UsageError(f"--engine: {engine} does not write what {destination} is called")
    return engine


def _shape(text: str) -> dict[str, int]:
    shape = {}
    for word in text.split(","):
        name, _, count = word.partition("=")
        if not name.strip() or not count.strip().isdecimal() or int(count) < 1:
            raise argparse.ArgumentTypeError(
                f"{text!r} does not give axes their extent, as in t=16,y=512"
            )
        if name.strip() in shape:
            raise argparse.ArgumentTypeError(f"{text!r} names {name.strip()} twice")
        shape[name.strip()] = int(count)
    return shape


COMMAND = Command(
    name="convert",
    summary="Write a dataset again: in the other format, or with other chunks and compression",
    examples=(
        ("ome-writers convert run.ome.zarr run.ome.tiff --verify", "and compare every frame"),
        (
            "ome-writers convert run.ome.tiff run.ome.zarr --compression blosc-zstd",
            "OME-TIFF to compressed OME-Zarr",
        ),
        (
            "ome-writers convert a.ome.zarr b.ome.zarr --chunk t=16,y=256,x=256 --shard t=8",
            "other chunks, in shards",
        ),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; the incomplete copy was removed",
)
