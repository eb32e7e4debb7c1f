"""Record ``kill-recording.webp``: a program is killed, a disk is full, and the acquisition goes on both times.

Run it in an environment with ``ome-writers[demo,napari]``, on Linux as root (it mounts a file system of 12 MB), without
a screen under Xvfb::

    xvfb-run -s "-screen 0 1280x1024x24" python docs/pictures/kill_recording.py

Nothing is staged: Micro-Manager's demo camera runs in a process of its own, the lines of ``info``, ``validate`` and of
the failed acquisition are those that they print, and the script fails if a frame is missing at the end, or is not the
one that was on disk before the kill and before the disk was full.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import ome_writers

PICTURE = Path(__file__).with_name("kill-recording.webp")
PICTURE_INTERVAL_S = 0.3
KILL_AFTER_FRAMES = 7
DISK_BYTES, OTHER_BYTES = 18 << 20, 9 << 20
WINDOW = (860, 700)
SIZE = (1000, 520)
TERMINAL_WIDTH = 392
MARGIN = 12
BACKGROUND, TEXT, PROMPT, ALERT = "#11151c", "#d7dce5", "#7fd18c", "#ff7b72"
RUN = (
    "events = remaining_events(sequence, PATH)",
    "mmc.mda.run(events, output=MDAWriter(",
    "  PATH, resume=True, sequence=sequence))",
)


def acquire(path: str) -> None:
    """Scan a grid of 4 x 3 positions in two channels with the demo camera: the events that are missing."""
    import useq
    from pymmcore_plus import CMMCorePlus

    from ome_writers_pymmcore import MDAWriter, remaining_events

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
        channels=[{"config": name, "exposure": 600} for name in ("DAPI", "Cy5")],
    )
    events = remaining_events(sequence, path)
    print("acquiring", flush=True)
    writer = MDAWriter(path, resume=True, sequence=sequence)
    mmc.mda.run(events, output=writer)


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
        blank = [Line("")] if "acquire.py" in text else []
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
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", folder]
        subprocess.run(mount, check=True)
        os.chdir(folder)
        try:
            record().save(PICTURE)
        finally:
            os.chdir("/")
            subprocess.run(["umount", folder], check=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1e6:.2f} MB")


def record() -> Recording:
    """Acquire, kill, continue, fill the disk, continue; in the current directory."""
    import napari
    from qtpy.QtWidgets import QApplication

    recording = Recording()
    Path("other.bin").write_bytes(bytes(OTHER_BYTES))
    recording.lines += [Line("# acquire.py"), *(Line(f"  {line}") for line in RUN)]
    viewer = open_window(napari)
    application = QApplication.instance()

    def run(until: Callable[[], bool]) -> subprocess.Popen[str]:
        """Show an acquisition, until a condition is met or it ends."""
        process = subprocess.Popen(
            [sys.executable, __file__, "run.ome.zarr"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        wait_for(Path("run.ome.zarr/zarr.json"))
        live = add_live(viewer, "run.ome.zarr")
        while process.poll() is None and not until():
            viewer.reset_view()
            recording.follow(application, viewer)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        end = time.monotonic() + 1.2
        while time.monotonic() < end:  # the last frames before the end
            recording.follow(application, viewer)
        live.stop()
        return process

    from ome_writers_napari import add_live

    with open("errors.txt", "w+") as errors:
        recording.command("python acquire.py")
        process = run(lambda: written() >= KILL_AFTER_FRAMES)
        assert process.returncode == -signal.SIGKILL, "the acquisition ended before it was killed"
        recording.command(f"kill -9 {process.pid}")
        before = stored_frames()
        show_info(recording)
        recording.take(viewer, 1.6)

        viewer.layers.clear()
        recording.command("python acquire.py")
        run(lambda: False)
        errors.seek(0)
        full = re.search(r"No space left on device", errors.read())
        errors.seek(0)
        assert full, f"the disk was not full: {errors.read()}"
        recording.lines += [Line("[Errno 28] No space left on device", ALERT)]
        compare(before, stored_frames())
        before = stored_frames()
        assert len(before) < FRAMES, "the acquisition ended before the disk was full"
        show_info(recording)
        recording.take(viewer, 1.6)

        recording.command("rm other.bin; python acquire.py")
        Path("other.bin").unlink()
        viewer.layers.clear()
        run(lambda: False)
        show_info(recording)
        viewer.layers.clear()
        viewer.open("run.ome.zarr", plugin="ome-writers")
        viewer.reset_view()
        application.processEvents()
        command = [sys.executable, "-m", "ome_writers", "validate", "run.ome.zarr"]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        recording.command("ome-writers validate run.ome.zarr")
        recording.lines += [
            Line(shortened(line)) for line in report.splitlines() if "pixels" in line
        ]
        recording.take(viewer, 4)
    viewer.close()
    after = stored_frames()
    compare(before, after)
    assert len(after) == FRAMES, f"{len(after)} of {FRAMES} frames"
    return recording


FRAMES = 24


def written() -> int:
    return ome_writers.read("run.ome.zarr").frames_written or 0


def stored_frames() -> dict[tuple[int, ...], bytes]:
    """Read the frames that are not black."""
    dataset = ome_writers.open("run.ome.zarr")
    frames = {index: np.asarray(dataset[index]) for index in np.ndindex(*dataset.shape[:-2])}
    return {index: frame.tobytes() for index, frame in frames.items() if frame.any()}


def compare(before: dict[tuple[int, ...], bytes], after: dict[tuple[int, ...], bytes]) -> None:
    changed = [index for index, frame in before.items() if after.get(index) != frame]
    assert not changed, f"frames that were on disk have changed: {changed}"


def shortened(line: str) -> str:
    return line if len(line) <= 48 else f"{line[:47]}…"


def show_info(recording: Recording) -> None:
    """Add what ``info`` prints of frames and status."""
    command = [sys.executable, "-m", "ome_writers", "info", "run.ome.zarr"]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    recording.command("ome-writers info run.ome.zarr")
    recording.lines += [
        Line(shortened(line))
        for line in report.splitlines()
        if line.split()[:1] in (["frames"], ["status"])
    ]


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
