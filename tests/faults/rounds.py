"""One round of a fault: what is acquired, what its pixels are, and what a killed writer has left.

Where a frame belongs is worked out here from the dimensions alone, not asked from the library.
"""

from __future__ import annotations

import json
import math
import random
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

WRITER = Path(__file__).with_name("writer.py")
HEIGHT, WIDTH = 48, 64
FLUSH_INTERVAL = 0.2
ALLOWANCE = 0.3
"""Seconds for the two flushes that a frame can have to wait for besides the interval between them."""

MARGIN = 0.02
"""Seconds that the clock may take to wake up, and the writer to tell."""

STALL = 0.5
"""Seconds without a word from a writer that the machine has not let run."""

STORED = "tcz"  # the order of OME-Zarr


@dataclass(frozen=True)
class Form:
    """How frames become chunks.

    `axes` maps each axis, in acquisition order, to (count, chunk, chunks a shard); a count of 0
    has no end. `cut` is the chunk in y and x; `cut_shard` is the chunks a shard there. `memory` is
    the number of frames that the writer may hold.
    """

    axes: dict[str, tuple[int, int, int]]
    cut: tuple[int, int] = (HEIGHT, WIDTH)
    sharded: bool = False
    cut_shard: tuple[int, int] = (1, 1)
    memory: int = 40_000


FORMS = {
    "frame chunks": Form({"t": (500, 1, 1)}),
    "cut in y and x": Form({"t": (500, 1, 1)}, cut=(20, 24)),
    "chunks over t and z": Form({"t": (80, 3, 1), "z": (6, 4, 1)}),
    "shards": Form({"t": (500, 1, 16)}, sharded=True),
    "shards of cut frames": Form({"t": (500, 1, 16)}, cut=(20, 24), sharded=True, cut_shard=(3, 3)),
    "shards of chunks over t and z": Form({"t": (80, 2, 4), "z": (6, 3, 2)}, sharded=True),
    "frame chunks, little memory": Form({"t": (500, 1, 1)}, memory=3),
    "three positions": Form({"t": (160, 1, 1), "p": (3, 1, 1)}),
    "three positions, shards": Form({"t": (160, 2, 8), "p": (3, 1, 1)}, sharded=True),
    "three positions, shards, little memory": Form(
        {"t": (160, 2, 8), "p": (3, 1, 1)}, sharded=True, memory=20
    ),
    "no end": Form({"t": (0, 1, 1), "c": (2, 1, 1)}),
    "no end, shards of chunks over t": Form({"t": (0, 4, 4), "z": (3, 1, 1)}, sharded=True),
    "transposed": Form({"z": (5, 1, 1), "t": (50, 1, 1), "c": (2, 1, 1)}),
    "transposed, shards of chunks over t and z": Form(
        {"z": (5, 2, 2), "c": (2, 1, 2), "t": (50, 4, 4)}, sharded=True
    ),
}
COMPRESSIONS = ("none", "blosc-lz4", "zstd")


