"""OME-TIFF layouts for the kill tests, and the checks of the files that a killed writer leaves."""

from __future__ import annotations

import math
import random
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from adapters.pymmcore.stored import unsqueezed
from faults.kill_rounds import (
    HEIGHT,
    KILLED,
    WIDTH,
    flush_deadline,
    flushed,
    frame,
    metadata,
    repair_remains,
    wait_for,
)
from ome_writers import AcquisitionSettings, Dimension, read, read_frame_metadata, validate
from ome_writers import open as open_dataset

WRITER = Path(__file__).with_name("tiff_writer.py")


@dataclass(frozen=True)
class Layout:
    """Axes in acquisition order with their counts (0 is unbounded), and the settings of format and pyramid."""

    axes: dict[str, int]
    compression: str = "none"
    order: list[str] | None = None
    format: dict[str, Any] = field(default_factory=dict)
    pyramid: dict[str, Any] | None = None

    def settings(self, output: Path, flush_interval: float = 1.0) -> AcquisitionSettings:
        """Return the settings."""
        dimensions = [Dimension(name=a, count=n or None) for a, n in self.axes.items()]
        return AcquisitionSettings(
            root_path=output,
            dimensions=[
                *dimensions,
                Dimension(name="y", count=HEIGHT),
                Dimension(name="x", count=WIDTH),
            ],
            dtype="uint16",
            format={"name": "ome-tiff", **self.format},
            compression=self.compression,
            storage_order=[*self.order, "y", "x"] if self.order else "ome",
            flush_interval=flush_interval,
            pyramid=self.pyramid,
        )

    def address(self, number: int) -> tuple[int, dict[str, int]]:
        """Return the image and the index by axis of frame `number`."""
        at: dict[str, int] = {}
        for axis, count in reversed(self.axes.items()):
            number, at[axis] = divmod(number, count) if count else (0, number)
        return at.pop("p", 0), at


LAYOUTS = {
    "bounded": Layout({"t": 250, "c": 2}),
    "bounded, stored inside": Layout({"t": 250, "c": 2}, order=["c", "t"]),
    "bounded, compressed": Layout({"t": 250, "c": 2}, "zstd"),
    "bounded, deflated": Layout({"t": 500}, "deflate"),
    "unbounded": Layout({"t": 0, "c": 2}),
    "unbounded, compressed": Layout({"t": 0, "z": 3}, "zstd"),
    "positions": Layout({"t": 160, "p": 3}),
    "positions, master": Layout({"t": 160, "p": 3}, format={"multi_file_metadata": "master-tiff"}),
    "positions, companion, compressed": Layout(
        {"t": 160, "p": 3}, "zstd", format={"multi_file_metadata": "companion-file"}
    ),
    "positions in one file": Layout({"t": 160, "p": 3}, format={"prefer_single_file": "always"}),
    "unbounded positions": Layout({"t": 0, "p": 2}),
    "unbounded positions in one file": Layout(
        {"t": 0, "p": 2}, format={"prefer_single_file": "always"}
    ),
    "levels": Layout({"t": 250, "c": 2}, pyramid={"levels": 2}),
    "levels, unbounded, compressed": Layout({"t": 0, "z": 3}, "zstd", pyramid={"levels": 3}),
    "levels, positions, companion": Layout(
        {"t": 160, "p": 3},
        format={"multi_file_metadata": "companion-file"},
        pyramid={"levels": 2, "method": "max"},
    ),
    "levels, unbounded positions in one file": Layout(
        {"t": 0, "p": 2},
        format={"prefer_single_file": "always"},
        pyramid={"levels": 1, "method": "decimate"},
    ),
    "tiles": Layout({"t": 250, "c": 2}, format={"tile": 16}),
    "tiles, compressed": Layout({"t": 250, "c": 2}, "zstd", format={"tile": 16}),
    "tiles, levels, unbounded": Layout(
        {"t": 0, "z": 3}, format={"tile": 16}, pyramid={"levels": 1}
    ),
    "tiles, levels, unbounded, compressed": Layout(
        {"t": 0, "z": 3}, "deflate", format={"tile": (16, 32)}, pyramid={"levels": 1}
    ),
    "tiles, positions": Layout({"t": 160, "p": 3}, format={"tile": 16}),
}


@dataclass
class Outcome:
    """Result of one round."""

    accepted: int
    guaranteed: int
    findings: list[str]
    output: Path


