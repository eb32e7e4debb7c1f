"""Engines: they write planes to disk, and never render metadata or handle positions and channels.

Other packages import from here, from `storage.zarr` and from `storage.tiff`.
"""

from __future__ import annotations

from ome_writers.settings import ENGINES, EngineRow
from ome_writers.storage.background import Background, available_cpus, lower_thread_priority
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
from ome_writers.storage.exclusive_lock import Lock, acquire_lock, hold_claim, remove_attempts
from ome_writers.storage.files import atomic_write, is_temporary
from ome_writers.storage.lock_file import (
    LOCK_NAME,
    is_part_of_lock,
    lock_content,
    lock_owner,
    lock_path,
    locked_error,
    sibling_path,
)
from ome_writers.storage.positional_io import read_fully
from ome_writers.storage.process_identity import is_running
from ome_writers.storage.pyramid import Downsampling, open_with_levels
from ome_writers.storage.registry import choose, open_engine, unsupported_reasons
from ome_writers.storage.stages import Stage, StagedEngine, run_stages
from ome_writers.storage.store import LocalStore, MemoryStore, Store, SupportsFiles

__all__ = [
    "ENGINES",
    "LOCK_NAME",
    "ArrayTarget",
    "Background",
    "Downsampling",
    "Engine",
    "EngineRow",
    "EngineStats",
    "Finding",
    "LendingEngine",
    "LocalStore",
    "Lock",
    "MemoryStore",
    "Options",
    "PatchingEngine",
    "Stage",
    "StagedEngine",
    "Store",
    "SupportsFiles",
    "TruncatingEngine",
    "WriteFailure",
    "acquire_lock",
    "atomic_write",
    "available_cpus",
    "choose",
    "hold_claim",
    "is_part_of_lock",
    "is_running",
    "is_temporary",
    "lock_content",
    "lock_owner",
    "lock_path",
    "locked_error",
    "lower_thread_priority",
    "open_engine",
    "open_with_levels",
    "read_fully",
    "remove_attempts",
    "run_stages",
    "sibling_path",
    "unsupported_reasons",
]
