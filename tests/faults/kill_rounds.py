"""One round of a kill: the acquisition, its pixels, and the checks of the dataset that a killed writer leaves.

The address of a frame is computed from the dimensions alone, independently of the library.
"""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ome_writers import validate
from ome_writers.repair import repair

WRITER = Path(__file__).with_name("writer.py")
HEIGHT, WIDTH = 48, 64
FLUSH_INTERVAL = 0.2
ALLOWANCE = 0.3
"""Seconds for the two flushes that a frame may have to wait for, in addition to the interval between them."""

MARGIN = 0.02
"""Seconds for the flush timer to wake up and the writer to log."""

STALL = 0.5
"""Delay in seconds above which a round counts as stalled; see `scheduling_delay`."""

KILLED = 1 if os.name == "nt" else -9
"""Exit code of a process ended by `subprocess.Popen.kill`: TerminateProcess on Windows, SIGKILL elsewhere."""

STORED = "tcz"  # the order of OME-Zarr


@dataclass(frozen=True)
class Layout:
    """Chunks and shards of an acquisition.

    `axes` maps each axis, in acquisition order, to (count, chunk, chunks per shard); a count of 0 is unbounded.
    `yx_chunk` is the chunk in y and x, `yx_shard` the chunks per shard there. `memory` is the number of frames in the
    writer's buffer. `pyramid` are the settings of the resolution levels.
    """

    axes: dict[str, tuple[int, int, int]]
    yx_chunk: tuple[int, int] = (HEIGHT, WIDTH)
    sharded: bool = False
    yx_shard: tuple[int, int] = (1, 1)
    memory: int = 40_000
    pyramid: dict[str, Any] | None = None


LAYOUTS = {
    "frame chunks": Layout({"t": (500, 1, 1)}),
    "split in y and x": Layout({"t": (500, 1, 1)}, yx_chunk=(20, 24)),
    "chunks over t and z": Layout({"t": (80, 3, 1), "z": (6, 4, 1)}),
    "shards": Layout({"t": (500, 1, 16)}, sharded=True),
    "shards of split frames": Layout(
        {"t": (500, 1, 16)}, yx_chunk=(20, 24), sharded=True, yx_shard=(3, 3)
    ),
    "shards of chunks over t and z": Layout({"t": (80, 2, 4), "z": (6, 3, 2)}, sharded=True),
    "frame chunks, little memory": Layout({"t": (500, 1, 1)}, memory=3),
    "three positions": Layout({"t": (160, 1, 1), "p": (3, 1, 1)}),
    "three positions, shards": Layout({"t": (160, 2, 8), "p": (3, 1, 1)}, sharded=True),
    "three positions, shards, little memory": Layout(
        {"t": (160, 2, 8), "p": (3, 1, 1)}, sharded=True, memory=20
    ),
    "unbounded": Layout({"t": (0, 1, 1), "c": (2, 1, 1)}),
    "unbounded, shards of chunks over t": Layout({"t": (0, 4, 4), "z": (3, 1, 1)}, sharded=True),
    "transposed": Layout({"z": (5, 1, 1), "t": (50, 1, 1), "c": (2, 1, 1)}),
    "transposed, shards of chunks over t and z": Layout(
        {"z": (5, 2, 2), "c": (2, 1, 2), "t": (50, 4, 4)}, sharded=True
    ),
    "levels": Layout({"t": (500, 1, 16)}, sharded=True, pyramid={"levels": 2}),
    "levels, chunks over t": Layout({"t": (0, 4, 1)}, pyramid={"levels": 2, "method": "max"}),
    "levels along z, two positions": Layout(
        {"t": (60, 1, 8), "p": (2, 1, 1), "z": (5, 1, 1)},
        sharded=True,
        pyramid={"levels": 2, "axes": ("z", "y", "x")},
    ),
}
COMPRESSIONS = ("none", "blosc-lz4", "zstd")


def frame(number: int) -> np.ndarray[Any, np.dtype[np.uint16]]:
    """Return frame `number`; no pixel is 0, and no two frames have an equal pixel at the same index."""
    pixels = np.arange(HEIGHT * WIDTH, dtype=np.int64) * 7 + number * 13
    return (pixels % 65521 + 1).astype(np.uint16).reshape(HEIGHT, WIDTH)


def metadata(number: int) -> dict[str, Any]:
    """Return the metadata of frame `number`."""
    return {"delta_t": number / 64, "serial": number}


def address(layout: Layout, number: int) -> tuple[int, tuple[int, ...]]:
    """Return the image and the storage index of frame `number`."""
    at: dict[str, int] = {}
    for axis, (count, _, _) in reversed(layout.axes.items()):
        number, at[axis] = divmod(number, count) if count else (0, number)
    return at.get("p", 0), tuple(at[axis] for axis in STORED if axis in at)


def frames(layout: Layout) -> int:
    """Return the number of frames of a layout; 0 if it is unbounded."""
    return math.prod(count for count, _, _ in layout.axes.values())


