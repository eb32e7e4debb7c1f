"""HTTP server for the files of one dataset. Nothing else can be read through it.

No file is open while a client is slow: each block is read and the file closed again, so that the writer can replace and
truncate files. Each connection has a thread; their number is limited.
"""

# Longer than 300 lines: the server and the answers to its requests.
from __future__ import annotations

import os
import re
import socket
import sys
import threading
from collections.abc import Iterable
from email.utils import formatdate
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from ome_writers import InvalidFileError, MovedFileError, OMEWritersError, read
from ome_writers.toolkit import (
    detect_format,
    local_path,
    locate,
    lock_owner,
    lock_path,
    lower_thread_priority,
    member,
    open_regular,
    read_fully,
    resolve_entry_file,
)
from ome_writers_tools.serving.progress_page import VIEWER_ORIGINS, render_page, viewer_links

if TYPE_CHECKING:
    from typing_extensions import Self

_MAX_CONNECTIONS = 64
_CLIENT_TIMEOUT_S = (
    20.0  # for the next bytes of a request, or until the client has read a part of the answer
)
_BLOCK_BYTES = 2**20
_MAX_PATH_BYTES = 4096
_RANGE = re.compile(r"bytes=(?:([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19}))")
_PUBLIC_HIDDEN = {".zattrs", ".zarray", ".zgroup", ".zmetadata"}  # metadata of OME-Zarr 0.4
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_TYPES = {
    ".json": "application/json",
    ".xml": "application/xml",
    ".ome": "application/xml",
    ".tiff": "image/tiff",
    ".tif": "image/tiff",
}
_RESERVED = re.compile(
    r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?|.*[. ]"
)


