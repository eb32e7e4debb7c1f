"""A disk that fails at the n-th call: no hang, the error lists the missing frames, the others read back.

`FAULT_ROUNDS` (see ``tox -e faults``) tests 210 faults per format, instead of one of each kind.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

pytest.importorskip("zarr", reason="zarr-python reads the result")
pytest.importorskip("tensorstore", reason="tensorstore reads the result")

from faults.failing_disk import (
    KINDS,
    ZARR_LAYOUTS,
    Fault,
    Tally,
    check,
    compile_shim,
    compiler,
    plan,
    run,
)
from faults.tiff_layouts import LAYOUTS as TIFF_LAYOUTS
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
LAYOUTS = {
    "direct": list(ZARR_LAYOUTS),
    "tifffile": list(TIFF_LAYOUTS),
    "tensorstore": ["shards of chunks over t and z", "unbounded"],
    "zarr-python": ["chunks over t and z", "shards"],
}
COUNTS = {"direct": 210, "tifffile": 210, "tensorstore": 42, "zarr-python": 42}
SHORT = ("direct", "tifffile")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the library to be preloaded."""
    return compile_shim(tmp_path_factory.mktemp("shim"))


@pytest.mark.timeout(1800 if LONG else 600)
@pytest.mark.parametrize("engine", COUNTS if LONG else SHORT)
def test_failing_disk_call(
    tmp_path: Path, engine: str, shim: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At any failing call: no hang, no wrong pixel, `WriteError` lists each lost frame, flushed frames are kept."""
    if ENGINES[engine].missing_requirement() is not None:
        pytest.skip(str(ENGINES[engine].missing_requirement()))
    layouts = LAYOUTS[engine] if LONG else LAYOUTS[engine][::3]
    whole = [
        Fault(engine, layout, str(tmp_path / f"whole-{n}")) for n, layout in enumerate(layouts)
    ]
    tally = Tally()
    calls = {}
    for fault, report in zip(whole, run(shim, tmp_path, whole, LIMIT), strict=True):
        check(tally, fault, report)
        assert report["error"] is None, report
        calls[fault.layout] = report["calls"]
    assert not tally.findings, tally.findings
    tally = Tally()
    count = COUNTS[engine] if LONG else len(KINDS)
    faults = plan(engine, layouts, calls, tmp_path, count, SEED)
    for fault, report in zip(faults, run(shim, tmp_path, faults, LIMIT), strict=True):
        check(tally, fault, report)
    if LONG:
        with capsys.disabled():
            print(
                f"\n| {engine} | {tally.faults} | {tally.triggered} | {tally.refused} | {tally.errors} "
                f"| {tally.accepted} | {tally.named} | {tally.hidden} | {tally.unnamed} "
                f"| {len(tally.findings)} | seed {SEED}"
            )
    assert not tally.findings, f"seed {SEED}\n" + "\n".join(tally.findings[:40])