def arrays(layout: Layout, path: Path) -> list[Path]:
    """Return the path of the array of each image."""
    positions = layout.axes.get("p", (1, 1, 1))[0]
    return [path / "0"] if positions == 1 else [path / str(p) / "0" for p in range(positions)]


@dataclass
class Figures:
    """Totals of the rounds.

    `lost` counts guaranteed frames: accepted before the beginning of a completed flush, or older than the interval, the
    two flushes for which they may have to wait (as measured in the round, at least `ALLOWANCE`), and the delay of the
    machine. `late` counts missing frames older than the interval and `ALLOWANCE` in other rounds. `age` is that of the
    oldest missing frame, `flush` the longest flush, in seconds. In `stalled` rounds that delay was more than `STALL`.
    """

    rounds: int = 0
    ended: int = 0
    accepted: int = 0
    guaranteed: int = 0
    lost: int = 0
    wrong: int = 0
    errors: int = 0
    late: int = 0
    age: float = 0.0
    flush: float = 0.0
    stalled: int = 0
    findings: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Add the totals of other rounds."""
        for name, value in asdict(other).items():
            mine = getattr(self, name)
            setattr(self, name, max(mine, value) if name in ("age", "flush") else mine + value)


def kill_round(
    folder: Path,
    engine: str,
    layout_name: str,
    compression: str,
    seed: int,
    *,
    timed: bool = True,
) -> Figures:
    """Run a writer, kill it at a moment drawn with `seed`, and check the dataset.

    With `timed`, frames are also guaranteed by their age. Otherwise only those of completed flushes are (at least one
    is waited for), so that the result does not depend on the load of the machine.
    """
    draw = random.Random(seed)
    journal = folder / "accepted.txt"
    output = folder / "run.ome.zarr"
    journal.touch()
    order = [engine, layout_name, compression, str(output), str(journal), str(seed)]
    with (folder / "stderr.txt").open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, str(WRITER), *order], stdout=subprocess.DEVNULL, stderr=errors
        )
        try:
            wait_for(journal, b"\n" if timed else b"end", child)
            time.sleep(draw.uniform(0.0, 1.3 if timed else 0.5))
        finally:
            killed = time.monotonic()
            child.kill()
            child.wait(30)
    figures = Figures(rounds=1, ended=int(child.returncode == 0))
    what = f"{engine}, {layout_name}, {compression}, seed {seed}: "
    printed = (folder / "stderr.txt").read_text()
    if child.returncode not in (0, KILLED) or "Traceback" in printed:
        figures.errors += 1
        figures.findings.append(what + printed[-2000:])
    lines = [
        line.split() for line in journal.read_text().splitlines(keepends=True) if line[-1] == "\n"
    ]
    times = [float(line[0]) for line in lines if len(line) == 1]
    figures.flush = longest_flush(lines, killed)
    figures.stalled = int(scheduling_delay(lines, killed) > STALL)
    guaranteed = flushed(lines)
    if timed:
        deadline = flush_deadline(lines, killed)
        guaranteed = max(guaranteed, sum(accepted < deadline for accepted in times))
    figures.guaranteed = len(times) if figures.ended else guaranteed
    _check(figures, what, LAYOUTS[layout_name], output, times, killed)
    remains = repair_remains(output)
    if LAYOUTS[layout_name].pyramid:  # compares each level with the one above
        remains += [str(finding) for check in validate(output).checks for finding in check.findings]
    figures.errors += len(remains)
    figures.findings += [what + remain for remain in remains]
    _check(figures, f"{what}after repair, ", LAYOUTS[layout_name], output, times, killed)
    return figures


def repair_remains(output: Path) -> list[str]:
    """Repair a dataset; return what is left: findings that are not solved or found again, locks and temporary files."""
    remains = [f"repair cannot solve {finding}" for finding in repair(output).unsolved]
    remains += [f"a second repair finds {finding}" for finding in repair(output).findings]
    left = [*output.parent.glob(".*"), *output.rglob(".*")]
    return remains + [f"repair leaves {path.relative_to(output.parent)}" for path in left]


def wait_for(journal: Path, sign: bytes, child: subprocess.Popen[Any]) -> None:
    """Wait until the journal of a writer contains `sign`, or the writer has ended."""
    deadline = time.monotonic() + 90
    while sign not in journal.read_bytes() and child.poll() is None:
        assert time.monotonic() < deadline, f"the writer did not log {sign!r} within 90 s"
        time.sleep(0.002)


def flush_deadline(lines: list[list[str]], killed: float) -> float:
    """Return the time before which a frame must have been accepted to be guaranteed at the time of the kill."""
    flushes = max(ALLOWANCE, 2 * longest_flush(lines, killed) + MARGIN)
    return killed - FLUSH_INTERVAL - flushes - scheduling_delay(lines, killed)


def scheduling_delay(lines: list[list[str]], killed: float) -> float:
    """Return by how long the machine delayed the writer, in seconds.

    That is the longest time without an event while no flush was in progress, because a running writer logs a frame
    every few milliseconds, or the longest time by which a flush began later than the interval after the one before,
    because the flush timer executes nothing else meanwhile.
    """
    delay, previous, ended, running = 0.0, killed, killed, 0
    for line in [*lines, [str(killed)]]:
        time_ = float(line[1] if len(line) == 3 else line[0])
        if not running:
            delay = max(delay, time_ - previous)
        if line[0] == "begin":
            delay = max(delay, time_ - ended - FLUSH_INTERVAL)
            running += 1
        elif line[0] == "end":
            ended, running = time_, running - 1
        previous = time_
    return delay


def flushed(lines: list[list[str]]) -> int:
    """Return the number of frames accepted before the last completed flush began."""
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
    """Return the duration of the longest flush or `close`; one in progress counts up to the kill."""
    longest = 0.0
    begun: dict[str, float] = {}  # by caller: `close` may begin during a timed flush
    for line in lines:
        if line[0] == "begin":
            begun[line[2]] = float(line[1])
        elif line[0] == "end" and line[2] in begun:
            longest = max(longest, float(line[1]) - begun.pop(line[2]))
    return max([longest, *(killed - began for began in begun.values())])


def _check(
    figures: Figures, what: str, layout: Layout, output: Path, times: list[float], killed: float
) -> None:
    """Compare the dataset at `output` with the frames accepted at `times`."""
    figures.accepted = len(times)
    late = killed - FLUSH_INTERVAL - ALLOWANCE
    _read_metadata(figures, what, output)
    images = [_read(figures, what, path) for path in arrays(layout, output)]
    if any(image is None for image in images):
        return
    has_frame = [np.zeros(image.shape[:-2], bool) for image in images]  # type: ignore[union-attr]  # checked above
    entries_by_image = [_frame_metadata(path.parent) for path in arrays(layout, output)]
    # One more frame may have been accepted before it was logged.
    for number in range(min(len(times) + 1, frames(layout) or len(times) + 1)):
        image, at = address(layout, number)
        pixels = images[image]
        assert pixels is not None
        inside = all(i < n for i, n in zip(at, pixels.shape, strict=False))
        found = pixels[at] if inside else np.zeros((HEIGHT, WIDTH), np.uint16)
        if inside:
            has_frame[image][at] = True
        right = frame(number)
        missing = not np.array_equal(found, right)
        stored = entries_by_image[image].get(at)
        metadata_matches = stored is not None and stored.items() >= metadata(number).items()
        if stored is not None and not metadata_matches:
            figures.wrong += 1
            figures.findings.append(
                f"{what}frame {number} has the metadata of another frame: {stored}"
            )
        if missing and not np.all((found == 0) | (found == right)):
            figures.wrong += 1
            figures.findings.append(f"{what}frame {number} at {image} {at} has wrong pixels")
        if number < len(times) and (missing or not metadata_matches):
            figures.age = max(figures.age, killed - times[number])
        if number < len(times) and times[number] < late and (missing or not metadata_matches):
            figures.late += 1
        if number < figures.guaranteed and (missing or not metadata_matches):
            figures.lost += 1
            age = killed - times[number]
            lack = "pixels" if missing else "metadata"
            figures.findings.append(f"{what}frame {number}, {age:.3f} s old, lacks its {lack}")
    for image, (pixels, written) in enumerate(zip(images, has_frame, strict=True)):
        assert pixels is not None
        if pixels[~written].any():
            figures.wrong += 1
            figures.findings.append(f"{what}image {image} has pixels at an index without a frame")


def _read(figures: Figures, what: str, path: Path) -> np.ndarray[Any, Any] | None:
    """Read an array with two readers; None if one of them fails."""
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


def _read_metadata(figures: Figures, what: str, output: Path) -> None:
    """Parse every metadata file as JSON, and open the root as a group."""
    import zarr

    try:
        zarr.open_group(str(output), mode="r")
        for path in output.rglob("zarr.json"):
            json.loads(path.read_text(encoding="utf-8"))
    except Exception as error:
        figures.errors += 1
        figures.findings.append(f"{what}metadata: {type(error).__name__}: {error}")


def _frame_metadata(group: Path) -> dict[tuple[int, ...], dict[str, Any]]:
    """Return the frame metadata by storage index, from the journal and from the group metadata."""
    entries: list[dict[str, Any]] = []
    journal = group / "frame_metadata.jsonl"
    if journal.exists():
        lines = journal.read_bytes().splitlines(keepends=True)
        entries += [json.loads(line) for line in lines if line.endswith(b"\n")]
    group_metadata = json.loads((group / "zarr.json").read_bytes())
    embedded = group_metadata["attributes"].get("ome_writers", {}).get("frame_metadata", [])
    entries += embedded if isinstance(embedded, list) else []
    return {tuple(entry["storage_index"]): entry for entry in entries}
