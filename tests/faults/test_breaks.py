"""A disk that fails at the n-th call: no hang, the error names what is not there, the rest reads back.

`FAULT_ROUNDS` (see ``tox -e faults``) gives each format 210 faults, instead of one of each kind.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

pytest.importorskip("zarr", reason="zarr-python judges what is left")
pytest.importorskip("tensorstore", reason="tensorstore judges what is left")

from faults.breaks import KINDS, ZARR_FORMS, Fault, Tally, compile_shim, compiler, judge, plan, run
from faults.tiff_forms import FORMS as TIFF_FORMS
from ome_writers.storage import ENGINES

pytestmark = [
    pytest.mark.skipif(
        compiler() is None, reason="faults are injected with LD_PRELOAD: Linux and a C compiler"
    ),
    pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning"),
]
LONG = bool(int(os.environ.get("FAULT_ROUNDS", "0")))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.SystemRandom().randrange(2**31)
LIMIT = 600.0 if LONG else 90.0
FORMS = {
    "direct": list(ZARR_FORMS),
    "tifffile": list(TIFF_FORMS),
    "tensorstore": ["shards of chunks over t and z", "no end"],
    "zarr-python": ["chunks over t and z", "shards"],
}
COUNTS = {"direct": 210, "tifffile": 210, "tensorstore": 42, "zarr-python": 42}
SHORT = ("direct", "tifffile")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library to be preloaded."""
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.mark.timeout(1800 if LONG else 200)
@pytest.mark.parametrize("engine", COUNTS if LONG else SHORT)
def test_a_disk_that_fails(
    tmp_path: Path, engine: str, shim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whichever call fails: no hang, no wrong pixel, WriteError names each lost frame, a flush keeps its word."""
    if ENGINES[engine].missing_requirement() is not None:
        pytest.skip(str(ENGINES[engine].missing_requirement()))
    forms = FORMS[engine] if LONG else FORMS[engine][::3]
    whole = [Fault(engine, form, str(tmp_path / f"whole-{n}")) for n, form in enumerate(forms)]
    tally = Tally()
    calls = {}
    for fault, told in zip(whole, run(shim, tmp_path, whole, LIMIT), strict=True):
        judge(tally, fault, told)
        assert told["error"] is None, told
        calls[fault.form] = told["calls"]
    assert not tally.findings, tally.findings
    tally = Tally()
    count = COUNTS[engine] if LONG else len(KINDS)
    faults = plan(engine, forms, calls, tmp_path, count, SEED)
    for fault, told in zip(faults, run(shim, tmp_path, faults, LIMIT), strict=True):
        judge(tally, fault, told)
    if LONG:
        with capsys.disabled():
            print(
                f"\n| {engine} | {tally.faults} | {tally.met} | {tally.refused} | {tally.errors} | {tally.accepted} "
                f"| {tally.named} | {tally.hidden} | {tally.unnamed} | {len(tally.findings)} | seed {SEED}"
            )
    assert not tally.findings, f"seed {SEED}\n" + "\n".join(tally.findings[:40])
