"""The direct engine on stores in memory, one per root; the row of `test_stores` names this module."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ome_writers.storage import MemoryStore, direct

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ome_writers.dataset import LevelSpec
    from ome_writers.storage import Engine, Options

STORES: dict[Path, MemoryStore] = defaultdict(MemoryStore)


def open_engine(root: Path, targets: Sequence[LevelSpec], options: Options) -> Engine:
    return direct.open_engine(STORES[root], targets, options)
