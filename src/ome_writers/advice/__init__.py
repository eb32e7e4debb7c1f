"""What settings suit a camera and a disk: it measures and proposes, and never changes anybody's settings."""

from __future__ import annotations

from ome_writers.advice.camera import Camera
from ome_writers.advice.codecs import measure_codecs
from ome_writers.advice.disk import DiskSpeed, measure_disk
from ome_writers.advice.engines import EngineSpeed, measure_engine
from ome_writers.advice.proposal import Advice, Codec, Load, advise

__all__ = [
    "Advice",
    "Camera",
    "Codec",
    "DiskSpeed",
    "EngineSpeed",
    "Load",
    "advise",
    "measure_codecs",
    "measure_disk",
    "measure_engine",
]
