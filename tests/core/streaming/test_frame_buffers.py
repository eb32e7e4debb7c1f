"""Frame buffers that use all memory of a stream."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ome_writers as ow
from ome_writers import AcquisitionSettings, create_stream, dims_from_standard_axes

FRAMES = [np.full((8, 6), value, "uint16") for value in range(6)]


def settings(path: Path, frames: int, buffered_frames: int) -> AcquisitionSettings:
    return AcquisitionSettings(
        root_path=path / "x.ome.zarr",
        dimensions=dims_from_standard_axes({"t": frames, "y": 8, "x": 6}),
        dtype="uint16",
        buffer_bytes=buffered_frames * FRAMES[0].nbytes,
    )


@pytest.mark.parametrize("chunk", [1, 2])
def test_more_frame_buffers_than_memory_raise(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that holds all of buffer_bytes and requests another frame buffer gets an error, not a deadlock.

    `append` still works, and each block can be left.
    """
    monkeypatch.setattr("ome_writers.storage.memory_budget._DEADLOCK_TIMEOUT_S", 0.5)
    wanted = settings(tmp_path, 6, buffered_frames=4)
    wanted.dimensions[0].chunk_size = chunk
    with create_stream(wanted) as stream, contextlib.ExitStack() as held:
        stream.append(FRAMES[0])
        for i in (4, 3, 2, 1):
            held.enter_context(stream.frame_buffer(index={"t": i}))[...] = FRAMES[i]
        with (
            pytest.raises(
                ow.FrameBufferError, match=r"4 frame buffers are held .*buffer_bytes=384"
            ),
            stream.frame_buffer(index={"t": 5}),
        ):
            pass
        stream.append(FRAMES[5], index={"t": 5})
    assert np.array_equal(ow.open(wanted.output_path), FRAMES)


def test_frame_buffer_waits_for_another_thread(tmp_path: Path) -> None:
    filled: queue.Queue[Any] = queue.Queue()

    def fill() -> None:
        for i in range(4):
            lent, buffer = filled.get()
            time.sleep(0.1)
            buffer[...] = FRAMES[i]
            lent.__exit__(None, None, None)

    filler = threading.Thread(target=fill)
    wanted = settings(tmp_path, 4, buffered_frames=2)
    with create_stream(wanted) as stream:
        filler.start()
        for _ in range(4):
            lent = stream.frame_buffer()
            filled.put((lent, lent.__enter__()))
        filler.join()
    assert np.array_equal(ow.open(wanted.output_path), FRAMES[:4])
