"""Take the pictures of running programs: ``python docs/pictures/screenshots.py NAME ...``.

- ``napari``, ``ndv``: a window that follows a running acquisition; needs ``ome-writers[napari,ndv]``.
- ``neuroglancer``, ``vizarr``: a page in Chromium that shows a dataset; needs ``playwright``, the program ``chromium``,
  and for the first the package ``neuroglancer``, for the second the program ``npm``.

Without a screen, run it under ``xvfb-run -s "-screen 0 1280x1024x24"``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from ome_writers import Channel, Dimension, OMEStream, Position, create_stream

PICTURES = Path(__file__).parent.parent / "how-to" / "images"
TIMES, PLANES, SIZE = 6, 8, 256
SPOTS = 24
VIZARR = "@galaxyproject/vizarr@0.1.8"


def start(path: Path, positions: bool) -> OMEStream:
    """Create a stream of two channels, and of two positions if asked for."""
    tiles = [
        Position(name="left", x_coord=0, y_coord=0),
        Position(name="right", x_coord=SIZE / 2, y_coord=20),
    ]
    return create_stream(
        root_path=path,
        dimensions=[
            Dimension(name="t", count=TIMES, scale=30, unit="second"),
            *([Dimension(name="p", type="position", coords=tiles)] if positions else []),
            Dimension(
                name="c",
                coords=[Channel(name="DAPI", color="blue"), Channel(name="FITC", color="lime")],
            ),
            Dimension(name="z", count=PLANES, scale=1, unit="micrometer"),
            Dimension(name="y", count=SIZE, scale=0.5, unit="micrometer"),
            Dimension(name="x", count=SIZE, scale=0.5, unit="micrometer"),
        ],
        dtype="uint16",
        compression="blosc-zstd" if path.suffix == ".zarr" else None,
    )


def frames(images: int) -> Iterator[np.ndarray]:
    """Yield a z-stack of each channel of each image: spots that move."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:SIZE, :SIZE]
    spots = rng.uniform((0, 0, 0), (PLANES, SIZE, SIZE), (images * 2, SPOTS, 3))
    for t in range(TIMES):
        for number, stack in enumerate(spots):
            width = (30, 150)[number % 2]
            for z in range(PLANES):
                frame = np.full((SIZE, SIZE), 100.0)
                for depth, row, column in stack:
                    focus = 3000 * np.exp(-((z - depth) ** 2) / 6)
                    frame += focus * np.exp(-((y - row - 3 * t) ** 2 + (x - column) ** 2) / width)
                yield rng.poisson(frame).astype("uint16")


def write(path: Path) -> Path:
    with start(path, positions=False) as stream:
        for frame in frames(1):
            stream.append(frame)
    return path


def follow(stream: OMEStream, process_events: Any, until: int) -> None:
    """Append frames up to the middle of the run, and let the window show them."""
    for number, frame in zip(range(until), frames(2), strict=False):
        stream.append(frame)
        if number % 8 == 0:
            process_events()
    stream.flush()
    end = time.monotonic() + 8
    while time.monotonic() < end:
        process_events()
        time.sleep(0.02)


def napari(folder: Path) -> None:
    import napari
    from qtpy.QtWidgets import QApplication

    from ome_writers_napari import add_live

    viewer = napari.Viewer(show=True)
    viewer.window.resize(860, 620)
    with start(folder / "run.ome.zarr", positions=True) as stream:
        add_live(viewer, stream)
        follow(stream, QApplication.instance().processEvents, 4 * 4 * PLANES)
        viewer.reset_view()
        QApplication.instance().processEvents()
        picture = viewer.window.screenshot(flash=False, canvas_only=False)
        save(picture, "napari-live.png")
        stream.skip(frames=stream.settings.num_frames - stream.stats().frames_accepted)
    viewer.close()


