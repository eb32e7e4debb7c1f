"""``ome-writers watch``: follows a dataset while somebody writes it."""

from __future__ import annotations

import os
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from ome_writers.cli.arguments import ask_dataset, positive
from ome_writers.cli.command import SUCCESS, Command, CommandError
from ome_writers.cli.console import human_size
from ome_writers.cli.description import describe, writer_is_gone
from ome_writers.formats import resolve_entry_file

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ome_writers.cli.console import Screen
    from ome_writers.cli.description import Description

INTERVAL = 0.5  # seconds
SHARE = 0.1  # of the time that may go into looking: a dataset of a million files takes its while


@dataclass
class Watched:
    """What was seen of a dataset at the last look."""

    began: float
    occupied: int = 0
    rate: float = 0.0
    looked: float = 0.0
    first: Description | None = None  # the first one that counts frames

    def look(self, path: Path) -> tuple[Description, Mapping[str, str]]:
        """Return what the dataset says of itself, and what there is to show."""
        description = describe(path)
        occupied, now = _occupied(path), time.monotonic()
        if self.looked:
            self.rate = max(0.0, (occupied - self.occupied) / (now - self.looked))
        self.occupied, self.looked = occupied, now
        if self.first is None and description.frames_written:
            self.first = description
        return description, self._facts(description)

    def _facts(self, description: Description) -> Mapping[str, str]:
        first = description.images[0]
        facts = {
            "status": description.status or "not said",
            "images": str(len(description.images)),
            "axes": ", ".join(f"{axis.name}={axis.size}" for axis in first.axes),
            "on disk": f"{human_size(self.occupied)}, {human_size(int(self.rate))}/s",
            "watched for": f"{time.monotonic() - self.began:.0f} s",
        }
        if description.frames is not None:
            facts["frames"] = description.frames
        if (speed := self._frames_per_second(description)) > 0:
            facts["speed"] = f"{speed:.3g} frames/s"
            left = (description.frames_expected or 0) - (description.frames_written or 0)
            if left > 0:
                facts["time left"] = f"about {timedelta(seconds=round(left / speed))}"
        return facts

    def _frames_per_second(self, description: Description) -> float:
        """Return how fast frames were written since the first look; 0 if that is not known yet."""
        if self.first is None or description.status != "writing":
            return 0.0
        frames = (description.frames_written or 0) - (self.first.frames_written or 0)
        seconds = _seconds_between(self.first.updated, description.updated)
        return frames / seconds if seconds > 0 else 0.0


def _seconds_between(first: str | None, last: str | None) -> float:
    """Return the seconds between two times in ISO 8601, as the writer's clock has them; 0 if one is unknown."""
    try:
        # before Python 3.11 "Z" is not read as UTC
        begin, end = (
            datetime.fromisoformat((t or "").replace("Z", "+00:00")) for t in (first, last)
        )
        return (end - begin).total_seconds()
    except (ValueError, TypeError):
        return 0.0


def _occupied(path: Path) -> int:
    """Return the bytes that a dataset takes; the holes of files that are not full do not count."""
    path = resolve_entry_file(path)
    files = path.rglob("*") if path.is_dir() else (path,)
    total = 0
    for file in files:
        try:
            stat = os.stat(file)
        except OSError:
            continue  # replaced meanwhile
        blocks = getattr(stat, "st_blocks", None)
        total += stat.st_size if blocks is None else min(stat.st_size, blocks * 512)
    return total


def _arguments(parser: ArgumentParser) -> None:
    ask_dataset(parser)
    parser.add_argument(
        "--interval",
        type=positive,
        default=INTERVAL,
        metavar="S",
        help=f"seconds between two looks (default: {INTERVAL})",
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON, once, when the writer is done"
    )


def _run(options: Namespace, screen: Screen) -> int:
    looks = _looks(options.path, options.interval)
    if options.json:
        ((last, _),) = deque(looks, maxlen=1)
        screen.data(last.to_json())
        return SUCCESS
    _, facts = next(looks)  # what is no dataset is refused before anything is shown
    with screen.live(str(options.path)) as show:
        show(facts)
        for _, facts in looks:
            show(facts)
    return SUCCESS


def _looks(path: Path, interval: float) -> Iterator[tuple[Description, Mapping[str, str]]]:
    """Look again and again until the writer is done; the pauses are nine times as long as the looks."""
    watched = Watched(time.monotonic())
    while True:
        began = time.monotonic()
        gone = writer_is_gone(path)  # looked at first: it may become done in between
        description, facts = watched.look(path)
        yield description, facts
        if description.status != "writing":
            return
        if gone:
            raise CommandError(
                f"the process that wrote {path} has ended without closing it; "
                f"`ome-writers repair {path}` makes it tidy"
            )
        took = time.monotonic() - began
        time.sleep(max(interval, took * (1 - SHARE) / SHARE))


COMMAND = Command(
    name="watch",
    summary="Follow a dataset in the terminal while it is written",
    examples=(
        (
            "ome-writers watch demo.ome.zarr",
            "ends when the dataset is complete, cancelled or failed",
        ),
        ("ome-writers watch run.ome.tiff --interval 5", "a look every five seconds"),
    ),
    arguments=_arguments,
    run=_run,
    failure="the dataset cannot be read, or its writer has ended without closing it",
)