def frame(number: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return the `number`-th frame; no pixel is 0, and no two frames share a pixel in place."""
    pixels = np.arange(HEIGHT * WIDTH, dtype=np.int64) * 7 + number * 13
    return (pixels % 65521 + 1).astype(np.uint16).reshape(HEIGHT, WIDTH)


def metadata(number: int) -> dict[str, Any]:
    """Return the metadata that comes with the `number`-th frame."""
    return {"delta_t": number / 64, "serial": number}


def place(form: Form, number: int) -> tuple[int, tuple[int, ...]]:
    """Return the image and the storage index of the `number`-th frame."""
    at: dict[str, int] = {}
    for axis, (count, _, _) in reversed(form.axes.items()):
        number, at[axis] = divmod(number, count) if count else (0, number)
    return at.get("p", 0), tuple(at[axis] for axis in STORED if axis in at)


def frames(form: Form) -> int:
    """Return how many frames a form takes; 0 without an end."""
    return math.prod(count for count, _, _ in form.axes.values())


def arrays(form: Form, path: Path) -> list[Path]:
    """Return where the array of each image lies."""
    positions = form.axes.get("p", (1, 1, 1))[0]
    return [path / "0"] if positions == 1 else [path / str(p) / "0" for p in range(positions)]


@dataclass
class Figures:
    """What rounds have shown.

    `lost` counts frames that were promised: accepted before a flush began that has ended, or older than the
    interval and the two flushes that they can have to wait for (as measured in the round, `ALLOWANCE` at
    least). `late` counts frames that were older
    than the interval and `ALLOWANCE` and not there, because a flush took longer. `age` is that of the oldest
    frame that a kill took, `flush` the longest flush, in seconds. In `stalled` rounds the writer had got no
    time from the machine for a while when it was killed.
    """

    rounds: int = 0
    ended: int = 0
    accepted: int = 0
    promised: int = 0
    lost: int = 0
    wrong: int = 0
    errors: int = 0
    late: int = 0
    age: float = 0.0
    flush: float = 0.0
    stalled: int = 0
    findings: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Count another's rounds as well."""
        for name, value in asdict(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name in ("age", "flush") else mine + value)


def kill_round(
    folder: Path,
    engine: str,
    form_name: str,
    compression: str,
    seed: int,
    *,
    timed: bool = True,
) -> Figures:
    """Run a writer, kill it at a moment that `seed` says, and judge what is left.

    With `timed` frames are promised by their age as well. Else only those of flushes that have ended are,
    of which there is one at least: no machine is too busy for that.
    """
    draw = random.Random(seed)
    journal = folder / "accepted.txt"
    output = folder / "run.ome.zarr"
    journal.touch()
    order = [engine, form_name, compression, str(output), str(journal), str(seed)]
    with (folder / "stderr.txt").open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, str(WRITER), *order], stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            wait_for(journal, b"\n" if timed else b"end", child)
            time.sleep(draw.uniform(0.0, 1.3 if timed else 0.5))
        finally:
            killed = time.monotonic()
            child.send_signal(signal.SIGKILL)
            child.wait(30)
    figures = Figures(rounds=1, ended=int(child.returncode == 0))
    what = f"{engine}, {form_name}, {compression}, seed {seed}: "
    if child.returncode not in (0, -signal.SIGKILL):
        figures.errors += 1
        figures.findings.append(what + (folder / "stderr.txt").read_text()[-2000:])
    lines = [
        line.split() for line in journal.read_text().splitlines(keepends=True) if line[-1] == "\n"
    ]
    times = [float(line[0]) for line in lines if len(line) == 1]
    figures.flush = longest_flush(lines, killed)
    alive = sign_of_life(lines, killed)
    figures.stalled = int(alive < killed)
    late = alive - FLUSH_INTERVAL - ALLOWANCE
    young = min(late, alive - FLUSH_INTERVAL - 2 * figures.flush - MARGIN)
    promised = flushed(lines)
    if timed:
        promised = max(promised, sum(accepted < young for accepted in times))
    figures.promised = len(times) if figures.ended else promised
    _judge(figures, what, FORMS[form_name], output, times, killed)
    return figures


def wait_for(journal: Path, sign: bytes, child: subprocess.Popen[Any]) -> None:
    """Wait until a writer has told something, or has ended."""
    deadline = time.monotonic() + 90
    while sign not in journal.read_bytes() and child.poll() is None:
        assert time.monotonic() < deadline, f"the writer did not tell {sign!r} in 90 s"
        time.sleep(0.002)


def sign_of_life(lines: list[list[str]], killed: float) -> float:
    """Return when it was killed; or when a writer told its last, when the machine gave it no time since then.

    One that runs tells of a frame every few milliseconds, or of a flush.
    """
    last = max((float(line[-2] if len(line) == 3 else line[0]) for line in lines), default=killed)
    return killed if killed - last < STALL else last


def flushed(lines: list[list[str]]) -> int:
    """Return how many frames had been accepted when the last flush began that has ended."""
    accepted, most = 0, 0
    begun: dict[str, int] = {}
    for line in lines:
        if len(line) == 1:
            accepted += 1
        elif line[0] == "begin":
            begun[line[2]] = accepted
        else:
            most = max(most, begun.pop(line[2]))
    return most