def ndv(folder: Path) -> None:
    from qtpy.QtWidgets import QApplication

    from ome_writers_ndv import create_viewer

    application = QApplication.instance() or QApplication([])
    with start(folder / "run.ome.zarr", positions=True) as stream:
        viewer = create_viewer(stream)
        viewer.show()
        widget = viewer.widget()
        widget.resize(640, 620)
        follow(stream, application.processEvents, 4 * 4 * PLANES)
        widget.grab().save(str(PICTURES / "ndv-live.png"))
        stream.skip(frames=stream.settings.num_frames - stream.stats().frames_accepted)
    viewer.close()


def neuroglancer(folder: Path) -> None:
    import neuroglancer as package

    client = Path(package.__file__).parent / "static" / "client"
    shutil.copytree(client, folder / "app")
    write(folder / "run.ome.zarr")
    with served(folder) as address:
        shader = "#uicontrol invlerp normalized(range=[100,1500])\nvoid main() { emitRGB(COLOR * normalized()); }"
        layers = [
            {
                "type": "image",
                "name": name,
                "source": f"{address}/run.ome.zarr/|zarr3:",
                "localPosition": [number],
                "blend": "additive",
                "shader": shader.replace("COLOR", color),
            }
            for number, (name, color) in enumerate(
                [("DAPI", "vec3(0.2, 0.4, 1)"), ("FITC", "vec3(0.2, 1, 0.2)")]
            )
        ]
        state = {
            "layers": layers,
            "position": [2, 4, SIZE / 2, SIZE / 2],
            "displayDimensions": ["x", "y", "z"],
            "crossSectionScale": 5e-7,
            "projectionScale": 2e-4,
            "layout": "4panel",
        }
        page(f"{address}/app/index.html#!{quote(json.dumps(state))}", "neuroglancer.png", 40)


def vizarr(folder: Path) -> None:
    subprocess.run(["npm", "install", "--silent", "--prefix", folder, VIZARR], check=True)
    application = folder / "node_modules" / VIZARR.rpartition("@")[0]
    index = next(path for path in application.rglob("index.html"))
    write(folder / "run.ome.zarr")
    with served(folder) as address:
        url = f"{address}/{index.parent.relative_to(folder).as_posix()}/?source={address}/run.ome.zarr"
        page(url, "vizarr.png", 30)


def page(url: str, name: str, seconds: float) -> None:
    """Open a page in Chromium, wait until it has drawn, and save a picture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        tab = browser.new_page(viewport={"width": 860, "height": 560})
        tab.on("console", lambda message: print(f"  {message.text}"[:200]))
        tab.goto(url)
        tab.wait_for_timeout(seconds * 1000)
        tab.screenshot(path=PICTURES / name)
        browser.close()


class Handler(SimpleHTTPRequestHandler):
    """Answers requests for a range of a file, which `http.server` does not."""

    def do_GET(self) -> None:
        wanted = re.match(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        path = Path(self.translate_path(self.path))
        if wanted is None or not path.is_file():
            super().do_GET()
            return
        content, (first, last) = path.read_bytes(), wanted.groups()
        begin = int(first) if first else len(content) - int(last)
        end = min(int(last) + 1, len(content)) if first and last else len(content)
        self.send_response(206)
        self.send_header("Content-Range", f"bytes {begin}-{end - 1}/{len(content)}")
        self.send_header("Content-Length", str(end - begin))
        self.end_headers()
        self.wfile.write(content[begin:end])

    def log_message(self, format: str, *values: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def save(picture: np.ndarray, name: str) -> None:
    from PIL import Image

    Image.fromarray(picture).convert("RGB").save(PICTURES / name, optimize=True)


TAKE = {"napari": napari, "ndv": ndv, "neuroglancer": neuroglancer, "vizarr": vizarr}


def main() -> None:
    for name in sys.argv[1:] or TAKE:
        with tempfile.TemporaryDirectory() as folder:
            TAKE[name](Path(folder))
        print(f"{name}: done")


if __name__ == "__main__":
    main()
