"""Run a writer on a recorded disk, simulate power loss, and check the result with third-party readers."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faults import tiff_layouts
from ome_writers import read_frame_metadata
from ome_writers.repair import repair
from powerloss.layouts import LAYOUTS, Layout
from powerloss.replay import MARKS, MODES, Op, crash_points, read_log, store_crashed

__all__ = ["HEADER", "Tally", "fail_often", "record"]

HERE = Path(__file__).parent
HEADER = (
    "| layout | mode | crashes | guaranteed | only after repair | lost | wrong | second repair |"
)


@dataclass
class Tally:
    """Totals of the crashes of a layout.

    `guaranteed` counts frames, `hidden` those of them that need `repair` to read back, `lost` those that do not read
    back at all; `wrong` counts frames with pixels that were never written, and `again` second repairs with findings.
    """

    crashes: int = 0
    guaranteed: int = 0
    hidden: int = 0
    lost: int = 0
    wrong: int = 0
    again: int = 0
    findings: list[str] = field(default_factory=list)

    def row(self, layout: str, mode: str) -> str:
        """Return a row of the table."""
        figures = (self.crashes, self.guaranteed, self.hidden, self.lost, self.wrong, self.again)
        return f"| {layout} | {mode} | {' | '.join(map(str, figures))} |"

    def add(self, other: Tally) -> None:
        """Add the totals of other crashes."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def record(name: str, folder: Path) -> list[Op]:
    """Run the writer of a layout on a recorded disk; return the operations."""
    backing, mount, log = folder / "backing", folder / "mount", folder / "log"
    backing.mkdir()
    mount.mkdir()
    layout = LAYOUTS[name]
    disk = subprocess.Popen([sys.executable, HERE / "recording.py", backing, mount, log])
    try:
        deadline = time.monotonic() + 30
        while not (mount / MARKS).exists():
            assert disk.poll() is None, "the file system was not mounted"
            assert time.monotonic() < deadline, "the file system was not mounted in 30 s"
            time.sleep(0.02)
        output = mount / f"run{layout.suffix}"
        subprocess.run(
            [sys.executable, HERE / "writer.py", name, output, mount / MARKS],
            check=True,
            timeout=300,
        )
    finally:
        if disk.poll() is None:
            subprocess.run(["fusermount", "-u", "-z", mount], check=False)
        disk.wait(30)
    ops = read_log(log)
    shutil.rmtree(backing)
    return ops


def fail_often(name: str, ops: list[Op], crashes: int, folder: Path, seed: int) -> dict[str, Tally]:
    """Simulate `crashes` power failures per mode; return the totals by mode."""
    tallies = {}
    points = crash_points(ops)
    for mode in MODES:
        tally = tallies[mode] = Tally()
        for number in range(crashes):
            draw = random.Random(f"{seed} {name} {mode} {number}")
            end = draw.choice(points)
            root = folder / "crashed"
            store_crashed(ops, end, mode, draw, root)
            guaranteed, closed = _guaranteed(ops[:end])
            what = f"{name}, {mode}, number {number} (power failed at {end} of {len(ops)}): "
            tally.crashes += 1
            tally.guaranteed += guaranteed
            findings = _check(tally, LAYOUTS[name], root, guaranteed, closed=closed)
            tally.findings += [f"{what}{finding}".replace(f"{root}/", "") for finding in findings]
            shutil.rmtree(root)
    return tallies


def _guaranteed(ops: list[Op]) -> tuple[int, bool]:
    """Return the number of frames guaranteed by the last mark, and whether it is that of `close`."""
    last = next(op.args[0] for op in reversed(ops) if op.kind == "mark")
    count, *closed = last.split()
    return int(count), bool(closed)


def _check(tally: Tally, layout: Layout, root: Path, guaranteed: int, *, closed: bool) -> list[str]:
    """Return the violated guarantees, before and after `repair`."""
    output = root / f"run{layout.suffix}"
    if layout.engine == "tifffile" and not output.exists():
        output = root / "run"
    try:
        lost, _ = _missing(layout, _pixels(layout, output), guaranteed)
        tally.hidden += len(lost)
    except Exception as error:
        if closed:
            return [f"cannot be read after close: {_error_report(error)}"]
        tally.hidden += guaranteed
    try:
        found = repair(output).findings
    except Exception as error:
        tally.lost += guaranteed
        return [f"repair raised {_error_report(error)}"]
    findings = []
    if closed and found:
        findings.append(f"repair found, after close: {found}")
    try:
        lost, wrong = _missing(layout, _pixels(layout, output), guaranteed)
    except Exception as error:
        tally.lost += guaranteed
        return [*findings, f"cannot be read: {_error_report(error)}; repair found {found}"]
    tally.lost += len(lost)
    tally.wrong += len(wrong)
    if lost:
        findings.append(f"{lost} of {guaranteed} guaranteed are lost; repair found {found}")
    if wrong:
        findings.append(f"{wrong}, behind {guaranteed} guaranteed, are wrong; repair found {found}")
    findings += _metadata_findings(output, guaranteed)
    second = repair(output).findings
    if second:
        tally.again += 1
        findings.append(f"a second repair found {second}, the first {found}")
    return findings


def _pixels(layout: Layout, output: Path) -> list[np.ndarray[Any, Any]]:
    """Return each image as read by third-party readers."""
    if layout.engine == "tifffile":
        images = tiff_layouts.pixels(output)
        axes = [axis for axis in "tcz" if axis in layout.axes]
        index = tuple(slice(None) if axis in axes else 0 for axis in "tcz")
        return [image[index] for image in images]
    import tensorstore
    import zarr

    zarr.open_group(str(output), mode="r")
    images = []
    positions = layout.axes.get("p", (1,))[0]
    for path in ["0"] if positions == 1 else [f"{p}/0" for p in range(positions)]:
        array = output / path
        one = np.asarray(zarr.open_array(str(array), mode="r")[:])
        store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{array}/"}}
        if not np.array_equal(one, tensorstore.open(store).result().read().result()):
            raise ValueError(f"zarr-python and tensorstore read different pixels of {path}")
        images.append(one)
    return images


def _missing(
    layout: Layout, images: list[np.ndarray[Any, Any]], guaranteed: int
) -> tuple[list[int], list[int]]:
    """Return the guaranteed frames that are missing, and other frames that are neither correct nor zeros."""
    lost, wrong = [], []
    for number in range(layout.frames):
        image, index = layout.address(number)
        inside = all(i < n for i, n in zip(index, images[image].shape, strict=False))
        pixels = images[image][index] if inside else np.zeros(layout.shape, np.uint16)
        if np.array_equal(pixels, layout.frame(number)):
            continue
        if number < guaranteed:
            lost.append(number)
        elif pixels.any():
            wrong.append(number)
    return lost, wrong


def _metadata_findings(output: Path, guaranteed: int) -> list[str]:
    """Return metadata files that do not parse, and frames whose metadata is missing."""
    findings = []
    for path in output.rglob("*.json"):
        try:
            json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            findings.append(f"{path.relative_to(output)}: {error}")
    serials = {entry.get("serial") for entry in read_frame_metadata(output)}
    lost = sorted(set(range(guaranteed)) - serials)
    return findings + ([f"the metadata of {lost} are lost"] if lost else [])


def _error_report(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
