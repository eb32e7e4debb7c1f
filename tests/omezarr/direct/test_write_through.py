"""Write-through of small frames, and back-off after slow writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ome_writers import AcquisitionSettings, Dimension, create_stream
from ome_writers.storage.direct.write_through import WriteThrough


def test_slow_writes_double_the_backoff(monkeypatch: Any) -> None:
    now = 100.0
    monkeypatch.setattr("ome_writers.storage.direct.write_through.perf_counter", lambda: now)
    write_through = WriteThrough()
    write_through.record_latency(0.001, 1000)
    assert write_through.retry_at <= now
    write_through.record_latency(0.05, 1000)
    assert write_through.retry_at == pytest.approx(now + 0.1)
    now += 0.1
    write_through.record_latency(0.05, 1000)
    assert write_through.retry_at == pytest.approx(now + 0.2)
    now += 100
    write_through.record_latency(0.05, 1000)
    assert write_through.retry_at == pytest.approx(now + 0.1), "the disk was quick for long"


def test_large_write_is_not_slow() -> None:
    """The expected time of the bytes does not count."""
    write_through = WriteThrough()
    write_through.record_latency(0.05, 100_000_000)
    assert write_through.retry_at < 0


def test_small_frames_are_on_disk_when_append_returns(tmp_path: Path) -> None:
    """The caller may reuse the array."""
    dimensions = [
        Dimension(name="t", count=3, type="time", chunk_size=1),
        Dimension(name="y", count=8, type="space"),
        Dimension(name="x", count=8, type="space"),
    ]
    settings = AcquisitionSettings(
        root_path=tmp_path / "x.ome.zarr", dimensions=dimensions, dtype="uint16", compression="none"
    )
    frame = np.full((8, 8), 7, "uint16")
    with create_stream(settings) as stream:
        stream.append(frame)
        stored = (tmp_path / "x.ome.zarr/0/c/0/0/0").read_bytes()
        frame[...] = 0
    assert stored == np.full((8, 8), 7, "<u2").tobytes()
