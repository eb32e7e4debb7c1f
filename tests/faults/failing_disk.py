"""A disk that fails at the n-th call: writes, renames, truncations and syncs return errors, or write partially.

A small C library, compiled if there is a compiler, is preloaded into the writer process and counts the calls below a
directory. A fault is an error number (or a short write) at one of them, once or from then on.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from faults import kill_rounds, tiff_layouts, writer
from ome_writers import AcquisitionSettings, read_frame_metadata
from ome_writers.repair import repair

FRAMES = 40
SHORT_WRITE = -1
KINDS = {
    "EIO once": (errno.EIO, False),
    "EIO from then on": (errno.EIO, True),
    "ENOSPC once": (errno.ENOSPC, False),
    "ENOSPC from then on": (errno.ENOSPC, True),
    "EROFS from then on": (errno.EROFS, True),  # the disk is made read-only after an error
    "EDQUOT from then on": (errno.EDQUOT, True),
    "a short write": (SHORT_WRITE, False),
    "short writes from then on": (SHORT_WRITE, True),
}
ZARR_LAYOUTS = {
    "frame chunks": "none",
    "split in y and x": "zstd",
    "chunks over t and z": "none",
    "shards": "none",
    "shards of split frames": "blosc-lz4",
    "shards of chunks over t and z": "zstd",
    "three positions, shards": "none",
    "unbounded": "none",
    "unbounded, shards of chunks over t": "zstd",
}


@dataclass(frozen=True)
class Fault:
    """One round: the acquisition, the call that fails, and how."""

    engine: str
    layout: str
    folder: str
    at: int = 0
    kind: str = "EIO once"
    durability: str = "process"

    @property
    def error_number(self) -> int:
        """The error number, or `SHORT_WRITE`."""
        return KINDS[self.kind][0]

    @property
    def persists(self) -> bool:
        """Whether all later calls fail, too."""
        return KINDS[self.kind][1]

    @property
    def output(self) -> Path:
        """The path of the dataset."""
        return Path(self.folder) / f"run.ome.{'tiff' if self.engine == 'tifffile' else 'zarr'}"

    def settings(self) -> AcquisitionSettings:
        """Return the settings of the acquisition."""
        if self.engine == "tifffile":
            acquisition = tiff_layouts.LAYOUTS[self.layout].settings(self.output, 0.05)
        else:
            compression = ZARR_LAYOUTS[self.layout]
            acquisition = writer.settings(self.engine, self.layout, compression, str(self.output))
        acquisition.flush_interval = 0.05
        acquisition.durability = self.durability  # type: ignore[assignment]  # one of the two
        return acquisition

    def address(self, number: int) -> tuple[int, tuple[int, ...]]:
        """Return the image and the index of a frame in `pixels`."""
        if self.engine == "tifffile":
            image, at = tiff_layouts.LAYOUTS[self.layout].address(number)
            return image, tuple(at.get(axis, 0) for axis in "tcz")
        return kill_rounds.address(kill_rounds.LAYOUTS[self.layout], number)

    def pixels(self) -> list[np.ndarray[Any, Any]]:
        """Return each image as read by third-party readers."""
        if self.engine == "tifffile":
            output = self.output if self.output.exists() else self.output.with_name("run")
            return tiff_layouts.pixels(output)
        import tensorstore
        import zarr

        images = []
        for path in kill_rounds.arrays(kill_rounds.LAYOUTS[self.layout], self.output):
            store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
            one = np.asarray(zarr.open_array(str(path), mode="r")[:])
            assert np.array_equal(one, tensorstore.open(store).result().read().result()), path
            images.append(one)
        return images


@dataclass
class Tally:
    """Totals of all rounds of an engine."""

    faults: int = 0
    triggered: int = 0
    errors: int = 0
    refused: int = 0
    accepted: int = 0
    named: int = 0
    hidden: int = 0
    unnamed: int = 0
    findings: list[str] = field(default_factory=list)


def compiler() -> str | None:
    """Return a C compiler if its output can be preloaded."""
    return shutil.which("cc") if sys.platform == "linux" else None


def compile_shim(folder: Path) -> Path:
    """Return the path of the compiled library."""
    library = folder / "failing_disk.so"
    source = Path(__file__).with_name("failing_disk.c")
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return library


def run(shim: Path, folder: Path, faults: list[Fault], limit: float) -> list[dict[str, Any]]:
    """Run the rounds in one process and return their reports; exceeding `limit` seconds counts as hanging."""
    order = folder / "rounds.jsonl"
    order.write_text("".join(f"{json.dumps(dataclasses.asdict(fault))}\n" for fault in faults))
    for fault in faults:
        Path(fault.folder).mkdir(parents=True)
    script = Path(__file__).with_name("failing_writer.py")
    done = subprocess.run(
        [sys.executable, str(script), str(shim), str(order)],
        env={**os.environ, "LD_PRELOAD": str(shim)},
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-4000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return [line for line in lines if "starting" not in line]


def plan(
    engine: str, layouts: list[str], calls: dict[str, int], folder: Path, count: int, seed: int
) -> list[Fault]:
    """Return `count` faults over the layouts and kinds, each at a call drawn with `seed`."""
    draw = random.Random(seed)
    faults = []
    for number in range(count):
        layout = layouts[number % len(layouts)]
        kind = list(KINDS)[number // len(layouts) % len(KINDS)]
        durability = "disk" if draw.random() < 0.2 else "process"
        at = draw.randint(1, calls[layout])
        where = str(folder / f"{engine}-{number}")
        faults.append(Fault(engine, layout, where, at, kind, durability))
    return faults


def check(tally: Tally, fault: Fault, report: dict[str, Any]) -> None:
    """Compare the dataset with the report of the writer."""
    what = f"{fault.engine}, {fault.layout}, {fault.kind} at {fault.at} ({fault.durability}): "
    tally.faults += 1
    tally.triggered += bool(report["failed"])
    tally.errors += report["error"] is not None
    findings = []
    if not report["started"]:
        tally.refused += 1
        if report["error"] != "WriteError":
            findings.append(f"the start raised {report['error']}: {report['message']}")
        if list(Path(fault.folder).iterdir()):
            left = sorted(p.name for p in Path(fault.folder).iterdir())
            findings.append(f"the start failed and left {left}")
    else:
        tally.accepted += report["accepted"]
        findings += _check_started(tally, fault, report)
    tally.findings += [what + finding for finding in findings]


def _check_started(tally: Tally, fault: Fault, report: dict[str, Any]) -> list[str]:
    findings = []
    if report["error"] is None:
        if report["accepted"] != FRAMES:
            findings.append(
                f"close raised nothing, but the stream accepted only {report['accepted']} frames"
            )
    elif report["error"] != "WriteError":
        findings.append(f"raised {report['error']}: {report['message']}")
    elif report["second"] != "WriteError":
        findings.append(f"a second close raised {report['second']}")
    if fault.error_number == SHORT_WRITE and report["error"] is not None:
        findings.append(f"short writes must not raise: {report['message']}")
    lost, wrong = missing(fault, report["accepted"])
    findings += wrong
    if "unbounded" in fault.layout:
        repair(_root(fault))  # the array metadata could not be updated
        lost, wrong = missing(fault, report["accepted"])
        findings += wrong
    named = set(report.get("frames", ()))
    tally.named += len(named)
    guaranteed = set(range(report["flushed"]))
    if fault.engine == "tifffile" and report["error"] is not None and not named:
        hidden = {n for n in lost if _is_in_a_tiff(fault, n)}  # the OME-XML could not be updated
        tally.hidden += len(hidden)
        lost -= hidden
    if lost - named:
        tally.unnamed += len(lost - named)
        findings.append(
            f"{sorted(lost - named)} are missing, and {report['error']} does not list them"
        )
    if lost & guaranteed:
        findings.append(
            f"{sorted(lost & guaranteed)} are missing, although a flush guaranteed them"
        )
    serials = {entry.get("serial") for entry in read_frame_metadata(_root(fault))}
    expected = set(range(report["accepted"])) if report["error"] is None else guaranteed
    if expected - serials:
        findings.append(f"the metadata of {sorted(expected - serials)} is missing")
    return findings


def missing(fault: Fault, accepted: int) -> tuple[set[int], list[str]]:
    """Return the frames that do not read back, and a finding for each that is neither correct nor 0."""
    try:
        images = fault.pixels()
    except Exception as error:
        return set(range(accepted)), [f"cannot be read: {type(error).__name__}: {error}"]
    lost, wrong = set(), []
    for number in range(accepted):
        image, at = fault.address(number)
        right = kill_rounds.frame(number)
        inside = image < len(images) and all(
            i < n for i, n in zip(at, images[image].shape, strict=False)
        )
        found = images[image][at] if inside else np.zeros_like(right)
        if not np.array_equal(found, right):
            lost.add(number)
            if not np.all((found == 0) | (found == right)):
                wrong.append(f"frame {number} has wrong pixels")
    return lost, wrong


def _is_in_a_tiff(fault: Fault, number: int) -> bool:
    """Whether the pixels of a frame are in any TIFF, whatever its OME-XML contains."""
    import tifffile

    right = kill_rounds.frame(number)
    for path in Path(fault.folder).rglob("*.tiff"):
        if right.tobytes() in path.read_bytes():
            return True
        with tifffile.TiffFile(path) as file:
            pages = [page for page in file.pages if page.shape == right.shape]
            if any(np.array_equal(page.asarray(), right) for page in pages):
                return True
    return False


def _root(fault: Fault) -> Path:
    return fault.output if fault.output.exists() else fault.output.with_name("run")
