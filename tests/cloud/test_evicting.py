"""`Mirror(evict=True)` to an object store whose server is killed, to which two streams write.

`FAULT_ROUNDS` is the number of kills in one recording (``tox -e cloud``: 50), `FAULT_SEED` makes them repeatable.
"""

from __future__ import annotations

import os
import random
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest

import ome_writers
from ome_writers import Dimension, Mirror, OMEStream, UploadError, create_stream, mirror

if TYPE_CHECKING:
    from pathlib import Path

    from cloud.object_servers import SeaweedFS

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "1"))
SEED = int(os.environ.get("FAULT_SEED", "0")) or random.randrange(2**32)
FRAMES = np.random.default_rng(0).integers(1, 4096, (40 * ROUNDS + 20, 64, 64), "uint16")

pytestmark = pytest.mark.timeout(120 + 90 * ROUNDS)


def recording(path: Path, target: Mirror | None) -> OMEStream:
    dimensions = [
        Dimension(name="t", count=len(FRAMES), type="time", chunk_size=1, shard_size_chunks=4),
        Dimension(name="y", count=64),
        Dimension(name="x", count=64),
    ]
    return create_stream(
        root_path=path, dimensions=dimensions, dtype="uint16", flush_interval=0.1, mirror=target
    )


def local_chunks(path: Path) -> set[str]:
    return {p.relative_to(path).as_posix() for p in (path / "0").rglob("c/*/*/*") if p.is_file()}


def test_server_is_killed_while_files_are_removed(server: SeaweedFS, tmp_path: Path) -> None:
    """At any moment each frame can be read; at the end the store equals a recording without a mirror."""
    generator, prefix = random.Random(SEED), f"evict-{SEED}"
    path, url, moved = tmp_path / "a.ome.zarr", f"s3://bucket/evict-{SEED}", 0
    stream = recording(path, Mirror(url, evict=True))
    for number in range(ROUNDS):
        kill_at = generator.randrange(40)
        for t in range(40 * number, 40 * number + 40):
            stream.append(FRAMES[t])
            time.sleep(0.02)
            if t % 40 == kill_at:
                server.kill()
        stream.flush()
        time.sleep(generator.uniform(0, 2))
        server.start()
        frames = 40 * (number + 1)
        assert (np.asarray(ome_writers.open(path)[:frames]) == FRAMES[:frames]).all()
        moved = stream.stats().bytes_evicted
    for frame in FRAMES[40 * ROUNDS :]:
        stream.append(frame)
    try:
        stream.close()
    except UploadError:
        mirror(path, url)
    with recording(tmp_path / "b.ome.zarr", None) as alone:
        for frame in FRAMES:
            alone.append(frame)
    found = {key for key in server.objects(prefix) if key.startswith("0/c/")}
    assert found == local_chunks(tmp_path / "b.ome.zarr")
    for copy in (path, url):
        assert (np.asarray(ome_writers.open(copy)) == FRAMES).all()
    print(
        f"\nseed {SEED}: {ROUNDS} kills of the server, {moved} bytes moved before the last frames"
    )


def test_second_stream_to_one_url_moves_nothing(server: SeaweedFS, tmp_path: Path) -> None:
    target = Mirror(f"s3://bucket/two-{SEED}", evict=True)
    first = recording(tmp_path / "a.ome.zarr", target)
    for frame in FRAMES[:12]:
        first.append(frame)
    deadline = time.monotonic() + 60
    while not first.stats().bytes_evicted:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    second = recording(tmp_path / "b.ome.zarr", target)
    for frame in FRAMES:
        second.append(frame)
    with pytest.raises(UploadError, match="copy of another dataset"):
        second.close()
    for frame in FRAMES[12:]:
        first.append(frame)
    first.close()
    assert len(local_chunks(tmp_path / "b.ome.zarr")) == -(-len(FRAMES) // 4)
    for path in tmp_path.glob("*.ome.zarr"):
        assert (np.asarray(ome_writers.open(path)) == FRAMES).all()
    with suppress(FileNotFoundError):
        assert not (tmp_path / "b.ome.zarr" / ".ome-writers.moved.jsonl").read_bytes()
