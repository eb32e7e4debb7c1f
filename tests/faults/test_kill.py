"""A writer killed at a random moment: third-party readers find all frames older than the flush interval.

`FAULT_ROUNDS` (see ``tox -e faults``) is the number of rounds per engine in the long version.
"""

from __future__ import annotations

import os
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults.kill_rounds import (
    ALLOWANCE,
    COMPRESSIONS,
    FLUSH_INTERVAL,
    LAYOUTS,
    Figures,
    flush_deadline,
    kill_round,
    scheduling_delay,
)
from ome_writers.storage import ENGINES

pytest.importorskip("zarr", reason="zarr-python reads the result")
pytest.importorskip("tensorstore", reason="tensorstore reads the result")

ENGINE_NAMES = [
    name
    for name, row in ENGINES.items()
    if row.format == "ome-zarr" and row.survives_kill and row.missing_requirement() is None
]
OFTEN = [
    ("direct", "chunks over t and z", "none"),
    ("direct", "shards", "none"),
    ("tensorstore", "unbounded", "none"),
    ("zarr-python", "chunks over t and z", "blosc-lz4"),
    ("direct", "levels along z, two positions", "zstd"),
]
"""Of `SHORT`, what the normal tests have."""

SHORT = [
    ("direct", "frame chunks", "none"),
    ("direct", "chunks over t and z", "none"),
    ("direct", "chunks over t and z", "zstd"),
    ("direct", "shards", "none"),
    ("direct", "shards of chunks over t and z", "blosc-lz4"),
    ("direct", "three positions, shards", "zstd"),
    ("direct", "unbounded, shards of chunks over t", "none"),
    ("direct", "transposed", "blosc-lz4"),
    ("direct", "levels", "none"),
    ("direct", "levels along z, two positions", "zstd"),
    ("tensorstore", "levels, chunks over t", "zstd"),
    ("tensorstore", "shards of chunks over t and z", "zstd"),
    ("tensorstore", "unbounded", "none"),
    ("tensorstore", "frame chunks, little memory", "none"),
    ("zarr-python", "chunks over t and z", "blosc-lz4"),
    ("zarrs-python", "three positions, shards", "none"),
]
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(2**31)
HEADER = (
    "| engine | rounds | closed before | accepted | guaranteed | lost | late | wrong | errors "
    "| oldest taken (s) | longest flush (s) | stalled |"
)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("engine", "layout", "compression"),
    [
        pytest.param(*case, marks=[pytest.mark.short] if case in OFTEN else [])
        for case in SHORT
        if case[0] in ENGINE_NAMES
    ],
)
def test_flushed_frames_survive_kill(
    tmp_path: Path, engine: str, layout: str, compression: str
) -> None:
    """Accepted before a completed flush: on disk bit for bit, with their metadata; `repair` leaves nothing."""
    figures = kill_round(tmp_path, engine, layout, compression, SEED, timed=False)
    assert not figures.findings, "\n".join(figures.findings[:20])


def test_frames_are_not_guaranteed_while_the_writer_was_not_scheduled() -> None:
    """The log of a round on a busy machine: no thread ran from 0.72 s on, before the next flush was due."""
    log = ["0.10", "begin 0.58 _flush", "0.59", "end 0.60 _flush", "0.65", "0.72", "1.46"]
    lines = [line.split() for line in log]
    assert scheduling_delay(lines, 1.47) == pytest.approx(0.74)
    assert flush_deadline(lines, 1.47) == pytest.approx(1.47 - 0.74 - FLUSH_INTERVAL - ALLOWANCE)
    lines.insert(-1, ["begin", "0.81", "_flush"])  # one that does not end is not excused as a delay
    assert scheduling_delay(lines, 1.47) == pytest.approx(0.48)


@pytest.mark.skipif(not ROUNDS, reason="the long version: tox -e faults (FAULT_ROUNDS=50)")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_many_kills_lose_no_guaranteed_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    """`FAULT_ROUNDS` rounds per engine over all layouts and compressions."""
    total = Figures()
    work = []
    for number in range(ROUNDS):
        layout = list(LAYOUTS)[number % len(LAYOUTS)]
        compression = COMPRESSIONS[number // len(LAYOUTS) % len(COMPRESSIONS)]
        folder = tmp_path / f"{engine}-{number}"
        folder.mkdir()
        work.append((folder, engine, layout, compression, SEED + number))
    with ThreadPoolExecutor(2) as pool:
        for figures in pool.map(lambda w: kill_round(*w), work):
            total.add(figures)
    with capsys.disabled():
        print(f"\n\nseed {SEED}, flush_interval {FLUSH_INTERVAL} s, allowance {ALLOWANCE} s")
        print(HEADER)
        print("|" + "---|" * 12)
        print(
            f"| {engine} | {total.rounds} | {total.ended} | {total.accepted} | {total.guaranteed} "
            f"| {total.lost} | {total.late} | {total.wrong} | {total.errors} "
            f"| {total.age:.3f} | {total.flush:.3f} | {total.stalled} |"
        )
    findings = total.findings
    assert not findings, f"{len(findings)} findings:\n" + "\n".join(findings[:40])
