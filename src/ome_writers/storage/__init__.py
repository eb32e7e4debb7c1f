"""Where the pixels go. This room never renders a document and never looks at positions or channels."""

from __future__ import annotations

from ome_writers.storage.contract import (
    ArrayTarget,
    Engine,
    EngineStats,
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
    "LendingEngine",
    "Options",
    "PatchingEngine",
    "TruncatingEngine",
    "WriteFailure",
    "choose",
    "open_engine",
]
