"""An object store that speaks as much S3 as a mirror needs, and may lose or change what it is sent."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class LyingStore:
    """Objects in memory, by path. `lie` applies to chunk files and shards from then on.

    ``"keeps nothing"``: answers 200 with the right checksum. ``"flips a bit"``: of what it stores, whose checksum it
    states. ``"flips a bit, states the old checksum"``: then only reading the object back shows it.
    """

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, str]] = {}  # content and ETag
        self.lie: str | None = None
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, path: str, content: bytes) -> str:
        etag = hashlib.md5(content).hexdigest()
        is_chunk = "/c/" in path
        if is_chunk and self.lie == "keeps nothing":
            return etag
        if is_chunk and self.lie is not None:
            content = bytes([content[0] ^ 1]) + content[1:]
            if "old checksum" not in self.lie:
                etag = hashlib.md5(content).hexdigest()
        self.objects[path] = content, etag
        return etag

    def _handler(store) -> type[BaseHTTPRequestHandler]:  # noqa: N805 # the handler has a `self`
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # one packet per answer

            def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
                self.send_response(status)
                length = headers.pop("length", str(len(body)))
                for name, value in {"Content-Length": length, **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def do_PUT(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                path = unquote(urlsplit(self.path).path)
                if self.headers.get("If-None-Match") == "*" and path in store.objects:
                    self._answer(412)
                else:
                    self._answer(200, ETag=f'"{store.put(path, content)}"')

            def do_DELETE(self) -> None:
                store.objects.pop(unquote(urlsplit(self.path).path), None)
                self._answer(204)

            def do_GET(self) -> None:
                url = urlsplit(self.path)
                if "list-type" in url.query:
                    self._answer(200, store.listing(url.path, url.query))
                elif (found := store.objects.get(unquote(url.path))) is None:
                    self._answer(404)
                else:
                    content, etag = found
                    headers = {
                        "ETag": f'"{etag}"',
                        "Last_Modified": "Tue, 01 Jan 2030 00:00:00 GMT",
                    }
                    first, _, last = (
                        self.headers.get("Range", "").removeprefix("bytes=").partition("-")
                    )
                    if first:
                        part = content[int(first) : int(last) + 1 if last else None]
                        end = int(first) + len(part) - 1
                        headers["Content_Range"] = f"bytes {first}-{end}/{len(content)}"
                        self._answer(206, part, **headers)
                    else:
                        self._answer(200, content, length=str(len(content)), **headers)

            do_HEAD = do_GET  # noqa: N815

            def log_message(self, *_: Any) -> None:
                pass

        return Handler

    def listing(self, path: str, query: str) -> bytes:
        """Return the objects of a bucket below a prefix, as ListObjectsV2."""
        bucket = "/" + path.strip("/") + "/"
        prefix = parse_qs(query).get("prefix", [""])[0]
        rows = "".join(
            f"<Contents><Key>{escape(key.removeprefix(bucket))}</Key><Size>{len(content)}</Size>"
            f"<LastModified>2030-01-01T00:00:00.000Z</LastModified><ETag>&quot;{etag}&quot;</ETag></Contents>"
            for key, (content, etag) in sorted(self.objects.items())
            if key.startswith(bucket + prefix)
        )
        return (
            f'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated>{rows}'
            "</ListBucketResult>"
        ).encode()
