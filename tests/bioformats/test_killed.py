"""Bio-Formats opens what a killed writer has left."""

from __future__ import annotations

import math
import random
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from faults.rounds import frame
from faults.tiff_forms import FORMS, kill_round
from support.bioformats import read

if TYPE_CHECKING:
    from pathlib import Path

SEED = random.SystemRandom().randrange(2**31)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX's")
@pytest.mark.filterwarnings(
    "ignore:.*reading array from closed file:UserWarning"
)  # tifffile's own, of sets
@pytest.mark.parametrize("form", FORMS)
def test_opens_what_is_left(tmp_path: Path, form: str) -> None:
    """It finds every frame that is older than the flush interval, bit for bit."""
    judgement = kill_round(tmp_path, form, SEED)
    files = [judgement.output]
    if judgement.output.is_dir():
        files = sorted(f for f in judgement.output.iterdir() if f.name.endswith((".tiff", ".ome")))
    images = read(files[0])
    axes = FORMS[form].axes
    assert len(images) == axes.get("p", 1)
    assert math.prod(axes.values()) in (
        0,
        sum(i.pixels.shape[0] * i.pixels.shape[1] for i in images),
    )
    for number in range(judgement.promised):
        image, at = FORMS[form].place(number)
        found = images[image].pixels[tuple(at.get(a, 0) for a in "tcz")]
        np.testing.assert_array_equal(found, frame(number))
