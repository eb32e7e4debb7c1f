"""``ome-writers info``: describes datasets by their metadata."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from ome_writers import OMEWritersError, read
from ome_writers.toolkit import abbreviated_list, dataset_ome_xml, resume_blocker
from ome_writers_tools.cli.command import Command, CommandError, error_sentence
from ome_writers_tools.cli.console import Relabel, Screen
from ome_writers_tools.cli.datasets import Result, add_datasets_argument, process_datasets
from ome_writers_tools.cli.description import (
    AcquisitionDescription,
    ChannelDescription,
    Description,
    FolderContent,
    ImageDescription,
    describe,
    describe_acquisition,
    describe_spec,
    group_images,
    list_datasets,
    parse_time,
    plate_map,
    writer_state,
)
from ome_writers_tools.cli.frame_listing import MAX_FRAME_ROWS, frame_listing
from ome_writers_tools.cli.quantities import human_size

MAX_IMAGE_ROWS = 12


def _arguments(parser: ArgumentParser) -> None:
    add_datasets_argument(parser, remote=True)
    parser.add_argument(
        "--all",
        action="store_true",
        help=f"show every image and frame, not only the first {MAX_IMAGE_ROWS} and {MAX_FRAME_ROWS}",
    )
    parts = parser.add_mutually_exclusive_group()
    parts.add_argument("--xml", action="store_true", help="print the OME-XML")
    parts.add_argument(
        "--metadata", action="store_true", help="print the metadata of the acquisition as JSON"
    )
    parts.add_argument("--frames", action="store_true", help="print the metadata of each frame")
    parts.add_argument(
        "--csv",
        action="store_true",
        help="print the metadata of each frame as CSV, nested values too",
    )


def _run(options: Namespace, screen: Screen) -> int:
    def process(path: Path, relabel: Relabel) -> Result:
        content = list_datasets(path)
        if options.xml or options.metadata or options.frames or options.csv:
            if content is not None:
                raise CommandError(f"{path} contains several datasets; name one of them")
            return _part(path, options, screen)
        if content is not None:
            return _listing(path, content, screen, relabel)
        state = writer_state(path)  # before reading: the writer may finish in between
        spec = read(path)
        description, acquisition = describe_spec(spec), describe_acquisition(spec)
        fields = description.to_json() if options.json else {}  # slow for thousands of images
        unfinished = spec.status in ("writing", "cancelled", "failed")
        blocker = resume_blocker(path) if unfinished and spec.settings is not None else None
        if unfinished and spec.settings is not None:
            fields["resume"] = blocker or "possible"
        return Result(
            {**fields, "acquisition": asdict(acquisition)},
            lambda: _show(description, acquisition, options, screen, state, fields.get("resume")),
        )

    return process_datasets(options, screen, "Reading", process)


def _part(path: Path, options: Namespace, screen: Screen) -> Result:
    """Return the part of the metadata that an option selects."""
    if options.xml:
        text = dataset_ome_xml(path)
        if text is None:
            raise CommandError(
                f"{path} does not contain OME-XML; --metadata prints the metadata of the acquisition"
            )
        xml = text.decode(errors="replace")
        return Result({"path": str(path), "xml": xml}, lambda: screen.line(xml))
    if options.metadata:
        metadata = {name: dict(values) for name, values in read(path).metadata.items()}
        return Result({"path": str(path), "metadata": metadata}, lambda: screen.json(metadata))
    return frame_listing(path, screen, as_csv=options.csv, complete=options.all)


def _listing(folder: Path, content: FolderContent, screen: Screen, relabel: Relabel) -> Result:
    """Describe each dataset of a directory in one row."""
    rows: list[tuple[str, ...]] = []
    contents: list[dict[str, Any]] = []
    failed = 0
    for number, path in enumerate(content.datasets, start=1):
        relabel(f"Reading {path} ({number} of {len(content.datasets)})")
        try:
            description = describe(path)
        except (CommandError, OMEWritersError, OSError) as error:
            failed += 1
            contents.append({"path": str(path), "error": error_sentence(error, path)})
            rows.append((path.name, "cannot be read", *[""] * 5))
            continue
        contents.append(description.to_json())
        first = description.images[0] if description.images else None
        rows.append(
            (
                path.name,
                f"{description.format}, {description.layout}",
                str(len(description.images)),
                ", ".join(f"{axis.name}={axis.size}" for axis in first.axes) if first else "",
                first.dtype if first else "",
                description.status or "unknown",
                description.size,
            )
        )

    def show() -> None:
        head = ("dataset", "format", "images", "first image", "dtype", "status", "size")
        screen.table(f"{folder}: {len(rows)} datasets", head, rows)
        for entry in contents:
            if "error" in entry:
                screen.error(entry["error"])
        if content.folders:
            names = abbreviated_list([path.name for path in content.folders])
            screen.line(f"Directories with further datasets: {names}")
        if content.others:
            screen.line(
                f"TIFF files without OME-XML: {abbreviated_list([p.name for p in content.others])}"
            )

    return Result({"path": str(folder), "datasets": contents}, show, ok=not failed)


def _show(
    description: Description,
    acquisition: AcquisitionDescription,
    options: Namespace,
    screen: Screen,
    writer_state: str,
    resume: str | None,
) -> None:
    interrupted = writer_state if description.status == "writing" else ""
    screen.fields(description.path, _fields(description, acquisition, interrupted))
    _show_channels(acquisition.channels, screen)
    if description.plate is not None and not options.all:
        plate = description.plate
        wells = len({image.well for image in description.images})
        name = f" {plate.name}" if plate.name else ""
        size = f"{len(plate.rows)} x {len(plate.columns)} wells, {wells} with images"
        screen.line(f"\nplate{name}: {size} (number of images per well)")
        for line in plate_map(plate, description.images):
            screen.line(f"  {line}")
        groups = [
            (number, wells, image.shape, image.dtype)
            for number, wells, image in group_images(description)
        ]
        screen.table("\nimages", ("images", "wells", "axes (step)", "dtype"), groups)
    else:
        _show_images(description, options, screen)
    if interrupted:
        screen.line(f'`ome-writers repair "{description.path}"` finalizes the recording')
    if resume == "possible" and (interrupted or description.status != "writing"):
        screen.line("`ome_writers.resume(path)` continues the recording")
    elif resume and description.status != "writing":
        screen.line(f"the recording cannot be resumed: {resume}")


def _show_images(description: Description, options: Namespace, screen: Screen) -> None:
    images = description.images if options.all else description.images[:MAX_IMAGE_ROWS]
    rows = [(image.path, image.name, image.shape, image.dtype) for image in images]
    screen.table("\nimages", ("path", "name", "axes (step)", "dtype"), rows)
    if hidden := len(description.images) - len(images):
        screen.line(f"  ... and {hidden} more; --all shows them")


def _show_channels(channels: Sequence[ChannelDescription], screen: Screen) -> None:
    """Print a table of the properties that are known of any channel."""
    columns = {
        "channel": [channel.name for channel in channels],
        "color": [channel.color or "" for channel in channels],
        "fluorophore": [channel.fluorophore or "" for channel in channels],
        "excitation": [_quantity(channel.excitation_nm, "nm") for channel in channels],
        "emission": [_quantity(channel.emission_nm, "nm") for channel in channels],
        "exposure": [_quantity(channel.exposure_ms, "ms") for channel in channels],
    }
    known = {title: cells for title, cells in columns.items() if any(cells)}
    default = [channel.name for channel in channels] in ([], ["Channel 0"])
    if len(known) > 1 or not default:
        screen.table("\nchannels", tuple(known), tuple(zip(*known.values(), strict=True)))


def _fields(
    description: Description, acquisition: AcquisitionDescription, interrupted: str
) -> dict[str, str]:
    fields = {"format": f"{description.format}, {description.layout}"}
    if description.description:
        fields["description"] = description.description
    if started := parse_time(acquisition.started):
        fields["acquired"] = f"{started:%Y-%m-%d %H:%M:%S %Z}"
    if acquisition.duration_s is not None:
        fields["duration"] = _duration(acquisition.duration_s)
    if acquisition.objective is not None:
        fields["objective"] = acquisition.objective
    if acquisition.exposure_ms is not None:
        fields["exposure"] = _range(acquisition.exposure_ms, "ms")
    fields["images"] = str(len(description.images))
    if stage := _stage(description.images):
        fields["stage"] = stage
    fields["storage"] = abbreviated_list(
        list(dict.fromkeys(image.storage for image in description.images))
    )
    if description.lossy:
        fields["lossy"] = description.lossy
    for kind in ("labels", "derived"):
        names = dict.fromkeys(name for image in description.images for name in getattr(image, kind))
        if names:
            fields[kind] = abbreviated_list(list(names))
    fields["size"] = description.size
    if description.moved is not None:
        fields["moved"] = str(description.moved)
    elif (
        description.bytes_raw and description.bytes_on_disk != 0 and description.status != "writing"
    ):
        fields["size"] += f", raw {human_size(description.bytes_raw)}"
        if description.bytes_on_disk is not None:
            fields["size"] += f" (ratio {description.bytes_raw / description.bytes_on_disk:.2f})"
    if interrupted and not description.frames_written:  # the last flush was before the first frame
        description = replace(description, frames_written=None)
    if description.frames is not None:
        fields["frames"] = description.frames
    fields["status"] = description.status or "unknown"
    if interrupted:
        fields["status"] += f" ({interrupted})"
    fields["written by"] = description.written_by or "unknown"
    return fields


def _stage(images: Sequence[ImageDescription]) -> str:
    """Return the range of the stage coordinates: ``"x 0 to 900 µm, y 0 to 400 µm"``; empty if unknown."""
    found = {axis: [i.position[axis] for i in images if axis in i.position] for axis in "xyz"}
    return ", ".join(
        f"{axis} {_range((min(values), max(values)), 'µm')}"
        for axis, values in found.items()
        if values
    )


def _range(limits: tuple[float, float], unit: str) -> str:
    low, high = (f"{limit:.6g}" for limit in limits)
    return f"{low} {unit}" if low == high else f"{low} to {high} {unit}"


def _quantity(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:g} {unit}"


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


COMMAND = Command(
    name="info",
    summary="Describe an OME-Zarr or OME-TIFF by its metadata",
    examples=(
        ("ome-writers info demo.ome.zarr", "time, optics, axes, channels, sizes, status"),
        ("ome-writers info run_p000.ome.tiff --json", "the same for a script"),
        ("ome-writers info run.ome.tiff --xml", "the OME-XML"),
        ("ome-writers info demo.ome.zarr --frames", "the metadata of each frame"),
        ("ome-writers info .", "one line per dataset of a directory"),
        ("ome-writers info *.ome.zarr", "several datasets"),
    ),
    arguments=_arguments,
    run=_run,
    failure="a dataset cannot be read; the others are still described",
)
