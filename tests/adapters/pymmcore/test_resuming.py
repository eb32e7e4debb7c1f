"""A run of pymmcore-plus that was killed is continued: only the missing events run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers as omew
from adapters.pymmcore.stored import SUFFIXES
from ome_writers_pymmcore import MDAWriter, record, remaining_events

useq = pytest.importorskip("useq")
pytest.importorskip("pymmcore_plus")

if TYPE_CHECKING:
    from pymmcore_plus import CMMCorePlus

pytestmark = pytest.mark.camera

# An unmodified client, which is killed one second after its eleventh frame.
_CLIENT = """
import os, signal, sys, time
import useq
from adapters.pymmcore.cameras import small_core
core = small_core(48, 32)
core.setProperty("Camera", "PixelType", "16bit")
core.setProperty("Camera", "Mode", "Noise")
core.mda.engine.use_hardware_sequencing = False
frames = []
@core.mda.events.frameReady.connect
def count(*_):
    frames.append(1)
    if len(frames) == 11:
        time.sleep(1.5)
        os.kill(os.getpid(), signal.SIGKILL)
core.mda.run(useq.MDASequence.model_validate_json(sys.argv[1]), output=sys.argv[2])
"""


def sequence(loops: int = 3) -> Any:
    return useq.MDASequence(
        stage_positions=[(0, 0, 0), (10, 20, 0)],
        channels=["DAPI", "FITC"],
        z_plan={"range": 2, "step": 1},
        time_plan={"interval": 0, "loops": loops},
        axis_order="tpcz",
    )


def killed_run(output: Path) -> None:
    command = [sys.executable, "-c", _CLIENT, sequence().model_dump_json(), str(output)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == -9, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
@SUFFIXES
def test_record_continues_a_killed_run(demo_core: CMMCorePlus, suffix: str, tmp_path: Path) -> None:
    """Complete, with two attempts and a gap in delta_t."""
    output = tmp_path / f"x.ome.{suffix}"
    killed_run(output)
    before = np.asarray(omew.open(output))
    assert omew.read(output).frames_written in range(5, 12)
    written = omew.read(output).frames_written or 0
    counts = record(demo_core, output, sequence=sequence(), resume=True, progress=False)
    assert counts.received == 36 - written
    spec = omew.read(output)
    assert (spec.status, spec.frames_written) == ("complete", 36)
    after = np.asarray(omew.open(output))
    assert after.reshape(36, -1).any(axis=1).all()
    np.testing.assert_array_equal(
        after.reshape(36, -1)[:written], before.reshape(-1, 48 * 32)[:written]
    )
    times = [f["delta_t"] for f in omew.read_frame_metadata(output)]
    assert len(times) == 36
    times.sort()
    assert np.diff(times)[written - 1] > 1.4  # it was killed 1.5 s after the last frame
    if suffix == "zarr":
        own = json.loads((output / "zarr.json").read_bytes())["attributes"]["ome_writers"]
        assert [attempt["frames"] for attempt in own["attempts"]] == [written, 36 - written]


def test_resume_adds_time_points_and_refuses_other_sequences(
    demo_core: CMMCorePlus, tmp_path: Path
) -> None:
    output = tmp_path / "x.ome.zarr"
    demo_core.mda.run(sequence(1), output=MDAWriter(output, core=demo_core))
    assert remaining_events(sequence(1), output) == []
    other = sequence(2).replace(channels=["Cy5", "FITC"])
    with pytest.raises(omew.SettingsError, match="another sequence: channels differ"):
        remaining_events(other, output)
    events = remaining_events(sequence(2), output)
    assert [dict(e.index) for e in events] == [dict(e.index) for e in list(sequence(2))[12:]]
    record(demo_core, output, sequence=sequence(2), resume=True, progress=False)
    assert (omew.read(output).status, omew.read(output).frames_written) == ("complete", 24)


def test_record_continues_a_free_running_camera(demo_core: CMMCorePlus, tmp_path: Path) -> None:
    output = tmp_path / "x.ome.zarr"
    record(demo_core, output, n_frames=7, progress=False)
    record(demo_core, output, n_frames=20, resume=True, progress=False)
    assert (omew.read(output).status, omew.read(output).frames_written) == ("complete", 20)
    assert len(remaining_events(sequence(1), tmp_path / "new.ome.zarr")) == 12
