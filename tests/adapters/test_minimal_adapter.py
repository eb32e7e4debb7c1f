"""An adapter for a framework that calls back with frames takes 30 lines and public names only."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import ome_writers
from ome_writers import Dimension, create_stream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Microscope:
    """A framework with callbacks: ``started(axes, frame)``, ``frame(pixels, tags)``, ``stopped(error)``."""

    def __init__(self) -> None:
        self.listeners: dict[str, list[Callable[..., None]]] = {}

    def on(self, event: str, listener: Callable[..., None]) -> None:
        self.listeners.setdefault(event, []).append(listener)

    def emit(self, event: str, *args: Any) -> None:
        for listener in self.listeners[event]:
            listener(*args)

    def acquire(self, axes: Mapping[str, int], fail_after: int | None = None) -> None:
        error, buffer = None, np.empty((16, 24), "uint16")
        self.emit("started", axes, buffer)
        for number, index in enumerate(np.ndindex(*axes.values())):
            if number == fail_after:
                error = RuntimeError("the shutter is stuck")
                break
            buffer[...] = number
            tags = {"axes": dict(zip(axes, index, strict=True)), "ElapsedTime-ms": 5 * number}
            self.emit("frame", buffer, tags)
        self.emit("stopped", error)


class Adapter:
    """Writes what a microscope acquires."""

    def __init__(self, microscope: Microscope, path: Path) -> None:
        self.path = path
        for event in ("started", "frame", "stopped"):
            microscope.on(event, getattr(self, event))

    def started(self, axes: Mapping[str, int], frame: np.ndarray) -> None:
        dims = [Dimension(name=name, count=n) for name, n in {**axes, "y": 16, "x": 24}.items()]
        self.stream = create_stream(root_path=self.path, dimensions=dims, dtype=frame.dtype)

    def frame(self, pixels: np.ndarray, tags: dict[str, Any]) -> None:
        metadata = {"delta_t": tags.pop("ElapsedTime-ms") / 1000, **tags}
        self.stream.append(pixels, index=tags["axes"], frame_metadata=metadata)

    def stopped(self, error: Exception | None) -> None:
        self.stream.__exit__(type(error) if error else None, error, None)


@pytest.mark.parametrize("suffix", ["ome.zarr", "ome.tiff"])
@pytest.mark.parametrize("fail_after", [None, 5])
def test_minimal_adapter(tmp_path: Path, suffix: str, fail_after: int | None) -> None:
    microscope = Microscope()
    Adapter(microscope, tmp_path / f"run.{suffix}")
    microscope.acquire({"t": 4, "c": 2}, fail_after)
    spec = ome_writers.read(tmp_path / f"run.{suffix}")
    assert spec.status == ("complete" if fail_after is None else "failed")
    assert spec.frames_written == (fail_after or 8)
    frames = np.asarray(ome_writers.open(spec.path))
    written = frames.reshape(-1, 16, 24)[: fail_after or 8, 0, 0]
    assert written.tolist() == list(range(fail_after or 8))
    rows = ome_writers.read_frame_metadata(spec.path)
    assert [row["delta_t"] for row in rows][:3] == [0, 0.005, 0.01]
