"""``ome-writers demo``: from a camera to a dataset that a third-party reader opens."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

from ome_writers import DatasetSpec, read
from ome_writers.toolkit import split_suffix
from ome_writers_tools.cli.arguments import format_name, output_path, positive_count
from ome_writers_tools.cli.command import SUCCESS, Command, CommandError
from ome_writers_tools.cli.console import Screen
from ome_writers_tools.cli.contact_sheet import (
    contact_sheet,
    draw_sheet,
    refuse_existing,
    sheet_times,
)
from ome_writers_tools.cli.dataset_sheet import pixel_size
from ome_writers_tools.cli.demo.acquisition import Acquisition, acquire, open_microscope
from ome_writers_tools.cli.demo.third_party_readers import (
    ReaderDataset,
    ReaderImage,
    open_with_third_party_reader,
)
from ome_writers_tools.cli.description import describe
from ome_writers_tools.cli.quantities import human_size

DEFAULT = "demo.ome.zarr"


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "out",
        nargs="?",
        type=output_path,
        metavar="OUT",
        help=f"NAME.ome.zarr or NAME.ome.tiff (default: {DEFAULT}, or the next unused name)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace OUT if ome-writers wrote it, and its contact sheet",
    )
    parser.add_argument(
        "--timepoints",
        type=positive_count,
        default=8,
        metavar="N",
        help="number of time points, 20 frames each (default: 8)",
    )


def _run(options: Namespace, screen: Screen) -> int:
    output: Path = options.out or _unused_path(Path(DEFAULT))
    format_name(output)  # raises before the microscope is loaded
    microscope = open_microscope(options.timepoints)
    path = microscope.output_path(output)
    if path.exists() and not options.overwrite:
        raise CommandError(
            f"{path} already exists; choose another name, or pass --overwrite to replace it"
        )
    picture = _picture(path)
    refuse_existing(picture, overwrite=options.overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)

    planned = sum(1 for _ in microscope.sequence)
    with screen.progress("Demo camera", planned) as advance:
        acquisition = acquire(
            microscope,
            output,
            overwrite=options.overwrite,
            on_frame=lambda count, seconds: advance(f"{count / seconds:.0f} frames/s"),
        )
    dataset = open_with_third_party_reader(path)
    wrong = dataset.mismatches(acquisition.frames)
    _draw_contact_sheet(dataset, read(path), picture, overwrite=options.overwrite)
    result = {
        **_result(path, acquisition, dataset),
        "frames_planned": planned,
        "frames_wrong": len(wrong),
        "picture": str(picture),
    }
    if options.json:
        screen.json(result)
    else:
        _show(screen, result)
    if wrong or len(acquisition.frames) != planned:
        raise CommandError(
            f"{path}: {len(wrong)} of {len(acquisition.frames)} delivered frames ({planned} planned) "
            "differ from the camera's"
        )
    return SUCCESS


def _result(path: Path, acquisition: Acquisition, dataset: ReaderDataset) -> dict[str, Any]:
    frames, seconds = len(acquisition.frames), acquisition.seconds
    first, description = dataset.images[0], describe(path)
    return {
        "path": str(path),
        "reader": dataset.reader,
        "images": [image.name for image in dataset.images],
        "axes": list(first.axes),
        "shape": [int(size) for size in first.pixels.shape],
        "dtype": str(first.plane({}).dtype),
        "channels": list(first.channels),
        "frames_delivered": frames,
        "bytes_on_disk": description.bytes_on_disk,
        "seconds": round(seconds, 3),
        "frames_per_second": round(frames / seconds, 1),
        "status": description.status,
    }


def _show(screen: Screen, result: dict[str, Any]) -> None:
    shape = " x ".join(map(str, result["shape"]))
    frames, wrong = result["frames_delivered"], result["frames_wrong"]
    verdict = "every frame equals the camera's" if not wrong else f"{wrong} frames differ"
    screen.fields(
        f"\n{result['path']}",
        {
            "opened with": result["reader"],
            "images": f"{len(result['images'])} ({', '.join(result['images'])})",
            "axes": ", ".join(result["axes"]),
            "shape": f"{shape} {result['dtype']} per image",
            "channels": ", ".join(result["channels"]),
            "size on disk": human_size(result["bytes_on_disk"]),
            "speed": f"{result['frames_per_second']} frames/s "
            f"({frames} frames in {result['seconds']:.1f} s, limited by the exposure)",
            "pixels": f"{verdict} ({frames - wrong} of {result['frames_planned']} frames compared equal)",
            "status": result["status"] or "unknown",
            "picture": result["picture"],
        },
    )


def _draw_contact_sheet(
    dataset: ReaderDataset, spec: DatasetSpec, picture: Path, *, overwrite: bool
) -> None:
    """Save the middle z plane of every position, channel and (up to eight) time points."""
    times = sheet_times(max((_size(image, "t") for image in dataset.images), default=1))
    sheet = contact_sheet(
        [image.name for image in dataset.images],
        times,
        spec.images[0].channels,
        lambda p, t, c: dataset.images[p].plane(
            {"t": t, "c": c, "z": _size(dataset.images[p], "z") // 2}
        ),
    )
    title = f"{spec.path.name}, opened with {dataset.reader}"
    draw_sheet(sheet, title, picture, pixel_size=pixel_size(spec), overwrite=overwrite)


def _size(image: ReaderImage, axis: str) -> int:
    return int(image.pixels.shape[image.axes.index(axis)]) if axis in image.axes else 1


def _picture(path: Path) -> Path:
    return path.with_name(split_suffix(path.name)[0] + ".png")


def _unused_path(path: Path) -> Path:
    """Return `path` or the first of NAME-1.ome.zarr, NAME-2.ome.zarr ... without a dataset or a contact sheet."""
    (stem, suffix), candidate, number = split_suffix(path.name), path, 0
    while candidate.exists() or _picture(candidate).exists():
        number += 1
        candidate = path.with_name(f"{stem}-{number}{suffix}")
    return candidate


COMMAND = Command(
    name="demo",
    summary="Acquire from Micro-Manager's demo camera and verify the dataset",
    examples=(
        ("ome-writers demo", f"writes {DEFAULT} and its contact sheet"),
        ("ome-writers demo run.ome.tiff", "the same as OME-TIFF"),
        ("ome-writers demo x.ome.zarr --overwrite --json", "for a script"),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; the frames written so far are kept",
)
