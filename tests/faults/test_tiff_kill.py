"""Writers of OME-TIFF are killed: tifffile opens the file, and frames older than the flush interval are correct.

`FAULT_ROUNDS` is the number of rounds of the long version, `FAULT_LAYOUTS` the beginning of the names of its layouts.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

pytest.importorskip("tifffile", reason="tifffile reads the result")
pytest.importorskip("ome_types", reason="the engine needs it")

from faults.tiff_layouts import LAYOUTS, findings_after_repair, kill_round

SHORT = [
    pytest.param("bounded", marks=pytest.mark.short),
    "bounded, compressed",
    "unbounded",
    pytest.param("positions, companion, compressed", marks=pytest.mark.short),
    "levels",
    "levels, unbounded, compressed",
]
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
PREFIX = os.environ.get("FAULT_LAYOUTS", "")
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(2**31)


@pytest.mark.parametrize("layout", SHORT)
# warning of tifffile about sets
@pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")
def test_flushed_frames_survive_kill(tmp_path: Path, layout: str) -> None:
    """Frames accepted before a completed flush are on disk, bit for bit, with their metadata, also after `repair`."""
    outcome = kill_round(tmp_path, layout, SEED, timed=False)
    findings = outcome.findings + findings_after_repair(layout, outcome)
    assert not findings, "\n".join(findings[:20])


@pytest.mark.skipif(not ROUNDS, reason="the long version: FAULT_ROUNDS=50")
# warning of tifffile about sets
@pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")
@pytest.mark.timeout(3600)
def test_many_kills_lose_no_guaranteed_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    findings: list[str] = []
    accepted = guaranteed = 0
    for number in range(ROUNDS):
        names = [name for name in LAYOUTS if name.startswith(PREFIX)]
        layout = names[number % len(names)]
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = kill_round(folder, layout, SEED + number)
        guaranteed += outcome.guaranteed
        found = outcome.findings + findings_after_repair(layout, outcome)
        findings += [f"{layout}: {finding}" for finding in found]
        accepted += outcome.accepted
    with capsys.disabled():
        print(
            f"\nOME-TIFF, seed {SEED}: {ROUNDS} rounds, {accepted} frames accepted, {guaranteed} guaranteed, "
            f"{len(findings)} findings"
        )
    assert not findings, "\n".join(findings[:40])