def kill_round(folder: Path, name: str, seed: int, *, timed: bool = True) -> Outcome:
    """Run a writer, kill it at a moment drawn with `seed`, and check the files; see `kill_rounds.kill_round`."""
    layout, draw = LAYOUTS[name], random.Random(seed)
    journal = folder / "accepted.txt"
    journal.touch()
    output = folder / "run.ome.tiff"
    writer = subprocess.Popen(
        [sys.executable, WRITER, name, output, journal, str(seed)], stderr=subprocess.PIPE
    )
    try:
        wait_for(journal, b"\n" if timed else b"end", writer)
        time.sleep(draw.uniform(0, 1.5 if timed else 0.5))
    finally:
        killed = time.monotonic()
        writer.kill()
        errors = writer.communicate()[1]
    assert writer.returncode in (0, KILLED), errors.decode()
    assert b"Traceback" not in errors, errors.decode()
    lines = [
        line.split() for line in journal.read_text().splitlines(keepends=True) if line[-1] == "\n"
    ]
    times = [float(line[0]) for line in lines if len(line) == 1]
    guaranteed = flushed(lines)
    if timed:
        deadline = flush_deadline(lines, killed)
        guaranteed = max(guaranteed, sum(at < deadline for at in times))
    if writer.returncode == 0:
        guaranteed = len(times)
    output = output if output.exists() else folder / "run"
    return Outcome(len(times), guaranteed, check(layout, output, guaranteed, len(times)), output)


def check(layout: Layout, output: Path, guaranteed: int, accepted: int) -> list[str]:
    """Return the violated guarantees: pixels as read by tifffile, frame metadata by this library."""
    images = pixels(output)
    findings = []
    total = math.prod(layout.axes.values()) or accepted + 1
    for number in range(
        min(accepted + 1, total)
    ):  # one more may have been accepted before it was logged
        image, at = layout.address(number)
        index = tuple(at.get(axis, 0) for axis in "tcz")
        inside = all(i < n for i, n in zip(index, images[image].shape, strict=False))
        found = images[image][index] if inside else np.zeros((HEIGHT, WIDTH), np.uint16)
        right = np.array_equal(found, frame(number))
        if number < guaranteed and not right:
            findings.append(f"frame {number} of {guaranteed} guaranteed is lost")
        elif not right and found.any():
            findings.append(f"frame {number} is wrong")
    if layout.pyramid:
        findings += wrong_levels(output)
    serials = {entry.get("serial") for entry in read_frame_metadata(output)}
    lost = [n for n in range(guaranteed) if metadata(n)["serial"] not in serials]
    return findings + [f"the metadata of frame {n} is lost" for n in lost]


def wrong_levels(output: Path) -> list[str]:
    """Return the resolution levels with pixels where full resolution has none, as read by `open`."""
    full = np.asarray(open_dataset(output))
    blank = ~full.any(axis=(-2, -1))
    found = []
    for k, level in enumerate(read(output).images[0].levels[1:], start=1):
        view = np.asarray(open_dataset(output, level=k))
        if view.shape[-2:] != level.shape[-2:]:
            found.append(f"level {k} has the shape {view.shape}")
        elif view[blank].any():
            found.append(f"level {k} has planes without a frame")
    return found


def findings_after_repair(name: str, outcome: Outcome) -> list[str]:
    """Repair the files of a killed writer; return what `repair` leaves, and the guarantees that are violated then."""
    remains = repair_remains(outcome.output)
    if LAYOUTS[name].pyramid:  # compares each level with the one above
        checks = validate(outcome.output).checks
        assert "levels" in [check.name for check in checks]
        remains += [str(finding) for check in checks for finding in check.findings]
    checked = check(LAYOUTS[name], outcome.output, outcome.guaranteed, outcome.accepted)
    return [*remains, *(f"after repair, {finding}" for finding in checked)]


def pixels(output: Path) -> list[np.ndarray[Any, Any]]:
    """Return each image as (t, c, z, y, x), as read by tifffile."""
    import tifffile

    files = [output] if output.is_file() else sorted(output.glob("*.tiff"))
    with tifffile.TiffFile(files[0]) as first:
        is_ome = first.series[0].kind == "ome"
        if is_ome:
            return [_ordered(series) for series in first.series]
    found = []
    for file in files:
        with tifffile.TiffFile(file) as tiff:
            found.append(tiff.series[0].asarray().reshape(-1, 1, 1, HEIGHT, WIDTH))
    return found


def _ordered(series: Any) -> np.ndarray[Any, Any]:
    return unsqueezed(series)[..., 0]
