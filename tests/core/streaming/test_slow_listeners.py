"""Events with listeners that are slower than the acquisition."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from ome_writers import (
    AcquisitionSettings,
    CoordUpdate,
    Dimension,
    OMEStream,
    create_stream,
    dims_from_standard_axes,
)
from ome_writers.streaming import events
from support.waiting import WAIT_S, wait_until

FRAME = np.ones((4, 5), np.uint16)


def open_stream(path: Path, **sizes: int | None) -> OMEStream:
    """Create a stream of a few large shards; `sizes` are its axes before y and x."""
    settings = AcquisitionSettings(
        root_path=path / "x.ome.zarr",
        dimensions=[
            *(Dimension(name=n, count=c, shard_size_chunks=c or 1000) for n, c in sizes.items()),
            *dims_from_standard_axes({"y": 4, "x": 5}),
        ],
        dtype="uint16",
    )
    return create_stream(settings)


def test_slow_listener_receives_latest_frame(tmp_path: Path) -> None:
    """Frames are omitted, but order and extents are correct, and the latest frame is reported."""
    updates: list[CoordUpdate] = []
    grown = []
    go_on = threading.Event()

    def look(update: CoordUpdate) -> None:
        updates.append(update)
        go_on.wait(WAIT_S)

    total = 3 * events.QUEUE_FRAMES
    with open_stream(tmp_path, t=None, c=2) as stream:
        stream.on("coords_changed", look)
        stream.on("coords_expanded", grown.append)
        for _ in range(total):
            stream.append(FRAME)
        go_on.set()
    numbers = [u.frame_number for u in updates]
    assert numbers == sorted(set(numbers))
    assert len(numbers) < events.QUEUE_FRAMES + 10
    assert numbers[-1] == total - 1
    assert updates[-1].max_coords["t"] == range(total // 2)
    assert grown[-1].max_coords["t"] == range(total // 2)


def test_extents_of_omitted_frames_are_in_next_update(tmp_path: Path) -> None:
    updates: list[CoordUpdate] = []
    go_on = threading.Event()

    def look(update: CoordUpdate) -> None:
        updates.append(update)
        go_on.wait(WAIT_S)

    with open_stream(tmp_path, t=events.QUEUE_FRAMES, c=7) as stream:
        stream.on("coords_changed", look)
        stream.append(FRAME)
        stream.append(FRAME, index={"t": 0, "c": 6})
        wait_until(lambda: updates)  # the callback blocks its thread: later frames are queued
        for t in range(1, events.QUEUE_FRAMES):
            stream.append(FRAME, index={"t": t, "c": 0})
            stream.append(FRAME, index={"t": t, "c": 1})
        go_on.set()
    assert updates[-1].current_indices["c"] == 1
    assert updates[-1].max_coords["c"] == range(7)


def test_close_returns_although_callback_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "CLOSE_TIMEOUT_S", 0.2)
    go_on, returned = threading.Event(), threading.Event()
    with open_stream(tmp_path, t=9) as stream:
        stream.on("coords_changed", lambda _: (go_on.wait(), returned.set()))
        for _ in range(9):
            stream.append(FRAME)
    assert not returned.is_set()
    go_on.set()
