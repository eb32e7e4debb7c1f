"""The web server of `ome-writers serve`: what it sends, and what it refuses."""

from __future__ import annotations

import http.client
import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers as ow
from ome_writers_tools.serving import DatasetServer
from support.links import create_link
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = b"secret"
SIZE = 64


def write(path: Path, frames: int = 4, *, close: bool = True) -> ow.OMEStream:
    dimensions = ow.dims_from_standard_axes({"t": 4, "y": SIZE, "x": SIZE})
    stream = ow.create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", flush_interval=0.02
    )
    for number in range(frames):
        stream.append(np.full((SIZE, SIZE), number + 1, np.uint16))
    if close:
        stream.close()
    return stream


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DatasetServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "secret.txt").write_bytes(SECRET)
    write(folder / "run.ome.zarr")
    with DatasetServer(folder / "run.ome.zarr") as server:
        yield server


def get(
    server: DatasetServer, target: str, method: str = "GET", **headers: str
) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(server.url.rpartition(":")[2]), timeout=300
    )
    connection.request(method, target, headers={k.replace("_", "-"): v for k, v in headers.items()})
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response, content


def raw(server: DatasetServer, request: bytes) -> bytes:
    """Send bytes as they are; return the answer."""
    with socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 20) as client:
        client.sendall(request)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while part := client.recv(65536):
            answer += part
        return answer


CHUNK = "/run.ome.zarr/0/c/1/0/0"


def test_ranges(server: DatasetServer) -> None:
    """As readers of shards and TIFF files ask for them: from, to, and the last bytes."""
    whole = get(server, CHUNK)[1]
    assert whole == np.full(SIZE * SIZE, 2, "<u2").tobytes()
    nbytes = len(whole)
    for wanted, part in (
        ("bytes=0-9", slice(0, 10)),
        ("bytes=100-", slice(100, None)),
        ("bytes=-16", slice(-16, None)),
        ("bytes=-99999999", slice(None)),
        (f"bytes=8000-{10**12}", slice(8000, None)),
    ):
        response, content = get(server, CHUNK, Range=wanted)
        start, stop, _ = part.indices(nbytes)
        assert (response.status, content) == (206, whole[part])
        assert response.headers["Content-Range"] == f"bytes {start}-{stop - 1}/{nbytes}"
    for wanted in (f"bytes={nbytes}-", "bytes=-0", "bytes=9-3"):
        response, _ = get(server, CHUNK, Range=wanted)
        assert (response.status, response.headers["Content-Range"]) == (416, f"bytes */{nbytes}")
    for wanted in ("bytes=0-1,4-5", "lines=1-2", "bytes=a-b", "bytes=-", "bytes=1-" + "9" * 30):
        assert get(server, CHUNK, Range=wanted)[0].status == 200
    head, nothing = get(server, CHUNK, "HEAD", Range="bytes=0-9")
    assert (head.status, head.headers["Content-Length"], nothing) == (206, "10", b"")


def test_closed_dataset_can_be_cached(server: DatasetServer) -> None:
    response, _ = get(server, CHUNK)
    tag = response.headers["ETag"]
    assert response.headers["Cache-Control"] == "no-cache"
    response, content = get(server, CHUNK, If_None_Match=tag)
    assert (response.status, content) == (304, b"")
    assert get(server, CHUNK, If_None_Match='"other"')[0].status == 200
    assert get(server, CHUNK, If_Range=tag, Range="bytes=0-1")[0].status == 206
    assert get(server, CHUNK, If_Range='"other"', Range="bytes=0-1")[0].status == 200


def test_growing_dataset_is_not_cached_and_shows_its_progress(tmp_path: Path) -> None:
    stream = write(tmp_path / "run.ome.zarr", 2, close=False)
    stream.flush()
    with DatasetServer(tmp_path / "run.ome.zarr") as server:
        response, _ = get(server, CHUNK)
        assert response.headers["Cache-Control"] == "no-store"
        assert response.headers["ETag"] is None
        assert get(server, "/run.ome.zarr/0/c/2/0/0")[0].status == 404
        assert get(server, "/run.ome.zarr/.ome-writers.lock")[0].status == 404
        assert b"2 of 4" in get(server, "/")[1]
        assert b'http-equiv="refresh"' in get(server, "/")[1]
        stream.append(np.full((SIZE, SIZE), 3, np.uint16))
        stream.flush()
        assert get(server, "/run.ome.zarr/0/c/2/0/0")[0].status == 200
        stream.close()
        assert b'http-equiv="refresh"' not in get(server, "/")[1]


def test_ome_tiff(tmp_path: Path) -> None:
    """A single file; those beside it are not served."""
    write(tmp_path / "run.ome.tiff")
    write(tmp_path / "other.ome.tiff")
    with DatasetServer(tmp_path / "run.ome.tiff") as server:
        content = get(server, "/run.ome.tiff")[1]
        assert content == (tmp_path / "run.ome.tiff").read_bytes()
        assert b"avivator" in get(server, "/")[1]
        for target in ("/other.ome.tiff", "/run.ome.tiff/x", "/run.ome.tiff/../other.ome.tiff"):
            assert get(server, target)[0].status == 404