def longest_flush(lines: list[list[str]], killed: float) -> float:
    """Return how long the longest flush took, or `close`; one that was under way counts up to the kill."""
    longest = 0.0
    begun: dict[str, float] = {}  # by what flushes: `close` begins while the clock may still tick
    for line in lines:
        if line[0] == "begin":
            begun[line[2]] = float(line[1])
        elif line[0] == "end" and line[2] in begun:
            longest = max(longest, float(line[1]) - begun.pop(line[2]))
    return max([longest, *(killed - began for began in begun.values())])


def _judge(
    figures: Figures, what: str, form: Form, output: Path, times: list[float], killed: float
) -> None:
    """Compare what lies at `output` with what was accepted at `times`."""
    figures.accepted = len(times)
    late = killed - FLUSH_INTERVAL - ALLOWANCE
    _read_documents(figures, what, output)
    images = [_read(figures, what, path) for path in arrays(form, output)]
    if any(image is None for image in images):
        return
    seen = [np.zeros(image.shape[:-2], bool) for image in images]  # type: ignore[union-attr]  # asked above
    facts = [_facts(path.parent) for path in arrays(form, output)]
    # One more may have been taken before it was told.
    for number in range(min(len(times) + 1, frames(form) or len(times) + 1)):
        image, at = place(form, number)
        pixels = images[image]
        assert pixels is not None
        inside = all(i < n for i, n in zip(at, pixels.shape, strict=False))
        found = pixels[at] if inside else np.zeros((HEIGHT, WIDTH), np.uint16)
        if inside:
            seen[image][at] = True
        right = frame(number)
        missing = not np.array_equal(found, right)
        known = facts[image].get(at)
        told = known is not None and known.items() >= metadata(number).items()
        if known is not None and not told:
            figures.wrong += 1
            figures.findings.append(f"{what}frame {number} has another's metadata: {known}")
        if missing and not np.all((found == 0) | (found == right)):
            figures.wrong += 1
            figures.findings.append(f"{what}frame {number} at {image} {at} has wrong pixels")
        if number < len(times) and (missing or not told):
            figures.age = max(figures.age, killed - times[number])
        if number < len(times) and times[number] < late and (missing or not told):
            figures.late += 1
        if number < figures.promised and (missing or not told):
            figures.lost += 1
            age = killed - times[number]
            lack = "pixels" if missing else "metadata"
            figures.findings.append(f"{what}frame {number}, {age:.3f} s old, lacks its {lack}")
    for image, (pixels, taken) in enumerate(zip(images, seen, strict=True)):
        assert pixels is not None
        if pixels[~taken].any():
            figures.wrong += 1
            figures.findings.append(f"{what}image {image} has pixels where no frame went")


def _read(figures: Figures, what: str, path: Path) -> np.ndarray[Any, Any] | None:
    """Read an array with two readers; None when one of them cannot."""
    import tensorstore
    import zarr

    store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{path}/"}}
    try:
        one = np.asarray(zarr.open_array(str(path), mode="r")[:])
        other = tensorstore.open(store).result().read().result()
    except Exception as error:
        figures.errors += 1
        figures.findings.append(f"{what}{path.name}: {type(error).__name__}: {error}")
        return None
    if not np.array_equal(one, other):
        figures.wrong += 1
        figures.findings.append(f"{what}zarr-python and tensorstore read different pixels")
    return one


def _read_documents(figures: Figures, what: str, output: Path) -> None:
    """Parse every document as JSON, and open the root as a group."""
    import zarr

    try:
        zarr.open_group(str(output), mode="r")
        for document in output.rglob("zarr.json"):
            json.loads(document.read_text(encoding="utf-8"))
    except Exception as error:
        figures.errors += 1
        figures.findings.append(f"{what}documents: {type(error).__name__}: {error}")


def _facts(group: Path) -> dict[tuple[int, ...], dict[str, Any]]:
    """Return the metadata of each place: from the journal, and from the document when it is there."""
    entries: list[dict[str, Any]] = []
    journal = group / "frame_metadata.jsonl"
    if journal.exists():
        lines = journal.read_bytes().splitlines(keepends=True)
        entries += [json.loads(line) for line in lines if line.endswith(b"\n")]
    document = json.loads((group / "zarr.json").read_bytes())
    embedded = document["attributes"].get("ome_writers", {}).get("frame_metadata", [])
    entries += embedded if isinstance(embedded, list) else []
    return {tuple(entry["storage_index"]): entry for entry in entries}
