"""``ome-writers watch``: follows a dataset while it is written."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from ome_writers import read
from ome_writers.toolkit import LOCK_NAME, is_part_of_lock, resolve_entry_file
from ome_writers_tools.cli.arguments import add_dataset_argument, positive
from ome_writers_tools.cli.command import SUCCESS, Command, CommandError
from ome_writers_tools.cli.console import Screen
from ome_writers_tools.cli.description import (
    Description,
    describe,
    describe_spec,
    seconds_between,
    writer_has_ended,
)
from ome_writers_tools.cli.quantities import human_size

_POLL_INTERVAL_S = 0.5
# of the time, so that the acquisition keeps its rate
_MAX_POLLING_SHARE = 0.05  # a poll reads the metadata of every image
_MAX_COUNTING_SHARE = 0.02  # counting the bytes visits every file, of which there may be a million


@dataclass
class DatasetMonitor:
    """The state of a dataset at the last poll, and the rates since earlier ones."""

    start_s: float
    bytes_on_disk: int = 0
    bytes_per_second: float = 0.0
    last_count_s: float = 0.0
    next_count_s: float = 0.0
    first: Description | None = None  # the first one with a frame

    def poll(self, path: Path) -> tuple[Description, Mapping[str, str]]:
        """Return the description of the dataset and the fields to show."""
        description = describe_spec(read(path), count_files=False)
        if time.monotonic() >= self.next_count_s or description.status != "writing":
            self._count_bytes(path)
        if self.first is None and description.frames_written:
            self.first = description
        return description, self._fields(description)

    def _count_bytes(self, path: Path) -> None:
        start = time.monotonic()
        size, now = _bytes_on_disk(path), time.monotonic()
        if self.last_count_s:
            grown = size - self.bytes_on_disk
            self.bytes_per_second = max(0.0, grown / (now - self.last_count_s))
        self.bytes_on_disk, self.last_count_s = size, now
        self.next_count_s = now + (now - start) / _MAX_COUNTING_SHARE

    def _fields(self, description: Description) -> Mapping[str, str]:
        first = description.images[0]
        fields = {
            "status": description.status or "unknown",
            "images": str(len(description.images)),
            "axes": ", ".join(f"{axis.name}={axis.size}" for axis in first.axes),
            "on disk": f"{human_size(self.bytes_on_disk)}, {human_size(int(self.bytes_per_second))}/s",
            "watched for": f"{time.monotonic() - self.start_s:.0f} s",
        }
        if description.frames is not None:
            fields["frames"] = description.frames
        if (speed := self._frames_per_second(description)) > 0:
            fields["speed"] = f"{speed:.3g} frames/s"
            remaining = (description.frames_expected or 0) - (description.frames_written or 0)
            if remaining > 0:
                fields["time left"] = f"about {timedelta(seconds=round(remaining / speed))}"
        return fields

    def _frames_per_second(self, description: Description) -> float:
        """Return the rate of frames since the first description with a frame; 0 while it is unknown."""
        if self.first is None or description.status != "writing":
            return 0.0
        frames = (description.frames_written or 0) - (self.first.frames_written or 0)
        seconds = seconds_between(self.first.updated, description.updated)
        return frames / seconds if seconds else 0.0


def _bytes_on_disk(path: Path) -> int:
    """Return the bytes that a dataset occupies, without the holes of sparse files, and without lock files."""
    path = resolve_entry_file(path)
    folders = os.walk(path) if path.is_dir() else [("", (), (str(path),))]
    total = 0
    for file in (os.path.join(folder, name) for folder, _, names in folders for name in names):
        if is_part_of_lock(os.path.basename(file), LOCK_NAME):
            continue
        try:
            stat = os.stat(file)
        except OSError:
            continue  # replaced or removed during the poll
        blocks = getattr(stat, "st_blocks", None)
        total += stat.st_size if blocks is None else min(stat.st_size, blocks * 512)
    return total


def _arguments(parser: ArgumentParser) -> None:
    add_dataset_argument(parser)
    parser.add_argument(
        "--interval",
        type=positive,
        default=_POLL_INTERVAL_S,
        metavar="S",
        help=f"seconds between updates (default: {_POLL_INTERVAL_S})",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON once, when the writer has finished"
    )


def _run(options: Namespace, screen: Screen) -> int:
    polls = _poll_until_finished(options.path, options.interval)
    if options.json:
        deque(polls, maxlen=0)
        screen.json(describe(options.path).to_json())
        return SUCCESS
    first, fields = next(polls)  # raises before any output if it is not a dataset
    progress = "on disk" if first.frames is None else "frames"
    with screen.live(str(options.path), ("status", progress)) as show:
        show(fields)
        for _, fields in polls:
            show(fields)
    return SUCCESS


def _poll_until_finished(
    path: Path, interval_s: float
) -> Iterator[tuple[Description, Mapping[str, str]]]:
    monitor = DatasetMonitor(time.monotonic())
    while True:
        start = time.monotonic()
        ended = writer_has_ended(path)  # before the poll: the writer may finish in between
        description, fields = monitor.poll(path)
        yield description, fields
        if description.status != "writing":
            return
        if ended:
            raise CommandError(
                f"the process that wrote {path} has ended without closing it; "
                f"run `ome-writers repair {path}`"
            )
        duration = time.monotonic() - start
        time.sleep(max(interval_s, duration * (1 - _MAX_POLLING_SHARE) / _MAX_POLLING_SHARE))


COMMAND = Command(
    name="watch",
    summary="Follow a dataset in the terminal while it is written",
    examples=(
        (
            "ome-writers watch demo.ome.zarr",
            "ends when the dataset is complete, cancelled or failed",
        ),
        ("ome-writers watch run.ome.tiff --interval 5", "updates every five seconds"),
    ),
    arguments=_arguments,
    run=_run,
    json_replaces=None,
    failure="the dataset cannot be read, or its writer has ended without closing it",
)
