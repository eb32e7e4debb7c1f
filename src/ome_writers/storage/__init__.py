"""Engines: they write planes to disk, and never render metadata or handle positions and channels.

Other packages import from here, from `storage.zarr`, and from the modules `files`, `positional_io`, `lock_file` and
`exclusive_lock`.
"""

from __future__ import annotations

from ome_writers.storage.contract import (
    ArrayTarget,
    Engine,
    EngineStats,
    Finding,
    LendingEngine,
    Options,
    PatchingEngine,
    TruncatingEngine,
    WriteFailure,
)
from ome_writers.storage.registry import ENGINES, EngineRow, choose, open_engine

__all__ = [
    "ENGINES",
    "ArrayTarget",
    "Engine",
    "EngineRow",
    "EngineStats",
    "Finding",
    "LendingEngine",
    "Options",
    "PatchingEngine",
    "TruncatingEngine",
    "WriteFailure",
    "choose",
    "open_engine",
]
