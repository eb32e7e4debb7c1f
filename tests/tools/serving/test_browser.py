"""A viewer in a browser shows a dataset while it is written: `tox -e browser`."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.vizarr import missing_program, show_time_point, vizarr

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

pytest.importorskip("playwright", reason="what a browser shows; tox -e browser")
if missing := missing_program():
    pytest.skip(f"what a browser shows: {missing} is not installed", allow_module_level=True)

WIDTH, HEIGHT, SIZE = 860, 560, 256  # of the window, of the frames
_TIMEOUT_S = 300.0

# Appends a frame per line of stdin, and answers when it is on disk. Its bits are horizontal bars, the lowest at top.
_WRITER = """
import sys
import numpy as np
import ome_writers as ow
shard = int(sys.argv[2]) or None
channel = ow.Channel(name="GFP", color="white", window=(0, 1000))
dimensions = [
    ow.Dimension(name="t", count=16, type="time", chunk_size=1, shard_size_chunks=shard),
    ow.Dimension(name="c", coords=[channel]),
    ow.Dimension(name="y", count=256),
    ow.Dimension(name="x", count=256),
]
with ow.create_stream(root_path=sys.argv[1], dimensions=dimensions, dtype="uint16") as stream:
    for number in map(int, sys.stdin):
        frame = np.full((256, 256), 100, "uint16")
        for bit in range(4):
            frame[64 * bit : 64 * (bit + 1)] += 800 * (number >> bit & 1)
        stream.append(frame)
        stream.flush()
        print("on disk", flush=True)
"""


@pytest.fixture(params=[0, 4], ids=["files", "shards"])
def writer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    path, shard = str(tmp_path / "run.ome.zarr"), str(request.param)
    command = [sys.executable, "-c", _WRITER, path, shard]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.communicate(timeout=300)
        assert process.returncode == 0


def append(writer: subprocess.Popen[str], number: int) -> None:
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write(f"{number}\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "on disk\n"


@pytest.fixture
def address(tmp_path: Path, writer: subprocess.Popen[str]) -> Iterator[str]:
    """The address of the dataset at `ome-writers serve`, in a process of its own, after the first frame."""
    append(writer, 0b1010)
    command = [sys.executable, "-m", "ome_writers", "serve", str(tmp_path / "run.ome.zarr")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        yield lines[1].split()[0]
        process.terminate()


def shown(page: Page) -> int:
    """Return the number that the bars in the middle of the window are; -1 if it shows no frame."""
    from PIL import Image

    picture = np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("L"))
    first = (HEIGHT - SIZE) // 2 + SIZE // 8
    bars = [int(picture[first + bit * SIZE // 4, WIDTH // 2]) for bit in range(4)]
    if any(40 < bar < 200 or bar > 240 for bar in bars):
        return -1
    return sum((bar > 200) << bit for bit, bar in enumerate(bars))


@pytest.mark.timeout(900)
def test_vizarr_shows_each_frame_while_the_run_goes_on(
    request: pytest.FixtureRequest, writer: subprocess.Popen[str], address: str
) -> None:
    """Vizarr does not read the index of a shard again until its page is loaded again."""
    with vizarr(address, "run", WIDTH, HEIGHT) as page:
        for t, number in enumerate((0b1010, 0b0101, 0b0011, 0b1100, 0b0110, 0b1001)):
            if t:
                append(writer, number)
            if t and "shards" in request.node.name:
                page.reload()
            show_time_point(page, t)
            deadline = time.monotonic() + _TIMEOUT_S
            while (seen := shown(page)) != number:
                assert time.monotonic() < deadline, f"shows {seen:04b} at t={t}"
                time.sleep(0.1)
            assert writer.poll() is None
