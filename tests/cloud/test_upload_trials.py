"""After kills of server or writer, 503s and delays, each object equals its file; nothing else is left in the store.

`FAULT_ROUNDS` is the number of rounds (``tox -e cloud``: 50), `FAULT_SEED` makes them repeatable.
"""

from __future__ import annotations

import logging
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import ome_writers
from ome_writers import UploadError, mirror
from ome_writers.repair import repair

if TYPE_CHECKING:
    from cloud.object_servers import SeaweedFS

WRITER = Path(__file__).with_name("writer.py")
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.randrange(2**32)

pytestmark = pytest.mark.timeout(120 + 90 * ROUNDS)


def files(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def start_writer(path: Path, url: str, frames: int, seconds: float) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, WRITER, path, url, str(frames), str(seconds)]
    log = path.with_name("log").open("ab")
    with log:
        return subprocess.Popen(list(map(str, arguments)), stdout=log, stderr=log)


def assert_copied(server: SeaweedFS, path: Path, prefix: str) -> None:
    from cloud.object_servers import KEY_ID, SECRET

    local = files(path)
    assert server.objects(prefix) == local
    assert server.multipart_uploads() == []
    written = [*local.values(), *(p.read_bytes() for p in path.parent.iterdir() if p.is_file())]
    for content in written:
        assert KEY_ID.encode() not in content
        assert SECRET.encode() not in content


def upload(path: Path, url: str) -> None:
    """Send what is missing, as a user does after `UploadError`."""
    for _ in range(5):
        with suppress(UploadError):
            mirror(path, url)
            return
    mirror(path, url)


def test_server_is_killed(server: SeaweedFS, tmp_path: Path) -> None:
    generator = random.Random(SEED)
    resumed = 0
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, prefix = folder / "a.ome.zarr", f"server-{SEED}-{number}"
        process = start_writer(path, f"s3://bucket/{prefix}", 120, 0.02)
        time.sleep(generator.uniform(0.5, 6))
        server.kill()
        time.sleep(generator.uniform(0, 3))
        server.start()
        resumed += process.wait(300) != 0
        assert ome_writers.read(path).frames_written == 120
        upload(path, f"s3://bucket/{prefix}")
        assert_copied(server, path, prefix)
    print(f"\nseed {SEED}: {ROUNDS} kills of the server, {resumed} uploads resumed by command")


def test_writer_is_killed(server: SeaweedFS, tmp_path: Path) -> None:
    generator = random.Random(SEED)
    sent = 0
    for number in range(ROUNDS):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, prefix = folder / "a.ome.zarr", f"writer-{SEED}-{number}"
        process = start_writer(path, f"s3://bucket/{prefix}", 2000, 0.01)
        while "\n" not in (folder / "log").read_text():
            time.sleep(0.02)
        time.sleep(generator.uniform(0, 6))
        process.kill()
        process.wait()
        before = server.objects(prefix)
        sent += bool(before)
        if "zarr.json" in before:  # what a reader of the store sees now
            remote = folder / "remote"
            for key, content in before.items():
                (remote / key).parent.mkdir(parents=True, exist_ok=True)
                (remote / key).write_bytes(content)
            written = ome_writers.read(remote).frames_written or 0
            frames = ome_writers.open(remote)
            assert all(frames[t].any() for t in range(written))
        repair(path)
        upload(path, f"s3://bucket/{prefix}")
        assert_copied(server, path, prefix)
    print(f"\nseed {SEED}: {ROUNDS} kills of the writer, {sent} of them with objects in the store")


def test_requests_fail_and_are_delayed(
    server: SeaweedFS,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from cloud.object_servers import FaultyProxy
    from cloud.writer import write

    caplog.set_level(logging.DEBUG, "ome_writers")
    proxy = FaultyProxy(server.endpoint, failures=0.2, delays=0.2, delay_s=2.0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
    for number in range(max(1, ROUNDS // 10)):
        folder = tmp_path / str(number)
        folder.mkdir()
        path, prefix = folder / "a.ome.zarr", f"proxy-{SEED}-{number}"
        write(str(path), f"s3://bucket/{prefix}", 100, 0.02)
        (folder / "log").write_text(caplog.text)
        assert_copied(server, path, prefix)
    proxy.close()
    assert proxy.failed
    assert proxy.delayed
    print(f"\nseed {SEED}: {proxy.failed} requests failed, {proxy.delayed} delayed by 2 s")
