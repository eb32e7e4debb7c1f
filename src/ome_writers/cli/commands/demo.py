"""``ome-writers demo``: from a camera to a dataset that somebody else's reader opens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ome_writers.cli.arguments import format_name, output_path, positive_count
from ome_writers.cli.command import SUCCESS, Command, CommandError
from ome_writers.cli.console import human_size
from ome_writers.cli.contact_sheet import refuse_existing
from ome_writers.cli.demo.acquisition import acquire, open_microscope
from ome_writers.cli.demo.picture import draw_contact_sheet
from ome_writers.cli.demo.third_party_readers import look
from ome_writers.cli.description import describe
from ome_writers.settings import split_suffix

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from ome_writers.cli.console import Screen
    from ome_writers.cli.demo.acquisition import Acquisition
    from ome_writers.cli.demo.third_party_readers import Seen

DEFAULT = "demo.ome.zarr"


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "out",
        nargs="?",
        type=output_path,
        metavar="OUT",
        help="what to write: NAME.ome.zarr or NAME.ome.tiff "
        f"(default: {DEFAULT}, or the next free name of that kind)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace OUT if ome-writers wrote it, and the picture beside it",
    )
    parser.add_argument(
        "--timepoints",
        type=positive_count,
        default=8,
        metavar="N",
        help="how many time points to acquire, 20 frames each (default: 8)",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON instead of a table"
    )


def _run(options: Namespace, screen: Screen) -> int:
    output: Path = options.out or _next_free(Path(DEFAULT))
    format_name(output)  # refuses before the microscope is loaded
    microscope = open_microscope(options.timepoints)
    path = microscope.output_path(output)
    if path.exists() and not options.overwrite:
        raise CommandError(f"{path} exists; give another name, or --overwrite to replace it")
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
    seen = look(path)
    wrong = seen.mismatches(acquisition.frames)
    title = f"{path.name}, opened with {seen.reader}"
    draw_contact_sheet(seen, title, picture, overwrite=options.overwrite)
    result = {
        **_result(path, acquisition, seen),
        "frames_planned": planned,
        "frames_wrong": len(wrong),
        "picture": str(picture),
    }
    if options.json:
        screen.data(result)
    else:
        _show(screen, result)
    if wrong or len(acquisition.frames) != planned:
        raise CommandError(
            f"{len(wrong)} of {len(acquisition.frames)} delivered frames ({planned} planned) "
            f"are not in {path} as the camera delivered them"
        )
    return SUCCESS


def _result(path: Path, acquisition: Acquisition, seen: Seen) -> dict[str, Any]:
    """Collect what the demo has to tell; everything in it is JSON-able."""
    frames, seconds = len(acquisition.frames), acquisition.seconds
    first, description = seen.images[0], describe(path)
    return {
        "path": str(path),
        "reader": seen.reader,
        "images": [image.name for image in seen.images],
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
    equal = "every frame is what the camera delivered" if not wrong else f"{wrong} frames differ"
    screen.facts(
        f"\n{result['path']}",
        {
            "opened with": result["reader"],
            "images": f"{len(result['images'])} ({', '.join(result['images'])})",
            "axes": ", ".join(result["axes"]),
            "shape": f"{shape} {result['dtype']}, each image",
            "channels": ", ".join(result["channels"]),
            "size on disk": human_size(result["bytes_on_disk"]),
            "speed": f"{result['frames_per_second']} frames/s "
            f"({frames} frames in {result['seconds']:.1f} s, set by the exposure)",
            "pixels": f"{equal} ({frames - wrong} of {result['frames_planned']} compared equal)",
            "status": result["status"] or "not said",
            "picture": result["picture"],
        },
    )


def _picture(path: Path) -> Path:
    return path.with_name(split_suffix(path.name)[0] + ".png")


def _next_free(path: Path) -> Path:
    """Return ``path``, or the first of NAME-1.ome.zarr, NAME-2.ome.zarr ... that does not exist, nor its picture."""
    (stem, suffix), candidate, number = split_suffix(path.name), path, 0
    while candidate.exists() or _picture(candidate).exists():
        number += 1
        candidate = path.with_name(f"{stem}-{number}{suffix}")
    return candidate


COMMAND = Command(
    name="demo",
    summary="Acquire from Micro-Manager's demo camera and look at the result",
    examples=(
        ("ome-writers demo", f"writes {DEFAULT} and a picture of it"),
        ("ome-writers demo run.ome.tiff", "the same as OME-TIFF"),
        ("ome-writers demo x.ome.zarr --overwrite --json", "for a script"),
    ),
    arguments=_arguments,
    run=_run,
    interrupted="interrupted; what was written so far is kept",
)
