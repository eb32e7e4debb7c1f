"""``ome-writers convert``: copies a dataset to the other format or to other chunks."""

from __future__ import annotations

import time
import warnings
from argparse import ArgumentParser, Namespace
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

from ome_writers.toolkit import Method
from ome_writers_tools.cli.arguments import (
    add_dataset_argument,
    add_storage_options,
    backend_names,
    camera_noise,
    format_name,
    output_path,
    tile_size,
)
from ome_writers_tools.cli.command import SUCCESS, Command, UsageError
from ome_writers_tools.cli.console import Advance, Screen
from ome_writers_tools.cli.description import describe
from ome_writers_tools.cli.quantities import human_size


def _arguments(parser: ArgumentParser) -> None:
    add_dataset_argument(parser, "SOURCE", remote=True)
    parser.add_argument(
        "destination",
        type=output_path,
        metavar="DEST",
        nargs="?",
        help="NAME.ome.zarr, NAME.ome.tiff or NAME.ozx (with --ngff: default SOURCE itself)",
    )
    parser.add_argument(
        "--ngff",
        choices=("0.4", "0.5", "0.6"),
        help="version of OME-Zarr; without DEST, only the metadata of SOURCE are rewritten, in place (not 0.4)",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace DEST if ome-writers wrote it"
    )
    add_storage_options(parser)
    parser.add_argument(
        "--tile",
        type=tile_size,
        default="auto",
        metavar="SIZE",
        help="for OME-TIFF: tiles of this size in pixels, as in 512 or 512,256 (y,x), multiples of 16; none: strips "
        "(default: at most 512 x 512 with --pyramid, otherwise none)",
    )
    parser.add_argument(
        "--pyramid",
        choices=get_args(Method),
        help="write resolution levels, computed by this method (default: those of SOURCE, from Zarr to Zarr)",
    )
    parser.add_argument(
        "--quantize",
        type=camera_noise,
        metavar="NOISE",
        help="lossy: round pixels by the noise of the camera, as in offset=100,gain=0.5,read_noise=1.6,step=0.5 (gain "
        "in counts per electron, read_noise in electrons)",
    )
    parser.add_argument(
        "--checksum",
        action="store_true",
        help="store a checksum of each chunk, or of each plane of an OME-TIFF (default: as SOURCE)",
    )
    parser.add_argument(
        "--backend",
        "--engine",
        dest="backend",
        choices=backend_names(),
        metavar="NAME",
        help=f"writing backend (default: chosen by the format): {', '.join(backend_names())}",
    )
    parser.add_argument(
        "--image",
        type=int,
        action="append",
        metavar="N",
        help="convert this image only, counted from 0; may be repeated (images that do not fit in one dataset "
        "become NAME_0, NAME_1, ...)",
    )
    parser.add_argument(
        "--axes",
        help="axes of SOURCE, as in tzyx, if it has none (.npy, plain TIFF or Zarr) or the wrong ones",
    )
    parser.add_argument(
        "--verify", action="store_true", help="read back every frame of DEST and compare"
    )


def _run(options: Namespace, screen: Screen) -> int:
    from ome_writers_tools.conversion import split_images

    if options.destination is None:
        return _change_version(options, screen)
    format = _format(options)
    parts: list[list[int] | None] = [None]
    if options.image or not _is_copy(options):
        parts = [*split_images(options.path, options.image)]
    datasets = []
    for number, images in enumerate(parts):
        destination = options.destination
        if images is not None and len(parts) > 1:
            destination = _numbered(destination, number)
            screen.error(
                f"{options.path}: the images do not fit in one dataset (frame size, pixel size or cameras differ): "
                f"{_listed(images)} of {sum(len(p or ()) for p in parts)} becomes {destination}"
            )
        datasets.append(_convert(options, screen, images, destination, format))
    if options.json:
        screen.json(datasets[0] if len(datasets) == 1 else {"datasets": datasets})
    return SUCCESS


def _change_version(options: Namespace, screen: Screen) -> int:
    """Rewrite the metadata of an OME-Zarr in another version."""
    from ome_writers import convert_ngff_version

    if options.ngff is None:
        raise UsageError("required: DEST, the dataset to write; or --ngff, to rewrite metadata")
    files = convert_ngff_version(options.path, options.ngff)
    content = {"path": str(options.path), "ngff": options.ngff, "files": list(map(str, files))}
    if options.json:
        screen.json(content)
    else:
        replaced = f"{len(files)} zarr.json replaced" if files else "nothing to change"
        screen.fields(str(options.path), {"version": options.ngff, "metadata": replaced})
    return SUCCESS


