"""The tensorstore engine with transactions for planes of any size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ome_writers_engines import engine, tensorstore

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ome_writers.dataset import LevelSpec
    from ome_writers.storage import Engine, Options


def open_engine(root: Path, targets: Sequence[LevelSpec], options: Options) -> Engine:
    """Open the engine without its minimum plane size for transactions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "_MIN_TRANSACTION_BYTES", 0)
        return tensorstore.open_engine(root, targets, options)
