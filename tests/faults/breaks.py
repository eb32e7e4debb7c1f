"""A disk that fails at the n-th call: writes, renames, truncations and syncs return errors, or write half.

A small C library, compiled where there is a compiler, is preloaded into the writer's process and counts the calls
that concern a folder. A fault is an error number (or a short write) at one of them, once or from then on.
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

from faults import rounds, tiff_forms, writer
from ome_writers import AcquisitionSettings, read_frame_metadata
from ome_writers.repair import repair

FRAMES = 40
SHORT_WRITE = -1
KINDS = {
    "EIO once": (errno.EIO, False),
    "EIO from then on": (errno.EIO, True),
    "ENOSPC once": (errno.ENOSPC, False),
    "ENOSPC from then on": (errno.ENOSPC, True),
    "EDQUOT from then on": (errno.EDQUOT, True),
    "a short write": (SHORT_WRITE, False),
    "short writes from then on": (SHORT_WRITE, True),
}
ZARR_FORMS = {
    "frame chunks": "none",
    "cut in y and x": "zstd",
    "chunks over t and z": "none",
    "shards": "none",
    "shards of cut frames": "blosc-lz4",
    "shards of chunks over t and z": "zstd",
    "three positions, shards": "none",
    "no end": "none",
    "no end, shards of chunks over t": "zstd",
}


@dataclass(frozen=True)
class Fault:
    """One round: what is acquired, and which call fails how."""

    engine: str
    form: str
    folder: str
    at: int = 0
    kind: str = "EIO once"
    durability: str = "process"

    @property
    def how(self) -> int:
        """The error number, or `SHORT_WRITE`."""
        return KINDS[self.kind][0]

    @property
    def stays(self) -> bool:
        """Whether all calls after it fail, too."""
        return KINDS[self.kind][1]

    @property
    def output(self) -> Path:
        """Where the dataset is to be."""
        return Path(self.folder) / f"run.ome.{'tiff' if self.engine == 'tifffile' else 'zarr'}"

    def settings(self) -> AcquisitionSettings:
        """Return the settings of the acquisition."""
        if self.engine == "tifffile":
            made = tiff_forms.FORMS[self.form].settings(self.output, 0.05)
        else:
            compression = ZARR_FORMS[self.form]
            made = writer.settings(self.engine, self.form, compression, str(self.output))
        made.flush_interval = 0.05
        made.durability = self.durability  # type: ignore[assignment]  # one of the two
        return made

    def place(self, number: int) -> tuple[int, tuple[int, ...]]:
        """Return the image and the index of a frame, as `pixels` has them."""
        if self.engine == "tifffile":
            image, at = tiff_forms.FORMS[self.form].place(number)
            return image, tuple(at.get(axis, 0) for axis in "tcz")
        return rounds.place(rounds.FORMS[self.form], number)

    def pixels(self) -> list[np.ndarray[Any, Any]]:
        """Return each image as other people's readers see it."""
        if self.engine == "tifffile":
            output = self.output if self.output.exists() else self.output.with_name("run")
            return tiff_forms.pixels(output)
        import tensorstore
        import zarr

        images = []
        for path in rounds.arrays(rounds.FORMS[self.form], self.output):
            store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
            one = np.asarray(zarr.open_array(str(path), mode="r")[:])
            assert np.array_equal(one, tensorstore.open(store).result().read().result()), path
            images.append(one)
        return images


@dataclass
class Tally:
    """What all rounds of an engine have shown."""

    faults: int = 0
    met: int = 0
    errors: int = 0
    refused: int = 0
    accepted: int = 0
    named: int = 0
    hidden: int = 0
    unnamed: int = 0
    findings: list[str] = field(default_factory=list)


def compiler() -> str | None:
    """Return a C compiler, where what it makes can be preloaded."""
    return shutil.which("cc") if sys.platform == "linux" else None


def compile_shim(folder: Path) -> Path:
    """Return the library."""
    made = folder / "breaks.so"
    source = Path(__file__).with_name("breaks.c")
    command = ["cc", "-shared", "-fPIC", "-O1", "-o", str(made), str(source), "-ldl"]
    subprocess.run(command, check=True, capture_output=True)
    return made


