"""Power loss while a dataset is written with ``durability="disk"``: guaranteed frames read back.

`FAULT_ROUNDS` is the number of crashes per layout and mode (``tox -e powerloss``: 8, in total more than 1,000),
`FAULT_SEED` repeats the moments of a run.
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
    import fuse  # noqa: F401  # to check whether it is installed
except (ImportError, OSError) as error:
    pytest.skip(f"fusepy and libfuse 2 are needed: {error}", allow_module_level=True)
pytest.importorskip("zarr", reason="zarr-python reads the result")
pytest.importorskip("tensorstore", reason="tensorstore reads the result")
pytest.importorskip("tifffile", reason="tifffile reads the result")

from ome_writers.storage import ENGINES
from powerloss.checking import Tally, fail_often, record
from powerloss.layouts import LAYOUTS

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(2**31)


@pytest.mark.timeout(600)
# warning of tifffile about sets
@pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_guaranteed_frames_survive_power_loss(tmp_path: Path, rows: list[str], layout: str) -> None:
    """All frames of a completed `flush` or `close` read back, at the latest after one `repair`."""
    missing = ENGINES[LAYOUTS[layout].engine].missing_requirement()
    if missing:
        pytest.skip(missing)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # it logs what `repair` then fixes
    operations = record(layout, tmp_path)
    total = Tally()
    for mode, tally in fail_often(layout, operations, ROUNDS, tmp_path, SEED).items():
        rows.append(tally.row(layout, mode))
        total.add(tally)
    assert total.crashes == 3 * ROUNDS
    assert not total.findings, f"FAULT_SEED={SEED}\n" + "\n".join(total.findings[:10])
