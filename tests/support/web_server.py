"""Web servers of a folder in this process, as they differ: range requests, pages of folders, lists of files."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterator


_POLL_INTERVAL_S = 0.01  # how long `shutdown` waits


class WebServer(NamedTuple):
    url: str
    requests: list[str]  # method and path of each request so far


class PlainHandler(SimpleHTTPRequestHandler):
    """Ignores range requests, answers the request of a folder with an HTML page, and does not list files (501)."""

    requests: list[str]

    def log_request(self, *_: object) -> None:
        self.requests.append(f"{self.command} {self.path}")

    def log_message(self, *_: object) -> None:
        pass


class RangeHandler(PlainHandler):
    """The same with range requests."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(404)
            return
        content, total = path.read_bytes(), path.stat().st_size
        self.send_response(206 if "Range" in self.headers else 200)
        if wanted := self.headers.get("Range"):
            first, last = wanted.removeprefix("bytes=").split("-")
            content = content[int(first) : int(last) + 1]
            self.send_header(
                "Content-Range", f"bytes {first}-{int(first) + len(content) - 1}/{total}"
            )
        self.send_header("Last-Modified", self.date_time_string(path.stat().st_mtime))
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class DenyingHandler(RangeHandler):
    """403 for all files."""

    def do_HEAD(self) -> None:
        self.send_error(403)


class _ListRefusingHandler(RangeHandler):
    """Answers the request of a list as `list_status` and `list_content`."""

    list_status = 405
    list_content = b""

    def do_PROPFIND(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = self.list_content
        self.send_response(self.list_status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class ForbiddenFoldersHandler(_ListRefusingHandler):
    """Like nginx without ``autoindex``: 403 for folders, 405 for lists."""

    def do_HEAD(self) -> None:
        if Path(self.translate_path(self.path)).is_dir():
            self.send_error(403)
        else:
            super().do_HEAD()


class ListNotFoundHandler(_ListRefusingHandler):
    """404 for lists, which obstore returns as an empty list."""

    list_status = 404


class PageInsteadOfListHandler(_ListRefusingHandler):
    """Ignores the method: an HTML page for lists."""

    list_status = 200
    list_content = b"<html><body>Index</body></html>"


class WebDavHandler(_ListRefusingHandler):
    """Lists files as WebDAV does."""

    @property
    def list_status(self) -> int:  # type: ignore[override]  # of the requested folder
        return 207 if Path(self.translate_path(self.path)).is_dir() else 404

    @property
    def list_content(self) -> bytes:  # type: ignore[override]  # of the requested folder
        folder = Path(self.translate_path(self.path))
        files = [path for path in folder.rglob("*") if path.is_file()]
        responses = "".join(
            f"<D:response><D:href>{self.path.rstrip('/')}/{quote(file.relative_to(folder).as_posix())}</D:href>"
            f"<D:propstat><D:prop><D:getcontentlength>{file.stat().st_size}</D:getcontentlength><D:resourcetype/>"
            f"<D:getlastmodified>{self.date_time_string(file.stat().st_mtime)}</D:getlastmodified></D:prop>"
            f"<D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>"
            for file in files
        )
        return f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{responses}</D:multistatus>'.encode()

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        path = Path(self.translate_path(self.path))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self.send_response(201)
        self.send_header("Content-Length", "0")
        self.end_headers()


class LosingHandler(WebDavHandler):
    """Answers that it has stored one chunk, which it loses."""

    def do_PUT(self) -> None:
        super().do_PUT()
        if self.path.endswith("/0/c/2/0/0"):
            Path(self.translate_path(self.path)).unlink()


class StalledHandler(WebDavHandler):
    """Does not answer requests that store chunks."""

    def do_PUT(self) -> None:
        if "/c/" in self.path:
            self.requests.append(f"stalled {self.path}")
            time.sleep(600)
        super().do_PUT()


class CountingHandler(WebDavHandler):
    """Counts the requests of chunks that are answered at a time."""

    active: ClassVar[list[str]] = []
    most = 0

    def do_GET(self) -> None:
        self.active.append(self.path)
        if "/c/" in self.path:
            CountingHandler.most = max(self.most, len(self.active))
            time.sleep(0.05)
        self.active.remove(self.path)  # before the answer is complete
        super().do_GET()


HANDLERS_WITHOUT_LISTS: list[type[PlainHandler]] = [
    PlainHandler,
    RangeHandler,
    ForbiddenFoldersHandler,
    ListNotFoundHandler,
    PageInsteadOfListHandler,
]


@contextmanager
def serve(folder: Path, handler: type[PlainHandler] = RangeHandler) -> Iterator[WebServer]:
    """Serve the files of a folder."""
    log: list[str] = []
    recording = type(handler.__name__, (handler,), {"requests": log})
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *args: recording(*args, directory=str(folder))
    )
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(_POLL_INTERVAL_S,))
    thread.start()
    try:
        yield WebServer(f"http://127.0.0.1:{server.server_address[1]}", log)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