def run(shim: Path, folder: Path, faults: list[Fault], limit: float) -> list[dict[str, Any]]:
    """Do the rounds in one process; return what each has told. One that takes longer than `limit` s hangs."""
    order = folder / "rounds.jsonl"
    order.write_text("".join(f"{json.dumps(dataclasses.asdict(fault))}\n" for fault in faults))
    for fault in faults:
        Path(fault.folder).mkdir(parents=True)
    script = Path(__file__).with_name("breaking_writer.py")
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
    engine: str, forms: list[str], calls: dict[str, int], folder: Path, count: int, seed: int
) -> list[Fault]:
    """Return `count` faults over the forms and kinds, each at a call that `seed` says."""
    draw = random.Random(seed)
    faults = []
    for number in range(count):
        form = forms[number % len(forms)]
        kind = list(KINDS)[number // len(forms) % len(KINDS)]
        durability = "disk" if draw.random() < 0.2 else "process"
        at = draw.randint(1, calls[form])
        where = str(folder / f"{engine}-{number}")
        faults.append(Fault(engine, form, where, at, kind, durability))
    return faults


def judge(tally: Tally, fault: Fault, told: dict[str, Any]) -> None:
    """Compare what is on disk with what was told."""
    what = f"{fault.engine}, {fault.form}, {fault.kind} at {fault.at} ({fault.durability}): "
    tally.faults += 1
    tally.met += bool(told["failed"])
    tally.errors += told["error"] is not None
    findings = []
    if not told["begun"]:
        tally.refused += 1
        if told["error"] != "WriteError":
            findings.append(f"the start raised {told['error']}: {told['message']}")
        if list(Path(fault.folder).iterdir()):
            left = sorted(p.name for p in Path(fault.folder).iterdir())
            findings.append(f"the start failed and left {left}")
    else:
        tally.accepted += told["accepted"]
        findings += _judge_begun(tally, fault, told)
    tally.findings += [what + finding for finding in findings]


def _judge_begun(tally: Tally, fault: Fault, told: dict[str, Any]) -> list[str]:
    findings = []
    if told["error"] is None:
        if told["accepted"] != FRAMES:
            findings.append(f"close said nothing, and took {told['accepted']} frames only")
    elif told["error"] != "WriteError":
        findings.append(f"raised {told['error']}: {told['message']}")
    elif told["second"] != "WriteError":
        findings.append(f"a second close raised {told['second']}")
    if fault.how == SHORT_WRITE and told["error"] is not None:
        findings.append(f"short writes are no failure: {told['message']}")
    lost, wrong = missing(fault, told["accepted"])
    findings += wrong
    if "no end" in fault.form:
        repair(_root(fault))  # what a document could not say any more
        lost, wrong = missing(fault, told["accepted"])
        findings += wrong
    named = set(told.get("frames", ()))
    tally.named += len(named)
    promised = set(range(told["flushed"]))
    if fault.engine == "tifffile" and told["error"] is not None and not named:
        hidden = {n for n in lost if _is_in_a_file(fault, n)}  # a document could not say so
        tally.hidden += len(hidden)
        lost -= hidden
    if lost - named:
        tally.unnamed += len(lost - named)
        findings.append(
            f"{sorted(lost - named)} are not there, and {told['error']} did not name them"
        )
    if lost & promised:
        findings.append(f"{sorted(lost & promised)} are not there, which a flush had promised")
    known = {entry.get("serial") for entry in read_frame_metadata(_root(fault))}
    sure = set(range(told["accepted"])) if told["error"] is None else promised
    if sure - known:
        findings.append(f"the metadata of {sorted(sure - known)} is not there")
    return findings


def missing(fault: Fault, accepted: int) -> tuple[set[int], list[str]]:
    """Return the frames that do not read back, and what is neither right nor 0."""
    try:
        images = fault.pixels()
    except Exception as error:
        return set(range(accepted)), [f"cannot be read: {type(error).__name__}: {error}"]
    lost, wrong = set(), []
    for number in range(accepted):
        image, at = fault.place(number)
        right = rounds.frame(number)
        inside = image < len(images) and all(
            i < n for i, n in zip(at, images[image].shape, strict=False)
        )
        found = images[image][at] if inside else np.zeros_like(right)
        if not np.array_equal(found, right):
            lost.add(number)
            if not np.all((found == 0) | (found == right)):
                wrong.append(f"frame {number} has wrong pixels")
    return lost, wrong


def _is_in_a_file(fault: Fault, number: int) -> bool:
    """Whether the pixels of a frame lie in some TIFF, whatever its OME-XML says."""
    import tifffile

    right = rounds.frame(number)
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
