"""The functions that a frame passes from `append` to the system call; docs/explanation/architecture.md lists them."""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import AcquisitionSettings, Dimension, create_stream
from support.waiting import wait_until

if TYPE_CHECKING:
    from types import FrameType

_SOURCE = str(Path(ome_writers.__file__).parent)
_DOCUMENTATION = Path(__file__).parents[3] / "docs" / "explanation" / "architecture.md"
_LAST_CALLS = {"submit", "write_at", "write_single"}  # before the queue, and before the system call
_UNSAMPLED = 9  # a frame whose intensity range is not sampled

WHOLE = {"chunk_size": 1}
SHARDS = {"chunk_size": 1, "shard_size_chunks": 20}
PATHS = {
    "direct, shards": (".ome.zarr", 2048, SHARDS),
    "direct, files": (".ome.zarr", 2048, WHOLE),
    "direct, shards, small frames": (".ome.zarr", 128, SHARDS),
    "direct, files, small frames": (".ome.zarr", 128, WHOLE),
    "TIFF": (".ome.tiff", 2048, {}),
}


def functions_passed(path: Path, size: int, chunks: dict[str, int]) -> list[str]:
    """Return the functions that get the frame as an argument, hand it over to the queue, or write it."""
    dimensions = [
        Dimension(name="t", count=20, type="time", **chunks),
        Dimension(name="y", count=size, type="space"),
        Dimension(name="x", count=size, type="space"),
    ]
    settings = AcquisitionSettings(
        root_path=path, dimensions=dimensions, dtype="uint16", flush_interval=3600
    )
    frame = np.ones((size, size), "uint16")
    passed: dict[str, None] = {}
    enabled = False

    def profile(called: FrameType, event: str, _argument: Any) -> None:
        if not enabled or event != "call" or not called.f_code.co_filename.startswith(_SOURCE):
            return
        if any(value is frame for value in called.f_locals.values()):
            passed[_name(called)] = None
        if called.f_code.co_name in _LAST_CALLS:
            stack, outer = [], called
            while outer is not None:
                if outer.f_code.co_filename.startswith(_SOURCE):
                    stack.append(_name(outer))
                outer = outer.f_back  # type: ignore[assignment]  # None ends the loop
            passed.update(dict.fromkeys(reversed(stack)))

    threading.setprofile(profile)  # for the threads of the stream
    try:
        with create_stream(settings) as stream:
            threading.setprofile(None)
            for number in range(_UNSAMPLED + 1):
                enabled = number == _UNSAMPLED
                sys.setprofile(profile if enabled else None)
                stream.append(frame)
                sys.setprofile(None)
                wait_until(lambda n=number: stream.stats().frames_written > n, 0.001)
            enabled = False
    finally:
        threading.setprofile(None)
        sys.setprofile(None)
    # on Windows, what is a system call elsewhere is a function of this module
    return [name for name in passed if not name.startswith("windows_api:")]


def _name(called: FrameType) -> str:
    module = Path(called.f_code.co_filename).relative_to(_SOURCE).with_suffix("").as_posix()
    return f"{module}:{called.f_code.co_name}"


@pytest.mark.thread_writer  # counts the functions of one process
@pytest.mark.parametrize(
    ("case", "limit"),
    [
        ("direct, shards", 13),
        ("direct, files", 13),
        ("direct, shards, small frames", 8),
        ("direct, files, small frames", 8),
        ("TIFF", 13),
    ],
)
def test_number_of_functions_a_frame_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str, limit: int
) -> None:
    # after a slow write, frames take the path of a slow disk for a while
    monkeypatch.setattr("ome_writers.storage.direct.write_through.perf_counter", lambda: 0.0)
    suffix, size, chunks = PATHS[case]
    passed = functions_passed(tmp_path / f"a{suffix}", size, chunks)
    assert len(passed) <= limit, "\n".join(passed)
    assert f"| {case} | {len(passed)} |" in _DOCUMENTATION.read_text(encoding="utf-8")
