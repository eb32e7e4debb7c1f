"""``kill -9`` at a random moment: what is older than the flush interval is there, in other people's readers.

`FAULT_ROUNDS` (see ``tox -e faults``) says how many rounds each engine gets in the long version.
"""

from __future__ import annotations

import os
import random
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from faults.rounds import ALLOWANCE, COMPRESSIONS, FLUSH_INTERVAL, FORMS, Figures, kill_round
from ome_writers.storage import ENGINES

pytest.importorskip("zarr", reason="zarr-python judges what is left")
pytest.importorskip("tensorstore", reason="tensorstore judges what is left")
if sys.platform == "win32":
    pytest.skip("SIGKILL and a clock shared by processes are POSIX's", allow_module_level=True)

ENGINE_NAMES = [
    name
    for name, row in ENGINES.items()
    if row.format == "ome-zarr" and row.survives_kill and row.missing_requirement() is None
]
OFTEN = [
    ("direct", "chunks over t and z", "zstd"),
    ("direct", "shards", "none"),
    ("tensorstore", "no end", "none"),
    ("zarr-python", "chunks over t and z", "blosc-lz4"),
]
"""Of `SHORT`, what the normal tests have."""

SHORT = [
    ("direct", "frame chunks", "none"),
    ("direct", "chunks over t and z", "zstd"),
    ("direct", "shards", "none"),
    ("direct", "shards of chunks over t and z", "blosc-lz4"),
    ("direct", "three positions, shards", "zstd"),
    ("direct", "no end, shards of chunks over t", "none"),
    ("direct", "transposed", "blosc-lz4"),
    ("tensorstore", "shards of chunks over t and z", "zstd"),
    ("tensorstore", "no end", "none"),
    ("tensorstore", "frame chunks, little memory", "none"),
    ("zarr-python", "chunks over t and z", "blosc-lz4"),
    ("zarrs-python", "three positions, shards", "none"),
]
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(2**31)
HEADER = (
    "| engine | rounds | over before | accepted | promised | lost | late | wrong | errors "
    "| oldest taken (s) | longest flush (s) | stalled |"
)


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("engine", "form", "compression"),
    [
        pytest.param(*case, marks=[pytest.mark.short] if case in OFTEN else [])
        for case in SHORT
        if case[0] in ENGINE_NAMES
    ],
)
def test_what_a_flush_took_survives(
    tmp_path: Path, engine: str, form: str, compression: str
) -> None:
    """A frame that was accepted before a flush, and the flush ended, is there, bit for bit, with its metadata."""
    figures = kill_round(tmp_path, engine, form, compression, SEED, timed=False)
    assert not figures.findings, "\n".join(figures.findings[:20])


@pytest.mark.skipif(not ROUNDS, reason="the long version: tox -e faults (FAULT_ROUNDS=50)")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("engine", ENGINE_NAMES)
def test_many_rounds_lose_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], engine: str
) -> None:
    """No engine loses a promised frame in `FAULT_ROUNDS` rounds over all forms and compressions."""
    total = Figures()
    work = []
    for number in range(ROUNDS):
        form = list(FORMS)[number % len(FORMS)]
        compression = COMPRESSIONS[number // len(FORMS) % len(COMPRESSIONS)]
        folder = tmp_path / f"{engine}-{number}"
        folder.mkdir()
        work.append((folder, engine, form, compression, SEED + number))
    with ThreadPoolExecutor(2) as pool:
        for figures in pool.map(lambda w: kill_round(*w), work):
            total.add(figures)
    with capsys.disabled():
        print(f"\n\nseed {SEED}, flush_interval {FLUSH_INTERVAL} s, allowance {ALLOWANCE} s")
        print(HEADER)
        print("|" + "---|" * 12)
        print(
            f"| {engine} | {total.rounds} | {total.ended} | {total.accepted} | {total.promised} "
            f"| {total.lost} | {total.late} | {total.wrong} | {total.errors} "
            f"| {total.age:.3f} | {total.flush:.3f} | {total.stalled} |"
        )
    findings = total.findings
    assert not findings, f"{len(findings)} findings:\n" + "\n".join(findings[:40])
