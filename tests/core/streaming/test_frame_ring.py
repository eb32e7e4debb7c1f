"""The memory that a program shares with the writer's process."""

from __future__ import annotations

import mmap
import time

import numpy as np

from ome_writers.streaming.writer_process.frame_ring import RingWriter, ring_bytes


def ring(frames: int, frame_bytes: int) -> RingWriter:
    """Return a ring for so many frames, without a writer."""
    size, record_area = ring_bytes(frames * frame_bytes, frame_bytes)
    return RingWriter(mmap.mmap(-1, size), record_area, frames * frame_bytes, lambda: None)


def seconds(frames: int, frame_bytes: int) -> tuple[float, float]:
    """Fill a ring of so many frames; return how long the first and the second half take."""
    writer, times = ring(frames, frame_bytes), []
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


def test_lent_memory_does_not_delay() -> None:
    writer, began = ring(64, 2**22), time.perf_counter()
    lent = [writer.lend((2048, 1024), np.dtype("uint16")) for _ in range(60)]
    assert time.perf_counter() - began < sum(2**22 / 5e8 * n / 32 for n in range(28)) / 2
    assert writer.used_bytes == writer.lent_bytes == sum(frame.nbytes for frame in lent)
