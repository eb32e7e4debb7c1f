"""The memory that a program shares with the writer's process."""

from __future__ import annotations

import mmap
import time

from ome_writers.streaming.writer_process.frame_ring import RingWriter, ring_bytes


def seconds(frames: int, frame_bytes: int) -> tuple[float, float]:
    """Fill a ring without a writer, of so many frames; return how long the first and the second half take."""
    size, record_area = ring_bytes(frames * frame_bytes, frame_bytes)
    writer = RingWriter(mmap.mmap(-1, size), record_area, frames * frame_bytes, lambda: None)
    times = []
    for half in (frames // 2, frames - frames // 2):
        began = time.perf_counter()
        for _ in range(half):
            writer.allocate(frame_bytes)
        times.append(time.perf_counter() - began)
    return times[0], times[1]


def test_frames_are_delayed_while_the_memory_becomes_full() -> None:
    """From half of it on, by up to the time that a frame takes at 500 MB/s."""
    first, second = seconds(64, 2**22)
    delays_s = sum(2**22 / 5e8 * n / 32 for n in range(32))
    assert first < delays_s / 2
    assert second > delays_s - 0.001


def test_few_large_frames_are_not_delayed() -> None:
    assert sum(seconds(15, 2**24)) < sum(2**24 / 5e8 * n / 8 for n in range(8)) / 2
