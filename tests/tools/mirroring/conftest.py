"""A server that speaks S3, in this process."""

from __future__ import annotations

import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """Return the URL of a server with an empty bucket named ``bucket``."""
    moto = pytest.importorskip("moto.server", reason="moto is not installed")
    from werkzeug.serving import make_server

    # `ThreadedMotoServer` lists moto's folders for each request (0.5 s under Wine), and returns 0.0.0.0 as its
    # address, to which Windows does not connect.
    app = moto.create_backend_app("s3")
    server = make_server(
        "127.0.0.1", 0, app, threaded=True, request_handler=moto.MotoRequestHandler
    )
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.port}"
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/bucket", method="PUT")).close()
    yield endpoint
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def s3_options(s3_endpoint: str) -> dict[str, Any]:
    """Return the storage options of the server."""
    return {
        "endpoint": s3_endpoint,
        "access_key_id": "AKIATEST",
        "secret_access_key": "geheim-123",
        "region": "us-east-1",
        "client_options": {"allow_http": True},
    }


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Set the environment for the server, and return the URL of its bucket."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim-123")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return "s3://bucket"