def _convert(
    options: Namespace,
    screen: Screen,
    images: list[int] | None,
    destination: Path,
    format: str | dict[str, Any],
) -> dict[str, Any]:
    """Convert some images into one dataset; return the ``--json`` content."""
    from ome_writers_tools.conversion import convert

    start = time.perf_counter()
    unit = "files" if _is_copy(options) else "frames"
    with ExitStack() as stack, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # repeated from the acquisition of SOURCE
        bars: list[Advance] = []
        labels = iter(("Written", "Verified"))

        def on_frame(done: int, total: int) -> None:
            nonlocal start
            if done == 1:
                stack.close()  # ends the first bar
                bars.append(stack.enter_context(screen.progress(next(labels), total)))
                start = time.perf_counter()
            rate = (done - 1) / (time.perf_counter() - start)  # the time of the first is not known
            bars[-1](f"{rate:.0f} {unit}/s" if done > 1 else "")

        result = convert(
            options.path,
            destination,
            format=format,
            compression=options.compression,
            chunk_shapes=options.chunk,
            shard_shapes=options.shard,
            images=images,
            axes=options.axes,
            overwrite=options.overwrite,
            verify=options.verify,
            pyramid=options.pyramid,
            quantize=options.quantize,
            on_frame=on_frame,
        )
    description = describe(result.destination)
    if not options.json:
        rows = {
            "from": str(result.source),
            "format": f"{description.format}, {description.layout}",
            "images": str(result.images),
            "frames": str(result.frames)
            + (f" and {result.empty} empty indices" if result.empty else ""),
            "pixels": human_size(result.pixel_bytes),
            "size on disk": description.size,
            "duration": f"{result.seconds:.1f} s",
        }
        if result.verified:
            rows["verified"] = "every frame equals the source"
        if result.not_copied:
            rows["not copied"] = ", ".join(result.not_copied)
        screen.fields(f"\n{result.destination}", rows)
    content = asdict(result) | {
        "source": str(result.source),
        "destination": str(result.destination),
    }
    return {**content, "bytes_on_disk": description.bytes_on_disk}


def _is_copy(options: Namespace) -> bool:
    """Return whether the files of a dataset are packed into a single file, or unpacked."""
    from ome_writers.toolkit import archive_format, format_row, inferred_format

    if archive_format(options.destination):
        return True
    encoded = (
        options.compression
        or options.chunk
        or options.shard
        or options.backend
        or options.ngff
        or options.axes
        or options.pyramid
        or options.checksum
        or options.quantize
        or options.tile != "auto"
    )
    row = format_row(inferred_format(str(options.destination))[0]["name"])
    return archive_format(options.path) is row and not encoded and not options.image


def _numbered(destination: Path, number: int) -> Path:
    """Return the name of one of several datasets: ``run_0.ome.zarr``."""
    from ome_writers.toolkit import split_suffix

    stem, suffix = split_suffix(destination.name)
    return destination.with_name(f"{stem}_{number}{suffix}")


def _listed(images: list[int]) -> str:
    shown = ", ".join(map(str, images[:5])) + (", ..." if len(images) > 5 else "")
    return f"image {shown}" if len(images) == 1 else f"images {shown}"


def _format(options: Namespace) -> str | dict[str, Any]:
    """Return the `format` of the settings; raise UsageError if options contradict the suffix of DEST."""
    from ome_writers.toolkit import archive_format, find_engine, format_row

    destination: Path = options.destination
    engine: str | None = options.backend
    archive = archive_format(destination)
    row = archive or format_row(format_name(destination))
    if row.chunked and options.tile != "auto":
        raise UsageError(f"--tile: {row.title} has chunks instead: write --chunk y=512,x=512")
    if archive:  # `convert` refuses any other format than "auto"
        return engine or (archive.name if options.ngff or options.checksum else "auto")
    if not row.chunked and (options.chunk or options.shard):
        option = "--chunk" if options.chunk else "--shard"
        raise UsageError(f"{option}: {row.title} has neither chunks nor shards; leave it out")
    if options.checksum and "checksum" not in row.settings.model_fields:
        raise UsageError(f"--checksum: {row.title} has no checksums; leave it out")
    if options.ngff == "0.4" and row.ngff_versions:
        if engine or options.shard or options.checksum:
            raise UsageError(
                "--ngff 0.4: no other backend, no shards and no checksums; leave out --backend, --shard, --checksum"
            )
        return f"{row.name}-0.4"
    if options.ngff and options.ngff not in row.ngff_versions:
        raise UsageError(f"--ngff: {row.title} has no NGFF version; leave it out")
    if engine is not None and (found := find_engine(engine)) and found.format != row.name:
        raise UsageError(f"--backend: {engine} does not write the format of {destination}")
    tile = {} if options.tile == "auto" else {"tile": options.tile}
    version = {"version": options.ngff} if options.ngff else {}
    given = tile | version | ({"checksum": True} if options.checksum else {})
    backend = engine or "auto"
    return {"name": row.name, "backend": backend, **given} if given else backend


COMMAND = Command(
    name="convert",
    summary="Copy a dataset to the other format, or with other chunks and compression",
    examples=(
        ("ome-writers convert run.ome.zarr run.ome.tiff --verify", "compares every frame"),
        (
            "ome-writers convert run.ome.tiff run.ome.zarr --compression blosc-zstd",
            "OME-TIFF to compressed OME-Zarr",
        ),
        (
            "ome-writers convert a.ome.zarr b.ome.zarr --chunk t=16,y=256,x=256 --shard t=8",
            "other chunks, in shards",
        ),
        ("ome-writers convert run.ome.zarr run.ome.tiff --tile 512", "in tiles, for regions of it"),
        ("ome-writers convert run.ome.zarr --ngff 0.6", "rewrites the metadata only, in place"),
        (
            "ome-writers convert run.ome.zarr run.ozx",
            "packs it into a single file, as it is stored",
        ),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; the incomplete copy was removed",
)
