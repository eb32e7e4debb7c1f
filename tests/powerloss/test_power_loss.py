"""The power fails while a dataset is written with ``durability="disk"``: what was promised reads back.

`FAULT_ROUNDS` says how often it fails in each form and mode (``tox -e powerloss``: 8, in all more than 1,000 times),
`FAULT_SEED` repeats a run's choice of moments.
"""

from __future__ import annotations

import logging
import os
import random
import shutil
import sys
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the recording file system is FUSE for Linux", allow_module_level=True)
if not os.access("/dev/fuse", os.R_OK | os.W_OK) or shutil.which("fusermount") is None:
    pytest.skip(
        "file systems cannot be mounted: /dev/fuse or fusermount (Debian: fuse) is missing",
        allow_module_level=True,
    )
try:
    import fuse  # noqa: F401  # to find out whether it is there
except (ImportError, OSError) as error:
    pytest.skip(f"fusepy and libfuse 2 are needed: {error}", allow_module_level=True)
pytest.importorskip("zarr", reason="zarr-python judges what is left")
pytest.importorskip("tensorstore", reason="tensorstore judges what is left")
pytest.importorskip("tifffile", reason="tifffile judges what is left")

from ome_writers.storage import ENGINES
from powerloss.forms import FORMS
from powerloss.judging import Tally, fail_often, record

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(2**31)


@pytest.mark.timeout(600)
# tifffile's own, of sets
@pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")
@pytest.mark.parametrize("form", FORMS)
def test_promised_frames_survive_power_loss(tmp_path: Path, rows: list[str], form: str) -> None:
    """Every frame that `flush` or `close` promised reads back, at worst after `repair`, which mends all at once."""
    missing = ENGINES[FORMS[form].engine].missing_requirement()
    if missing:
        pytest.skip(missing)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what `repair` then mends
    operations = record(form, tmp_path)
    total = Tally()
    for mode, tally in fail_often(form, operations, ROUNDS, tmp_path, SEED).items():
        rows.append(tally.row(form, mode))
        total.add(tally)
    assert total.crashes == 3 * ROUNDS
    assert not total.findings, f"FAULT_SEED={SEED}\n" + "\n".join(total.findings[:10])
