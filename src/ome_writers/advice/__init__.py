"""Measurements of disks, codecs and engines, and settings proposed from them."""

from __future__ import annotations

from ome_writers.advice.camera import Camera
from ome_writers.advice.engines import EngineSpeed, measure_engine
from ome_writers.advice.measurements import DiskSpeed, measure_codecs, measure_disk, measure_levels
from ome_writers.advice.proposal import Advice, Codec, Levels, Load, advise

__all__ = [
    "Advice",
    "Camera",
    "Codec",
    "DiskSpeed",
    "EngineSpeed",
    "Levels",
    "Load",
    "advise",
    "measure_codecs",
    "measure_disk",
    "measure_engine",
    "measure_levels",
]
