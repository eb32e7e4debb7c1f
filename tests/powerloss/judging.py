"""Runs a writer on a recorded disk, lets the power fail, and judges what is left with other people's readers."""

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

from faults import tiff_forms
from ome_writers import read_frame_metadata
from ome_writers.repair import repair
from powerloss.forms import FORMS, Form
from powerloss.replay import MARKS, MODES, Op, crash_points, read_log, store_crashed

__all__ = ["HEADER", "Tally", "fail_often", "record"]

HERE = Path(__file__).parent
HEADER = "| form | mode | crashes | promised | only after repair | lost | wrong | second repair |"


@dataclass
class Tally:
    """What the crashes of a form have shown.

    `promised` counts frames, `hidden` those of them that need `repair` to read back, `lost` those that do not read back
    at all; `wrong` counts frames that read as something that was never written, and `again` second repairs that found
    something.
    """

    crashes: int = 0
    promised: int = 0
    hidden: int = 0
    lost: int = 0
    wrong: int = 0
    again: int = 0
    findings: list[str] = field(default_factory=list)

    def row(self, form: str, mode: str) -> str:
        """Return a row of the table."""
        figures = (self.crashes, self.promised, self.hidden, self.lost, self.wrong, self.again)
        return f"| {form} | {mode} | {' | '.join(map(str, figures))} |"

    def add(self, other: Tally) -> None:
        """Count another's crashes as well."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def record(name: str, folder: Path) -> list[Op]:
    """Run the writer of a form on a recorded disk; return what it did."""
    backing, mount, log = folder / "backing", folder / "mount", folder / "log"
    backing.mkdir()
    mount.mkdir()
    form = FORMS[name]
    disk = subprocess.Popen([sys.executable, HERE / "recording.py", backing, mount, log])
    try:
        deadline = time.monotonic() + 30
        while not (mount / MARKS).exists():
            assert disk.poll() is None, "the file system was not mounted"
            assert time.monotonic() < deadline, "the file system was not mounted in 30 s"
            time.sleep(0.02)
        output = mount / f"run{form.suffix}"
        subprocess.run(
            [sys.executable, HERE / "writer.py", name, output, mount / MARKS],
            check=True,
            timeout=100,
        )
    finally:
        if disk.poll() is None:
            subprocess.run(["fusermount", "-u", "-z", mount], check=False)
        disk.wait(30)
    ops = read_log(log)
    shutil.rmtree(backing)
    return ops


def fail_often(name: str, ops: list[Op], crashes: int, folder: Path, seed: int) -> dict[str, Tally]:
    """Let the power fail `crashes` times per mode; return what was left, by mode."""
    tallies = {}
    points = crash_points(ops)
    for mode in MODES:
        tally = tallies[mode] = Tally()
        for number in range(crashes):
            draw = random.Random(f"{seed} {name} {mode} {number}")
            end = draw.choice(points)
            root = folder / "crashed"
            store_crashed(ops, end, mode, draw, root)
            promised, closed = _promised(ops[:end])
            what = f"{name}, {mode}, number {number} (power failed at {end} of {len(ops)}): "
            tally.crashes += 1
            tally.promised += promised
            findings = _judge(tally, FORMS[name], root, promised, closed=closed)
            tally.findings += [f"{what}{finding}".replace(f"{root}/", "") for finding in findings]
            shutil.rmtree(root)
    return tallies


def _promised(ops: list[Op]) -> tuple[int, bool]:
    """Return how many frames the last mark promises, and whether it is that of `close`."""
    last = next(op.args[0] for op in reversed(ops) if op.kind == "mark")
    count, *closed = last.split()
    return int(count), bool(closed)


def _judge(tally: Tally, form: Form, root: Path, promised: int, *, closed: bool) -> list[str]:
    """Return what is not as it should be, before and after `repair`."""
    output = root / f"run{form.suffix}"
    if form.engine == "tifffile" and not output.exists():
        output = root / "run"
    try:
        lost, _ = _missing(form, _pixels(form, output), promised)
        tally.hidden += len(lost)
    except Exception as error:
        if closed:
            return [f"cannot be read after close: {_said(error)}"]
        tally.hidden += promised
    try:
        found = repair(output).findings
    except Exception as error:
        tally.lost += promised
        return [f"repair raised {_said(error)}"]
    findings = []
    if closed and found:
        findings.append(f"repair found, after close: {found}")
    try:
        lost, wrong = _missing(form, _pixels(form, output), promised)
    except Exception as error:
        tally.lost += promised
        return [*findings, f"cannot be read: {_said(error)}; repair found {found}"]
    tally.lost += len(lost)
    tally.wrong += len(wrong)
    if lost:
        findings.append(f"{lost} of {promised} promised are lost; repair found {found}")
    if wrong:
        findings.append(f"{wrong}, behind {promised} promised, are wrong; repair found {found}")
    findings += _wrong_documents(output, promised)
    second = repair(output).findings
    if second:
        tally.again += 1
        findings.append(f"a second repair found {second}, the first {found}")
    return findings


def _pixels(form: Form, output: Path) -> list[np.ndarray[Any, Any]]:
    """Return each image whole, as other people's readers see it."""
    if form.engine == "tifffile":
        images = tiff_forms.pixels(output)
        axes = [axis for axis in "tcz" if axis in form.axes]
        index = tuple(slice(None) if axis in axes else 0 for axis in "tcz")
        return [image[index] for image in images]
    import tensorstore
    import zarr

    zarr.open_group(str(output), mode="r")
    images = []
    positions = form.axes.get("p", (1,))[0]
    for path in ["0"] if positions == 1 else [f"{p}/0" for p in range(positions)]:
        array = output / path
        one = np.asarray(zarr.open_array(str(array), mode="r")[:])
        store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{array}/"}}
        if not np.array_equal(one, tensorstore.open(store).result().read().result()):
            raise ValueError(f"zarr-python and tensorstore read different pixels of {path}")
        images.append(one)
    return images


def _missing(
    form: Form, images: list[np.ndarray[Any, Any]], promised: int
) -> tuple[list[int], list[int]]:
    """Return the frames that were promised and are not there, and others that are neither right nor zeros."""
    lost, wrong = [], []
    for number in range(form.frames):
        image, index = form.place(number)
        inside = all(i < n for i, n in zip(index, images[image].shape, strict=False))
        pixels = images[image][index] if inside else np.zeros(form.shape, np.uint16)
        if np.array_equal(pixels, form.frame(number)):
            continue
        if number < promised:
            lost.append(number)
        elif pixels.any():
            wrong.append(number)
    return lost, wrong


def _wrong_documents(output: Path, promised: int) -> list[str]:
    """Return which documents do not parse, and whose metadata are not there."""
    findings = []
    for document in output.rglob("*.json"):
        try:
            json.loads(document.read_text(encoding="utf-8"))
        except ValueError as error:
            findings.append(f"{document.relative_to(output)}: {error}")
    known = {entry.get("serial") for entry in read_frame_metadata(output)}
    lost = sorted(set(range(promised)) - known)
    return findings + ([f"the metadata of {lost} are lost"] if lost else [])


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"
