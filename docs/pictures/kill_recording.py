"""Record ``kill-recording.webp``: napari follows an acquisition, which is killed, and the dataset still opens.

Run it in an environment with ``ome-writers[demo,napari]``, on Linux without a screen under Xvfb::

    xvfb-run -s "-screen 0 1280x1024x24" python docs/pictures/kill_recording.py

Nothing is staged: Micro-Manager's demo camera runs in a process of its own, ``info`` is shown as it prints, and the
script fails if a frame that was written before the kill cannot be read afterwards.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image, ImageDraw, ImageFont

PICTURE = Path(__file__).with_name("kill-recording.webp")
PICTURE_INTERVAL_S = 0.3
KILL_AFTER_FRAMES = 15
WINDOW = (860, 700)
SIZE = (1000, 520)
TERMINAL_WIDTH = 392
MARGIN = 12
BACKGROUND, TEXT, PROMPT, ALERT = "#11151c", "#d7dce5", "#7fd18c", "#ff7b72"
RUN = "mmc.mda.run(sequence, output='run.ome.zarr')"


def acquire(path: str) -> None:
    """Scan a grid of 4 x 3 positions in two channels with the demo camera."""
    import useq
    from pymmcore_plus import CMMCorePlus

    mmc = CMMCorePlus()
    mmc.loadSystemConfiguration()
    camera = {"Mode": "Fluorescent Beads", "BeadDensity": 40, "BeadBrightness": 8, "BeadSize": 9}
    for name, value in camera.items():
        mmc.setProperty("Camera", name, value)
    sequence = useq.MDASequence(
        axis_order="pgc",
        stage_positions=[(0, 0, 0)],
        grid_plan={
            "rows": 3,
            "columns": 4,
            "fov_width": 512,
            "fov_height": 512,
            "mode": "row_wise_snake",
        },
        channels=[{"config": name, "exposure": 900} for name in ("DAPI", "Cy5")],
    )
    print("acquiring", flush=True)
    mmc.mda.run(sequence, output=path)


class Line(NamedTuple):
    text: str
    color: str = TEXT


class Recording:
    """Pictures of a terminal next to napari's window, taken while a Qt application runs."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.pictures: list[Image.Image] = []
        self.durations_s: list[float] = []
        self._font = ImageFont.truetype("DejaVuSansMono.ttf", 13)
        self._last = time.monotonic()

    def take(self, viewer: Any | None, duration_s: float) -> None:
        """Add a picture that is shown for so long."""
        picture = Image.new("RGB", SIZE, BACKGROUND)
        draw = ImageDraw.Draw(picture)
        for number, line in enumerate(self.lines):
            draw.text((MARGIN, MARGIN + 19 * number), line.text, line.color, self._font)
        if viewer is not None:
            window = Image.fromarray(viewer.window.screenshot(flash=False)).convert("RGB")
            window.thumbnail(
                (SIZE[0] - TERMINAL_WIDTH - MARGIN, SIZE[1] - 2 * MARGIN), Image.Resampling.LANCZOS
            )
            picture.paste(window, (TERMINAL_WIDTH, (SIZE[1] - window.height) // 2))
        self.pictures.append(picture)
        self.durations_s.append(duration_s)
        self._last = time.monotonic()

    def follow(self, application: Any, viewer: Any) -> None:
        """Process events of the application, and add a picture when the next one is due."""
        application.processEvents()
        if (elapsed := time.monotonic() - self._last) >= PICTURE_INTERVAL_S:
            self.take(viewer, elapsed)
        time.sleep(0.01)

    def command(self, text: str) -> None:
        blank = [Line("")] if self.lines else []
        self.lines += [*blank, Line(f"$ {text}", PROMPT)]

    def save(self, path: Path) -> None:
        self.pictures[0].save(
            path,
            save_all=True,
            append_images=self.pictures[1:],
            duration=[round(1000 * s) for s in self.durations_s],
            loop=0,
            quality=70,
            method=6,
        )


def main() -> None:
    """Record the picture."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        record().save(PICTURE)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1e6:.2f} MB")


def record() -> Recording:
    """Acquire, kill and open again, in the current directory."""
    import napari
    import numpy as np
    from qtpy.QtWidgets import QApplication

    import ome_writers
    from ome_writers_napari import add_live

    recording = Recording()
    viewer = open_window(napari)
    application = QApplication.instance()

    recording.command("python acquire.py")
    recording.lines += [Line(f"  {RUN}")]
    process = subprocess.Popen([sys.executable, __file__, "run.ome.zarr"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    wait_for(Path("run.ome.zarr/zarr.json"))
    recording.command("ome-writers view run.ome.zarr")
    live = add_live(viewer, "run.ome.zarr")
    while (written := ome_writers.read("run.ome.zarr").frames_written or 0) < KILL_AFTER_FRAMES:
        viewer.reset_view()
        recording.follow(application, viewer)
        assert process.poll() is None, "the acquisition ended before it was killed"

    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    live.stop()
    recording.command(f"kill -9 {process.pid}")
    recording.lines += [Line("[1]+ Killed   python acquire.py", ALERT)]
    recording.take(viewer, 2)
    viewer.close()

    recording.command("ome-writers info run.ome.zarr")
    report = subprocess.run(
        [sys.executable, "-m", "ome_writers", "info", "run.ome.zarr"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    wanted = ("format", "frames", "status")
    recording.lines += [
        Line(line) for line in report.splitlines() if line.split()[:1] and line.split()[0] in wanted
    ]
    recording.take(None, 1.2)

    recording.command("ome-writers view run.ome.zarr")
    recording.take(None, 0.8)
    viewer = open_window(napari)
    viewer.open("run.ome.zarr", plugin="ome-writers")
    viewer.reset_view()
    application.processEvents()
    recording.take(viewer, 4)
    viewer.close()

    dataset = ome_writers.open("run.ome.zarr")
    filled = int(np.any(np.asarray(dataset[...]), axis=(-2, -1)).sum())
    assert filled >= written, f"{filled} of {written} frames can be read"
    return recording


def open_window(napari: Any) -> Any:
    viewer = napari.Viewer(title="napari", show=True)
    viewer.window.resize(*WINDOW)
    return viewer


def wait_for(path: Path, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} was not created within {timeout_s} s"
        time.sleep(0.02)


if __name__ == "__main__":
    acquire(*sys.argv[1:]) if len(sys.argv) > 1 else main()
