"""Bio-Formats opens the files of a killed writer, whichever file it is given, before and after `repair`.

`FAULT_ROUNDS` is the number of rounds of the long version.
"""

from __future__ import annotations

import math
import os
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest

from faults.kill_rounds import frame
from faults.tiff_layouts import LAYOUTS, kill_round
from ome_writers import validate
from ome_writers.repair import repair
from support.bioformats import read
from support.closings import RUNS, copies_while_closing, output, tiffs

if TYPE_CHECKING:
    from pathlib import Path

    from faults.tiff_layouts import Outcome

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(2**31)
# warning of tifffile about sets
pytestmark = pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")


def check_files(outcome: Outcome, layout: str, *, every: bool) -> list[str]:
    """Return the guaranteed planes that Bio-Formats does not find, in the first file or in each."""
    files = [outcome.output]
    if outcome.output.is_dir():
        files = sorted(f for f in outcome.output.iterdir() if f.name.endswith((".tiff", ".ome")))
    findings = []
    for file in files if every else files[:1]:
        images = read(file)
        if len(images) != LAYOUTS[layout].axes.get("p", 1):
            findings.append(f"{file.name}: {len(images)} images")
            continue
        for number in range(outcome.guaranteed):
            image, at = LAYOUTS[layout].address(number)
            index = tuple(at.get(a, 0) for a in "tcz")
            pixels = images[image].pixels
            inside = all(i < n for i, n in zip(index, pixels.shape, strict=False))
            if not inside or not np.array_equal(pixels[index], frame(number)):
                findings.append(f"{file.name}: frame {number} of {outcome.guaranteed} is missing")
    return findings


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bioformats_opens_files_of_a_killed_writer(tmp_path: Path, layout: str) -> None:
    """It finds every frame older than the flush interval, bit for bit, and each planned plane."""
    outcome = kill_round(tmp_path, layout, SEED)
    assert not check_files(outcome, layout, every=False)
    planned = math.prod(LAYOUTS[layout].axes.values())
    files = [outcome.output] if outcome.output.is_file() else sorted(outcome.output.iterdir())
    first = next(f for f in files if f.name.endswith((".tiff", ".ome")))
    planes = sum(i.pixels.shape[0] * i.pixels.shape[1] * i.pixels.shape[2] for i in read(first))
    assert planned in (0, planes)


@pytest.mark.parametrize("name", RUNS)
def test_bioformats_opens_each_state_of_close(tmp_path: Path, name: str) -> None:
    """Between any two system calls of `close` it finds all frames at their indices, whichever file it is given."""
    run = RUNS[name]
    copies = copies_while_closing(run, tmp_path)
    assert len(copies) > 3
    for copy in copies:
        path = output(copy)
        for file in tiffs(path):
            run.check([image.pixels for image in read(file)])


@pytest.mark.skipif(not ROUNDS, reason="the long version: FAULT_ROUNDS=50")
@pytest.mark.timeout(3600)
def test_many_kills_lose_no_guaranteed_frame(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It opens every file, before and after `repair`, in `FAULT_ROUNDS` rounds."""
    findings: list[str] = []
    guaranteed = files = 0
    for number in range(ROUNDS):
        layout = list(LAYOUTS)[number % len(LAYOUTS)]
        folder = tmp_path / str(number)
        folder.mkdir()
        outcome = kill_round(folder, layout, SEED + number)
        guaranteed += outcome.guaranteed
        found = [*outcome.findings, *check_files(outcome, layout, every=True)]
        made = repair(outcome.output)
        found += [f"repair: {finding.what}" for finding in made.unsolved]
        found += [f"after repair: {finding.what}" for finding in validate(outcome.output).findings]
        found += [
            f"after repair: {finding}" for finding in check_files(outcome, layout, every=True)
        ]
        folder_or_file = outcome.output
        files += len(list(folder_or_file.iterdir())) if folder_or_file.is_dir() else 1
        findings += [f"{layout}, seed {SEED + number}: {finding}" for finding in found]
    with capsys.disabled():
        print(
            f"\nOME-TIFF and Bio-Formats, seed {SEED}: {ROUNDS} rounds, {files} files, {guaranteed} frames "
            f"guaranteed, {len(findings)} findings"
        )
    assert not findings, "\n".join(findings[:40])
