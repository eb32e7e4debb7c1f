"""The acquisition widget of pymmcore-widgets, which is the one of pymmcore-gui (``tox -e gui``)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.pymmcore.stored import SUFFIXES, check_delivered

pytest.importorskip("PyQt6.QtWidgets", exc_type=ImportError, reason="needs Qt")
pytest.importorskip("pymmcore_widgets", reason="the widget itself")
useq = pytest.importorskip("useq")
pytest.importorskip("tensorstore", reason="the independent reader")
pytest.importorskip("tifffile", reason="the independent reader")

pytestmark = [
    pytest.mark.camera,
    # tifffile's own, when a series of one page is in another file of a set
    pytest.mark.filterwarnings("ignore:.*reading array from closed file:UserWarning"),
]

WINDOW = Path(__file__).with_name("window.py")
TIMES = {"interval": 0, "loops": 3}
TWO = [{"config": "DAPI", "exposure": 1}, {"config": "FITC", "exposure": 1, "acquire_every": 2}]
PLANS: dict[str, dict[str, Any]] = {
    "one": {"time_plan": TIMES, "channels": TWO[:1]},
    "several": {"time_plan": TIMES, "channels": TWO, "stage_positions": [(0, 0, 0), (9, 9, 9)]},
}


def pressed(
    folder: Path, how: str, plans: list[dict[str, Any]], *names: str, timeout: float = 300
) -> list[dict[str, Any]]:
    """Press Run for each name in one window; return the result of each run."""
    sequences = [useq.MDASequence(**plan).model_dump(mode="json") for plan in plans]
    done = subprocess.run(
        [
            sys.executable,
            *(() if how == "gui" else ("-W", "error")),  # pymmcore-gui warns
            WINDOW,
            folder,
            how,
            json.dumps(sequences),
            *names,
        ],
        capture_output=True,
        text=True,
        timeout=timeout,
        # HOME: pymmcore-gui stores its settings there
        env={"QT_QPA_PLATFORM": "offscreen", **os.environ, "QT_API": "pyqt6", "HOME": str(folder)},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def check_run(folder: Path, number: int, run: dict[str, Any]) -> None:
    """Assert that the displayed and the stored frames are those that were delivered."""
    assert (run["error"], run["seen"]) == ("", True)
    with np.load(folder / f"{number}.npz") as frames:
        delivered = list(zip(run["indices"], frames.values(), strict=True))
    assert delivered
    sequence = useq.MDASequence.model_validate_json(run["sequence"])
    check_delivered(folder / run["saved_as"], sequence, delivered)


@SUFFIXES
@pytest.mark.parametrize("how", ["button", "writer"])
@pytest.mark.parametrize("plans", PLANS)
def test_run_from_widget(plans: str, how: str, suffix: str, tmp_path: Path) -> None:
    """Each run has its own output with its frames, and the live view shows them; one run is cancelled."""
    names = [f"x.ome.{suffix}", f"x.ome.{suffix}@2", f"y.ome.{suffix}"]
    runs = pressed(tmp_path, how, [PLANS[plans]], *names)
    assert len({run["saved_as"] for run in runs}) == 3
    for number, run in enumerate(runs):
        check_run(tmp_path, number, run)


@SUFFIXES
@pytest.mark.parametrize("plans", PLANS)
def test_second_run_with_same_name(plans: str, suffix: str, tmp_path: Path) -> None:
    """The widget detects the existing path and increments the number; both runs are on disk."""
    runs = pressed(tmp_path, "button", [PLANS[plans]], *[f"x.ome.{suffix}"] * 3)
    numbers = [run["saved_as"].removesuffix(f".ome.{suffix}") for run in runs]
    assert len(set(numbers)) == 3
    assert numbers == sorted(numbers)
    for number, run in enumerate(runs):
        check_run(tmp_path, number, run)


LAYOUTS: list[dict[str, Any]] = [
    *PLANS.values(),
    {"channels": TWO, "z_plan": {"range": 2, "step": 1}},
    {"grid_plan": {"rows": 2, "columns": 1}, "channels": TWO[:1]},
    {
        "stage_positions": {
            "plate": 96,
            "a1_center_xy": (0, 0),
            "selected_wells": ([0, 1], [0, 1]),
        },
        "channels": TWO[:1],
    },
]


@pytest.mark.timeout(600)
def test_consecutive_runs_in_the_window_of_pymmcore_gui(tmp_path: Path) -> None:
    """40 runs over formats and layouts, several with the same name, without a traceback."""
    pytest.importorskip("pymmcore_gui", reason="the window itself; it is not published for zarr 3")
    names = [
        f"{layout}:{name}.ome.{suffix}"
        for name in ("x", "x", "y", "x")
        for suffix in ("zarr", "tiff")
        for layout in range(len(LAYOUTS))
    ]
    assert len(names) == 40
    runs = pressed(tmp_path, "gui", LAYOUTS, *names, timeout=580)
    assert len({run["saved_as"] for run in runs}) == 40
    for number, run in enumerate(runs):
        check_run(tmp_path, number, run)
