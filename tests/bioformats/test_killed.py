"""Bio-Formats opens what a killed writer has left, whichever file it is given; and what `repair` makes of it.

`FAULT_ROUNDS` says how many rounds the long version has.
"""

from __future__ import annotations

import math
import os
import random
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from faults.rounds import frame
from faults.tiff_forms import FORMS, kill_round
from ome_writers import validate
from ome_writers.repair import repair
from support.bioformats import read
from support.closings import RUNS, copies_while_closing, output, tiffs

if TYPE_CHECKING:
    from pathlib import Path

    from faults.tiff_forms import Judgement

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "0"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(2**31)
pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's"),
    pytest.mark.filterwarnings(
        "ignore:.*reading array from closed file:UserWarning"
    ),  # tifffile's own, of sets
]


def look(judgement: Judgement, form: str, *, every: bool) -> list[str]:
    """Return what Bio-Formats does not find as promised, in the first file or in each."""
    files = [judgement.output]
    if judgement.output.is_dir():
        files = sorted(f for f in judgement.output.iterdir() if f.name.endswith((".tiff", ".ome")))
    findings = []
    for file in files if every else files[:1]:
        images = read(file)
        if len(images) != FORMS[form].axes.get("p", 1):
            findings.append(f"{file.name}: {len(images)} images")
            continue
        for number in range(judgement.promised):
            image, at = FORMS[form].place(number)
            index = tuple(at.get(a, 0) for a in "tcz")
            pixels = images[image].pixels
            inside = all(i < n for i, n in zip(index, pixels.shape, strict=False))
            if not inside or not np.array_equal(pixels[index], frame(number)):
                findings.append(f"{file.name}: frame {number} of {judgement.promised} is not there")
    return findings


@pytest.mark.parametrize("form", FORMS)
def test_opens_what_is_left(tmp_path: Path, form: str) -> None:
    """It finds every frame that is older than the flush interval, bit for bit, and each plane that was planned."""
    judgement = kill_round(tmp_path, form, SEED)
    assert not look(judgement, form, every=False)
    planned = math.prod(FORMS[form].axes.values())
    files = [judgement.output] if judgement.output.is_file() else sorted(judgement.output.iterdir())
    first = next(f for f in files if f.name.endswith((".tiff", ".ome")))
    planes = sum(i.pixels.shape[0] * i.pixels.shape[1] * i.pixels.shape[2] for i in read(first))
    assert planned in (0, planes)


@pytest.mark.parametrize("name", RUNS)
def test_opens_each_state_of_close(tmp_path: Path, name: str) -> None:
    """Between any two system calls of `close` it finds all frames in their places, whichever file it is given."""
    run = RUNS[name]
    copies = copies_while_closing(run, tmp_path)
    assert len(copies) > 3
    for copy in copies:
        path = output(copy)
        for file in tiffs(path):
            run.check([image.pixels for image in read(file)])


@pytest.mark.skipif(not ROUNDS, reason="the long version: FAULT_ROUNDS=50")
@pytest.mark.timeout(3600)
def test_many_rounds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In `FAULT_ROUNDS` rounds it opens every file, before and after `repair`, and no promised frame is lost."""
    findings: list[str] = []
    promised = files = 0
    for number in range(ROUNDS):
        form = list(FORMS)[number % len(FORMS)]
        folder = tmp_path / str(number)
        folder.mkdir()
        judgement = kill_round(folder, form, SEED + number)
        promised += judgement.promised
        found = [*judgement.findings, *look(judgement, form, every=True)]
        made = repair(judgement.output)
        found += [f"repair: {finding.what}" for finding in made.unsolved]
        found += [
            f"after repair: {finding.what}" for finding in validate(judgement.output).findings
        ]
        found += [f"after repair: {finding}" for finding in look(judgement, form, every=True)]
        folder_or_file = judgement.output
        files += len(list(folder_or_file.iterdir())) if folder_or_file.is_dir() else 1
        findings += [f"{form}, seed {SEED + number}: {finding}" for finding in found]
    with capsys.disabled():
        print(
            f"\nOME-TIFF and Bio-Formats, seed {SEED}: {ROUNDS} rounds, {files} files, {promised} frames "
            f"promised, {len(findings)} findings"
        )
    assert not findings, "\n".join(findings[:40])