OUTSIDE = [
    "/secret.txt",
    "/run.ome.zarr/../secret.txt",
    "/run.ome.zarr/%2e%2e/secret.txt",
    "/run.ome.zarr/..%2fsecret.txt",
    "/run.ome.zarr/%2e%2e%2fsecret.txt",
    "/run.ome.zarr/%252e%252e/secret.txt",
    "/run.ome.zarr/..%5csecret.txt",
    "/run.ome.zarr/..\\secret.txt",
    "/run.ome.zarr/0/../../secret.txt",
    "/../secret.txt",
    "/%2e%2e/served/secret.txt",
    "//secret.txt",
    "/run.ome.zarr//etc/passwd",
    "/run.ome.zarr/%2fetc/passwd",
    "/run.ome.zarr/%00",
    "/run.ome.zarr/zarr.json%00.txt",
    "/run.ome.zarr/zarr.json%0a",
    "/run.ome.zarr/%c0%ae%c0%ae/secret.txt",
    "/run.ome.zarr/%ff%fe",
    "/run.ome.zarr/C:/Windows/win.ini",
    "/run.ome.zarr/C:%5cWindows%5cwin.ini",
    "/run.ome.zarr/%5c%5cserver%5cshare",
    "/run.ome.zarr/zarr.json::$DATA",
    "/run.ome.zarr/zarr.json:stream",
    "/run.ome.zarr/.hidden",
    "/run.ome.zarr/.git/config",
    "/run.ome.zarr/link.txt",
    "/run.ome.zarr/folder/secret.txt",
    "/run.ome.zarr/fifo",
    "/run.ome.zarr",
    "/run.ome.zarr/",
    "/run.ome.zarr/0",
    "/run.ome.zarr/" + "a" * 5000,
    "/run.ome.zarr/" + "a/" * 2000,
    "/RUN.ome.zarr/zarr.json",
    "file:///etc/passwd",
    "http://example.org/run.ome.zarr/zarr.json",
    "*",
]


def test_nothing_outside_of_the_dataset(server: DatasetServer) -> None:
    """Encoded paths, drive letters, streams of Windows, links, hidden and special files, folders."""
    (server.root / ".hidden").write_bytes(SECRET)
    if hasattr(os, "mkfifo"):
        os.mkfifo(server.root / "fifo")
    create_link(server.root / "link.txt", server.root.parent / "secret.txt", unchecked="links")
    create_link(server.root / "folder", server.root.parent, unchecked="links")
    for target in OUTSIDE:
        answer = raw(
            server,
            f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode(),
        )
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 400")), (target, answer[:200])
        assert SECRET not in answer
        assert str(server.root.parent).encode() not in answer
    assert get(server, "/run.ome.zarr/zarr.json")[0].status == 200


def test_requests_that_are_not_http(server: DatasetServer) -> None:
    for request in (
        b"",
        b"\x00" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        b"GET /" + b"a" * 70000,
        b"GET / HTTP/1.1\r\nHost: " + b"a" * 70000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
        b"PUT /run.ome.zarr/zarr.json HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
        b"DELETE /run.ome.zarr/zarr.json HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\nGET /",
    ):
        answer = raw(server, request)
        assert (
            not answer.startswith(b"HTTP/1.1 200")
            or b"GET / HTTP/1.1\r\nHost: localhost" in request
        )
    assert get(server, "/run.ome.zarr/zarr.json")[0].status == 200


def test_other_sites_and_host_names_are_refused(server: DatasetServer) -> None:
    """A web page that the user visits must not read the dataset, also if its name refers to this computer."""
    allowed = "Access-Control-Allow-Origin"
    for origin, may_read in (
        ("https://hms-dbmi.github.io", True),
        ("http://localhost:3000", True),
        ("https://example.org", False),
        ("https://hms-dbmi.github.io.example.org", False),
        ("null", False),
    ):
        response, _ = get(server, CHUNK, Origin=origin)
        assert response.headers[allowed] == (origin if may_read else None)
        response, _ = get(server, CHUNK, "OPTIONS", Origin=origin)
        assert (response.status, response.headers[allowed]) == (204, origin if may_read else None)
    for host in ("example.org", "example.org:80", "localhost.example.org", "[", "a b"):
        assert get(server, CHUNK, Host=host)[0].status == 421
    with DatasetServer(server.root, allow_origins=["https://example.org"]) as other:
        assert get(other, CHUNK, Origin="https://example.org")[0].headers[allowed]


def test_many_and_slow_clients_are_limited(
    server: DatasetServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that exceed the limit are refused at once; the others are answered after the slow ones have gone."""
    monkeypatch.setattr("ome_writers_tools.serving.dataset_server._FileRequest.timeout", 600)
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    threads = threading.active_count()
    slow = [socket.create_connection(address, 20) for _ in range(100)]
    try:
        for client in slow:
            client.sendall(b"GET /run.ome.zarr/zarr.json HTTP/1.1\r\nHo")
        time.sleep(0.3)
        assert threading.active_count() <= threads + 64
        with pytest.raises((AssertionError, OSError)):
            assert get(server, CHUNK)[0].status == 200
    finally:
        for client in slow:
            client.close()

    def answers() -> bool:
        try:
            return get(server, CHUNK)[0].status == 200
        except OSError:
            return False

    wait_until(answers)


def open_files() -> set[str]:
    """Return the files that this process has open; empty where the system does not list them."""
    found: set[str] = set()
    for fd in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        with suppress(OSError):  # closed since
            found.add(os.readlink(f"/proc/self/fd/{fd}"))
    return found


def test_slow_client_keeps_no_file_open(tmp_path: Path) -> None:
    """Otherwise Windows could not replace the file, and shards could not be truncated."""
    stream = write(tmp_path / "run.ome.zarr", 1, close=False)
    large = tmp_path / "run.ome.zarr" / "large"
    large.write_bytes(bytes(2**25))
    with DatasetServer(tmp_path / "run.ome.zarr") as server:
        client = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])), 20)
        client.sendall(b"GET /run.ome.zarr/large HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.recv(10)
        time.sleep(0.2)
        wait_until(lambda: str(large) not in open_files())
        large.unlink()
        for number in range(3):
            stream.append(np.full((SIZE, SIZE), number, np.uint16))
        stream.close()
        client.close()
