"""Engines: they write planes to disk, and never render metadata or handle positions and channels.

Other packages import from here, from `storage.zarr` and from `storage.tiff`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ome_writers.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from ome_writers.settings import ENGINES as ENGINES
    from ome_writers.settings import EngineRow as EngineRow
    from ome_writers.storage.background import Background as Background
    from ome_writers.storage.background import available_cpus as available_cpus
    from ome_writers.storage.background import lower_thread_priority as lower_thread_priority
    from ome_writers.storage.contract import DERIVED as DERIVED
    from ome_writers.storage.contract import Engine as Engine
    from ome_writers.storage.contract import EngineStats as EngineStats
    from ome_writers.storage.contract import ExistingArray as ExistingArray
    from ome_writers.storage.contract import ExtensibleEngine as ExtensibleEngine
    from ome_writers.storage.contract import LendingEngine as LendingEngine
    from ome_writers.storage.contract import Options as Options
    from ome_writers.storage.contract import PatchingEngine as PatchingEngine
    from ome_writers.storage.contract import TruncatingEngine as TruncatingEngine
    from ome_writers.storage.contract import WriteFailure as WriteFailure
    from ome_writers.storage.contract import frame_of as frame_of
    from ome_writers.storage.contract import part_of as part_of
    from ome_writers.storage.disk import Disk as Disk
    from ome_writers.storage.evictable_files import EvictingEngine as EvictingEngine
    from ome_writers.storage.exclusive_lock import Lock as Lock
    from ome_writers.storage.exclusive_lock import acquire_lock as acquire_lock
    from ome_writers.storage.exclusive_lock import hold_claim as hold_claim
    from ome_writers.storage.exclusive_lock import remove_attempts as remove_attempts
    from ome_writers.storage.files import atomic_write as atomic_write
    from ome_writers.storage.files import is_temporary as is_temporary
    from ome_writers.storage.lock_file import LOCK_NAME as LOCK_NAME
    from ome_writers.storage.lock_file import is_part_of_lock as is_part_of_lock
    from ome_writers.storage.lock_file import lock_content as lock_content
    from ome_writers.storage.lock_file import lock_owner as lock_owner
    from ome_writers.storage.lock_file import lock_path as lock_path
    from ome_writers.storage.lock_file import locked_error as locked_error
    from ome_writers.storage.lock_file import sibling_path as sibling_path
    from ome_writers.storage.memory_budget import MemoryBudget as MemoryBudget
    from ome_writers.storage.positional_io import open_file as open_file
    from ome_writers.storage.positional_io import read_at as read_at
    from ome_writers.storage.positional_io import read_fully as read_fully
    from ome_writers.storage.positional_io import write_at as write_at
    from ome_writers.storage.process_identity import is_running as is_running
    from ome_writers.storage.progress_file import ProgressFile as ProgressFile
    from ome_writers.storage.progress_file import remove_progress as remove_progress
    from ome_writers.storage.progress_reader import ProgressHeader as ProgressHeader
    from ome_writers.storage.progress_reader import ProgressReader as ProgressReader
    from ome_writers.storage.pyramid import Downsampling as Downsampling
    from ome_writers.storage.registry import choose as choose
    from ome_writers.storage.registry import open_engine as open_engine
    from ome_writers.storage.registry import open_with_stages as open_with_stages
    from ome_writers.storage.registry import unsupported_reasons as unsupported_reasons
    from ome_writers.storage.shared_work import share as share
    from ome_writers.storage.staged_engine import StagedEngine as StagedEngine
    from ome_writers.storage.stages import Stage as Stage
    from ome_writers.storage.stages import run_stages as run_stages
    from ome_writers.storage.store import LocalStore as LocalStore
    from ome_writers.storage.store import MemoryStore as MemoryStore
    from ome_writers.storage.store import Store as Store
    from ome_writers.storage.store import SupportsFiles as SupportsFiles
    from ome_writers.storage.write_buffer import Unit as Unit
    from ome_writers.storage.write_buffer import WriteBuffer as WriteBuffer
else:
    __getattr__, __dir__, __all__ = lazy_exports(
        __name__,
        {
            ".background": ("Background", "available_cpus", "lower_thread_priority"),
            ".contract": (
                "DERIVED",
                "Engine",
                "EngineStats",
                "ExistingArray",
                "ExtensibleEngine",
                "LendingEngine",
                "Options",
                "PatchingEngine",
                "TruncatingEngine",
                "WriteFailure",
                "frame_of",
                "part_of",
            ),
            ".disk": ("Disk",),
            ".exclusive_lock": ("Lock", "acquire_lock", "hold_claim", "remove_attempts"),
            ".evictable_files": ("EvictingEngine",),
            ".files": ("atomic_write", "is_temporary"),
            ".lock_file": (
                "LOCK_NAME",
                "is_part_of_lock",
                "lock_content",
                "lock_owner",
                "lock_path",
                "locked_error",
                "sibling_path",
            ),
            ".memory_budget": ("MemoryBudget",),
            ".positional_io": ("open_file", "read_at", "read_fully", "write_at"),
            ".process_identity": ("is_running",),
            ".progress_file": ("ProgressFile", "remove_progress"),
            ".progress_reader": ("ProgressHeader", "ProgressReader"),
            ".pyramid": ("Downsampling",),
            ".registry": ("choose", "open_engine", "open_with_stages", "unsupported_reasons"),
            ".shared_work": ("share",),
            ".staged_engine": ("StagedEngine",),
            ".stages": ("Stage", "run_stages"),
            ".store": ("LocalStore", "MemoryStore", "Store", "SupportsFiles"),
            ".write_buffer": ("Unit", "WriteBuffer"),
            "ome_writers.settings": ("ENGINES", "EngineRow"),
        },
    )
