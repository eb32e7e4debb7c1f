"""Measurements of disks, codecs and engines, and settings proposed from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.toolkit import lazy_exports

if TYPE_CHECKING:
    from ome_writers_tools.advice.camera import Camera as Camera
    from ome_writers_tools.advice.engines import EngineSpeed as EngineSpeed
    from ome_writers_tools.advice.engines import measure_engine as measure_engine
    from ome_writers_tools.advice.measurements import Codec as Codec
    from ome_writers_tools.advice.measurements import DiskSpeed as DiskSpeed
    from ome_writers_tools.advice.measurements import Levels as Levels
    from ome_writers_tools.advice.measurements import measure_codecs as measure_codecs
    from ome_writers_tools.advice.measurements import measure_disk as measure_disk
    from ome_writers_tools.advice.measurements import measure_levels as measure_levels
    from ome_writers_tools.advice.noise import estimate_noise as estimate_noise
    from ome_writers_tools.advice.proposal import Advice as Advice
    from ome_writers_tools.advice.proposal import Load as Load
    from ome_writers_tools.advice.proposal import advise as advise
    from ome_writers_tools.advice.proposal import needs_compression as needs_compression
    from ome_writers_tools.advice.proposal import predict as predict
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".camera": ("Camera",),
            ".engines": ("EngineSpeed", "measure_engine"),
            ".measurements": (
                "Codec",
                "DiskSpeed",
                "Levels",
                "measure_codecs",
                "measure_disk",
                "measure_levels",
            ),
            ".noise": ("estimate_noise",),
            ".proposal": ("Advice", "Load", "advise", "needs_compression", "predict"),
        },
    )
