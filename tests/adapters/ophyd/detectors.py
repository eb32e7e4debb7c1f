"""A detector and its acquisition loop, as a user of ophyd-async would write them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
from ophyd_async.core import DetectorAcquireLogic, DetectorTriggerLogic, StandardDetector

if TYPE_CHECKING:
    from pathlib import Path

    from ome_writers_ophyd import OMEDataLogic

__all__ = ["CountingCamera", "SoftwareTrigger", "detector", "only_dataset"]


class CountingCamera(DetectorAcquireLogic):
    """Takes frames whose pixels all have the number of the frame since the camera was created."""

    def __init__(self, data: OMEDataLogic, shape: tuple[int, int], dtype: str) -> None:
        self.data, self.shape, self.dtype = data, shape, dtype
        self.frame_number = 0
        self.number_of_frames = 1
        self.interval_s = 0.0
        self.acquiring: asyncio.Task[None] | None = None

    async def start_acquiring(self) -> None:
        self.acquiring = asyncio.create_task(self.acquire())

    async def acquire(self) -> None:
        for _ in range(self.number_of_frames):
            await asyncio.sleep(self.interval_s)
            frame = np.full(self.shape, self.frame_number % 256, self.dtype)
            self.frame_number += 1
            await self.data.append(frame)

    async def wait_for_idle(self) -> None:
        if self.acquiring is not None:
            await self.acquiring

    async def ensure_stopped(self) -> None:
        if self.acquiring is not None:
            self.acquiring.cancel()
            await asyncio.gather(self.acquiring, return_exceptions=True)


class SoftwareTrigger(DetectorTriggerLogic):
    """Sets the number of frames and their interval."""

    def __init__(self, camera: CountingCamera) -> None:
        self.camera = camera

    async def prepare_internal(self, num: int, livetime: float, deadtime: float) -> None:
        self.camera.number_of_frames, self.camera.interval_s = num, livetime + deadtime


def detector(
    data: OMEDataLogic, name: str, shape: tuple[int, int] = (32, 48), dtype: str = "uint16"
) -> StandardDetector:
    """Return a detector whose frames `data` writes."""
    camera = CountingCamera(data, shape, dtype)
    device = StandardDetector(name=name)
    device.add_detector_logics(SoftwareTrigger(camera), camera, data)
    return device


def only_dataset(folder: Path) -> Path:
    """Return the only dataset in a folder."""
    (path,) = (p for p in folder.iterdir() if not p.name.startswith("."))
    return path
