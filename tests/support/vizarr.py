"""Vizarr in Debian's Chromium, as the npm package for Galaxy contains it: built, and without a server of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

PACKAGE = "@galaxyproject/vizarr@0.1.8"
CACHE = Path(os.environ.get("VIZARR_CACHE", ".cache/vizarr"))
"""Where the package is; kept between runs."""
# a decoder for JPEG 2000, which the page loads from the internet
_DECODER = "https://cdn.jsdelivr.net/**"
_PAGE = """<!doctype html><title>Vizarr</title>
<div id=app style="position: absolute; inset: 0" data-incoming='{}'></div><script type=module src=index.js></script>"""


def missing_program() -> str | None:
    """Return the name of a program that is needed and not installed."""
    return next((name for name in ("npm", "chromium") if shutil.which(name) is None), None)


@contextmanager
def vizarr(data_url: str, name: str, width: int = 860, height: int = 560) -> Iterator[Page]:
    """Yield the page of Vizarr that shows the OME-Zarr at a URL, from a server at another port."""
    from playwright.sync_api import sync_playwright

    handler = type("Handler", (_PageRequest,), {"data_url": data_url, "name": name})
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(_package())))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"),
                args=["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"],
            )
            page = browser.new_page(viewport={"width": width, "height": height})
            page.route(_DECODER, lambda route: route.fulfill(**_ANSWER))
            page.goto(f"http://127.0.0.1:{server.server_port}/")
            yield page
            browser.close()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def show_time_point(page: Page, t: int) -> None:
    """Click at the slider of the first axis, which is the second slider of the panel."""
    page.get_by_text("T: ").wait_for(timeout=300_000)
    box = page.locator(".MuiSlider-root").nth(1).bounding_box()
    last = page.get_by_role("slider").nth(1).get_attribute("aria-valuemax")
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * t / int(last or 1), box["y"] + box["height"] / 2)
    page.get_by_text(f"T: {t}/").wait_for(timeout=300_000)


_ANSWER: dict[str, Any] = {
    "content_type": "text/javascript",
    "headers": {"Access-Control-Allow-Origin": "*"},
    "body": "export class JpxImage {}",
}


class _PageRequest(SimpleHTTPRequestHandler):
    """Answers as Galaxy does: the address of the dataset is metadata of an object of the server."""

    data_url: str
    name: str

    def do_GET(self) -> None:
        if self.path == "/":
            options = {"visualization_config": {"dataset_id": "dataset"}, "root": "/"}
            self._send("text/html", _PAGE.format(json.dumps(options)))
        elif self.path == "/api/datasets/dataset":
            sources = [{"source_uri": self.data_url}]
            content = {"id": "dataset", "name": self.name, "state": "deferred", "sources": sources}
            self._send("application/json", json.dumps(content))
        else:
            super().do_GET()

    def log_message(self, format: str, *values: object) -> None:
        pass

    def _send(self, content_type: str, text: str) -> None:
        content = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _package() -> Path:
    """Return the folder with the built page; downloads the package once."""
    static = CACHE / "package" / "static"
    if not static.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        command = ["npm", "pack", "--silent", PACKAGE, "--pack-destination", str(CACHE)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        with tarfile.open(CACHE / done.stdout.split()[-1]) as archive:
            archive.extractall(CACHE, filter="data")
    return static.resolve()
