"""``kill -9`` while an OME-TIFF is written: tifffile opens it, and what is older than the flush interval is right.

`FAULT_ROUNDS` says how many rounds the long version has.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

pytest.importorskip("tifffile", reason="tifffile judges what is left")
pytest.importorskip("ome_types", reason="the engine needs it")
if sys.platform == "win32":
    pytest.skip("SIGKILL and a clock shared by processes are POSIX's", allow_module_level=True)

from faults.tiff_forms import FORMS, kill_round

SHORT = [
    pytest.param("bounded", marks=pytest.mark.short),
    "bounded, compressed",
    "unbounded",
    pytest.param("positions, companion, compressed", marks=pytest.mark.short),
]
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(2**31)


@pytest.mark.parametrize("form", SHORT)
# tifffile's own, of sets
@pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")
def test_what_a_flush_took_survives(tmp_path: Path, form: str) -> None:
    """A frame that was accepted before a flush, and the flush ended, is there, bit for bit, with its metadata."""
    judgement = kill_round(tmp_path, form, SEED, timed=False)
    assert not judgement.findings, "\n".join(judgement.findings[:20])


@pytest.mark.skipif(not ROUNDS, reason="the long version: FAULT_ROUNDS=50")
# tifffile's own, of sets
@pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")
@pytest.mark.timeout(3600)
def test_many_rounds_lose_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """No form loses a promised frame in `FAULT_ROUNDS` rounds."""
    findings: list[str] = []
    promised = 0
    for number in range(ROUNDS):
        form = list(FORMS)[number % len(FORMS)]
        folder = tmp_path / str(number)
        folder.mkdir()
        judgement = kill_round(folder, form, SEED + number)
        promised += judgement.promised
        findings += [f"{form}: {finding}" for finding in judgement.findings]
    with capsys.disabled():
        print(
            f"\nOME-TIFF, seed {SEED}: {ROUNDS} rounds, {promised} frames promised, {len(findings)} findings"
        )
    assert not findings, "\n".join(findings[:40])