class DatasetServer:
    """Serves a dataset until `close`. ``/`` is a page with its progress, ``/NAME`` are its files.

    Parameters
    ----------
    path
        The dataset on this computer.
    port
        0 chooses a free one.
    host
        The address to listen at. The default can be reached from this computer only.
    allow_origins
        Web sites whose pages may read the dataset, such as ``https://viewer.example.org``, or ``*`` for all; besides
        those of `viewer_links`, and pages of this computer.

    Raises FileNotFoundError, UnsupportedError as `open`; OSError if the port is in use.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        port: int = 0,
        host: str = "127.0.0.1",
        allow_origins: Iterable[str] = (),
    ) -> None:
        self.root = Path(os.path.abspath(resolve_entry_file(local_path(path))))
        self.spec = read(self.root)
        self.name = self.root.name
        self._is_tiff = detect_format(self.root).file_datasets is not None
        self.origins = {*VIEWER_ORIGINS, *allow_origins}
        self.is_loopback = host in _LOOPBACK
        self._server = _Server((host, port), self)
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self._server.server_port}"
        self._thread: threading.Thread | None = None

    @property
    def data_url(self) -> str:
        """The address of the dataset."""
        return f"{self.url}/{quote(self.name)}"

    @property
    def is_growing(self) -> bool:
        """Whether a process is writing the dataset."""
        return lock_owner(lock_path(self.root, folder=self.root.is_dir())) is not None

    def serve(self) -> None:
        """Answer requests until another thread calls `close`."""
        self._server.serve_forever()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join()

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self.serve, name="ome-writers-serve", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def page(self, host: str) -> bytes:
        """Return the page for a client that reaches this server as `host`."""
        spec = read(self.root)
        data = f"/{quote(self.name)}"
        links = viewer_links(f"http://{host}{data}", tiff=self._is_tiff)
        return render_page(spec, self.name, links, data)

    def file(self, target: str) -> Path | None:
        """Return the file that a request asks for; None if there is no such file in the dataset."""
        raw = target.partition("?")[0].partition("#")[0]
        if len(raw) > _MAX_PATH_BYTES or not raw.startswith("/"):
            return None
        try:
            name, _, key = unquote_to_bytes(raw[1:]).decode("utf-8").partition("/")
        except UnicodeDecodeError:
            return None
        if name != self.name or any(ord(c) < 32 for c in key):
            return None
        if not key:
            return self.root if self.root.is_file() else None
        parts = key.split("/")
        hidden = any(part.startswith(".") and part not in _PUBLIC_HIDDEN for part in parts)
        # on Windows, names that stand for a device or for another name
        if hidden or (sys.platform == "win32" and any(map(_RESERVED.fullmatch, parts))):
            return None
        try:
            return member(self.root, key) if self.root.is_dir() else None
        except (InvalidFileError, ValueError):
            return None

    def allows(self, origin: str) -> bool:
        """Return whether pages of a web site may read the dataset."""
        if "*" in self.origins or origin in self.origins:
            return True
        return self.is_loopback and _host_name(origin) in _LOOPBACK


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    # Windows would let a second server listen at the same port
    allow_reuse_address = os.name != "nt"

    def __init__(self, address: tuple[str, int], dataset: DatasetServer) -> None:
        self.dataset = dataset
        self._free = threading.BoundedSemaphore(_MAX_CONNECTIONS)
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _FileRequest)

    def server_bind(self) -> None:
        # not that of HTTPServer, which asks the name server for the name of this computer
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            try:
                request.settimeout(0.1)
                request.sendall(
                    b"HTTP/1.1 503 Too many connections\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
            except OSError:
                pass
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        lower_thread_priority()  # for an acquisition on this computer
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client has closed the connection, or is too slow


class _FileRequest(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ome-writers", ""
    timeout = _CLIENT_TIMEOUT_S
    server: _Server  # pyright: ignore[reportIncompatibleVariableOverride] # of this class

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_OPTIONS(self) -> None:
        if not self._is_for_this_server():
            return
        self.send_response(HTTPStatus.NO_CONTENT)
        self.send_header("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
        self.send_header(
            "Access-Control-Allow-Headers", "Range, If-None-Match, If-Range, Cache-Control"
        )
        self.send_header("Access-Control-Allow-Private-Network", "true")
        self.send_header("Access-Control-Max-Age", "600")
        self.end_headers()

    def log_message(self, format: str, *_: Any) -> None:
        pass

    def end_headers(self) -> None:
        headers = getattr(self, "headers", None)  # None after a request that is not HTTP
        origin = None if headers is None else headers.get("Origin")
        if origin is not None and self.server.dataset.allows(origin):
            self.send_header("Access-Control-Allow-Origin", origin)
            self.send_header(
                "Access-Control-Expose-Headers",
                "Content-Range, Content-Length, ETag, Accept-Ranges",
            )
        self.send_header("Vary", "Origin")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def _answer(self, *, body: bool) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # its body is not read
        if not self._is_for_this_server():
            return
        dataset = self.server.dataset
        if self.path.partition("?")[0] == "/":
            try:
                content = dataset.page(self.headers.get("Host") or dataset.url.partition("//")[2])
            except (OMEWritersError, OSError, ValueError):
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, body=body)
                return
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header(
                "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"
            )
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if body:
                self.wfile.write(content)
            return
        path = dataset.file(self.path)
        try:
            if path is None:
                raise FileNotFoundError
            self._send_file(path, body=body)
        except MovedFileError:  # a viewer shows a chunk that is not found as zeros
            self._refuse(HTTPStatus.SERVICE_UNAVAILABLE, body=body)
        except (FileNotFoundError, NotADirectoryError, PermissionError, InvalidFileError):
            self._refuse(HTTPStatus.NOT_FOUND, body=body)

    def _send_file(self, path: Path, *, body: bool) -> None:
        """Send a file or a range of it. Raises before anything is sent if it cannot be read."""
        dataset = self.server.dataset
        growing = dataset.is_growing
        version, block = _read(path, dataset.root, 0, 0)
        size, tag = version.size, version.tag
        known = None if growing or not tag else self.headers.get("If-None-Match")
        first, last, status = 0, size - 1, HTTPStatus.OK
        wanted = _RANGE.fullmatch(self.headers.get("Range", ""))
        if self.headers.get("If-Range", tag) != tag or (growing and "If-Range" in self.headers):
            wanted = None
        if known is not None and (known.strip() == "*" or tag in known):
            status, last = HTTPStatus.NOT_MODIFIED, -1
        elif wanted is not None:
            status = HTTPStatus.PARTIAL_CONTENT
            if wanted[3] is not None:
                first = max(0, size - int(wanted[3]))
            else:
                first = int(wanted[1])
                last = min(last, int(wanted[2])) if wanted[2] else last
            if first > last or first >= size:
                self._refuse(
                    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, f"bytes */{size}", body=body
                )
                return
        if body and status is not HTTPStatus.NOT_MODIFIED:  # an error can still be reported
            version, block = _read(path, dataset.root, first, min(_BLOCK_BYTES, last + 1 - first))
        self.send_response(status)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-cache" if tag and not growing else "no-store")
        if tag and not growing:
            self.send_header("ETag", tag)
            self.send_header("Last-Modified", formatdate(version.modified, usegmt=True))
        if status is HTTPStatus.NOT_MODIFIED:
            self.end_headers()
            return
        if status is HTTPStatus.PARTIAL_CONTENT:
            self.send_header("Content-Range", f"bytes {first}-{last}/{size}")
        self.send_header("Content-Type", _TYPES.get(path.suffix, "application/octet-stream"))
        self.send_header("Content-Length", str(last + 1 - first))
        self.end_headers()
        identity, at = version.identity, first
        while body and at <= last:
            if not block or version.identity != identity:
                self.close_connection = (
                    True  # replaced or cut: the client notices that bytes are missing
                )
                return
            self.wfile.write(block)
            at += len(block)
            if at <= last:
                try:
                    version, block = _read(path, dataset.root, at, min(_BLOCK_BYTES, last + 1 - at))
                except (OSError, InvalidFileError):  # too late for another status
                    block = b""

    def _is_for_this_server(self) -> bool:
        """Refuse requests for another host name: a web site may have redirected its own name to this computer."""
        name = _host_name("//" + self.headers.get("Host", ""))
        if not name or (self.server.dataset.is_loopback and name not in _LOOPBACK):
            self._refuse(HTTPStatus.MISDIRECTED_REQUEST, body=self.command != "HEAD")
            return False
        return True

    def _refuse(self, status: HTTPStatus, content_range: str = "", *, body: bool) -> None:
        content = f"{status.value} {status.phrase}\n".encode()
        self.send_response(status)
        if content_range:
            self.send_header("Content-Range", content_range)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body:
            self.wfile.write(content)


def _host_name(url: str) -> str:
    """Return the name of the host of a URL; empty if there is none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


class _Version(NamedTuple):
    """The size of a file, and the tag of its version. Without `tag`, clients must not cache it."""

    size: int
    identity: tuple[int, int]
    tag: str
    modified: float


def _read(path: Path, root: Path, offset: int, count: int) -> tuple[_Version, bytes]:
    """Return the state of a file, and a part of it. MovedFileError if a mirror has moved it, and it cannot be read."""
    try:
        fd = open_regular(path, root=root if root.is_dir() else None)
    except FileNotFoundError:
        with locate(root, path.relative_to(root).as_posix()).open_range() as (file, (start, size)):
            file.seek(start + offset)
            return _Version(size, (-1, -1), "", 0), file.read(count) if count else b""
    try:
        stat = os.fstat(fd)
        tag = f'"{stat.st_ino:x}-{stat.st_size:x}-{stat.st_mtime_ns:x}"'
        version = _Version(stat.st_size, (stat.st_dev, stat.st_ino), tag, stat.st_mtime)
        return version, read_fully(fd, count, offset) if count else b""
    finally:
        os.close(fd)
